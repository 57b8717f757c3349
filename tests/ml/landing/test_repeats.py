from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.landing import files
from ml.landing.files import ExampleFiles
from ml.landing.repeats import drop_repeats


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows in a row group and two groups in a file, so that few rows cross all borders."""
    monkeypatch.setattr(files, "EXAMPLES_GROUP_ROWS", 3)
    monkeypatch.setattr(files, "EXAMPLES_FILE_GROUPS", 2)


def written(path: Path, ids: list[str | int | None], type_: pa.DataType) -> Path:
    path.mkdir()
    table = pa.table({"event_id": pa.array(ids, type_), "row": range(len(ids))})
    with ExampleFiles(path, table.schema) as examples:
        examples.write(table)
    return path


def rows_of(path: Path) -> list[int]:
    return [row for part in sorted(path.iterdir()) for row in pq.read_table(part)["row"].to_pylist()]


def contents(path: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in path.iterdir()}


some_ids = st.sampled_from(["a", "b", "ü", "", None]) | st.text(max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(some_ids, max_size=30) | st.lists(st.integers(-3, 3) | st.none(), max_size=30))
def test_the_first_row_with_a_value_is_kept_and_null_repeats_nothing(
    tmp_path: Path, ids: list[str | int | None]
) -> None:
    seen: set[str | int] = set()
    kept = [row for row, id_ in enumerate(ids) if id_ is None or not (id_ in seen or seen.add(id_))]
    type_ = pa.int64() if any(isinstance(id_, int) for id_ in ids) else pa.string()
    path = written(tmp_path / uuid4().hex, ids, type_)

    assert drop_repeats(path, "event_id") == len(ids) - len(kept)
    assert rows_of(path) == kept


def test_without_repeats_the_files_stay_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "unique", [str(number) for number in range(20)], pa.string())
    before = contents(path)

    assert drop_repeats(path, "event_id") == 0
    assert contents(path) == before


def test_rows_without_repeats_give_the_bytes_of_rows_that_never_had_any(tmp_path: Path) -> None:
    once = written(tmp_path / "once", list(range(10)), pa.int64())
    more = written(tmp_path / "more", [*range(10), *range(10)], pa.int64())

    assert drop_repeats(more, "event_id") == 10
    assert contents(more) == contents(once)


def test_values_with_the_same_checksum_are_not_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.landing.repeats.crc32", lambda _: 7)
    path = written(tmp_path / "colliding", ["a", "b", "a"], pa.string())

    assert drop_repeats(path, "event_id") == 1
    assert rows_of(path) == [0, 1]
