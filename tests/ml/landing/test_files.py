from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.landing.files import ParquetFiles

SCHEMA = pa.schema([("n", pa.int64()), ("s", pa.string())])
GROUP_ROWS, FILE_GROUPS = 4, 3


def rows(start: int, end: int) -> pa.Table:
    return pa.table({"n": list(range(start, end)), "s": [f"s{n % 3}" for n in range(start, end)]}, SCHEMA)


def write(path: Path, sizes: Sequence[int], file_groups: int | None = FILE_GROUPS) -> list[Path]:
    path.mkdir(parents=True)
    with ParquetFiles(lambda number: path / f"{number}.parquet", SCHEMA, GROUP_ROWS, file_groups) as files:
        start = 0
        for size in sizes:
            files.write(rows(start, start + size))
            start += size
    return sorted(path.iterdir())


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    files = write(tmp_path / "a", [3, 30, 0, 5])

    assert pa.concat_tables(pq.read_table(file) for file in files).equals(rows(0, 38))


def test_groups_and_files_are_full_but_for_the_last(tmp_path: Path) -> None:
    groups = []
    for file in write(tmp_path / "a", [30]):
        metadata = pq.ParquetFile(file).metadata
        groups.append([metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)])

    assert groups == [[4, 4, 4], [4, 4, 4], [4, 2]]


@pytest.mark.parametrize("size", [0, GROUP_ROWS, GROUP_ROWS * FILE_GROUPS])
def test_there_is_one_file_and_no_empty_one_after_it(tmp_path: Path, size: int) -> None:
    files = write(tmp_path / "a", [size])

    assert [pq.read_table(file).num_rows for file in files] == [size]
    assert pq.read_schema(files[0]) == SCHEMA


def test_one_file_takes_any_number_of_groups(tmp_path: Path) -> None:
    assert len(write(tmp_path / "a", [40], file_groups=None)) == 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_bytes_do_not_depend_on_how_the_rows_came(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    home = tmp_path_factory.mktemp("files")
    in_pieces, at_once = write(home / "pieces", sizes), write(home / "once", [sum(sizes)])

    assert [file.read_bytes() for file in in_pieces] == [file.read_bytes() for file in at_once]


def test_a_failure_inside_is_not_hidden_by_closing(tmp_path: Path) -> None:
    def fail() -> None:
        with ParquetFiles(lambda _: tmp_path / "x", SCHEMA, GROUP_ROWS) as files:
            files.write(rows(0, 3))
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        fail()
