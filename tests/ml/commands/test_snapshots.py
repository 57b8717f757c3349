"""Looking back at days through the command line."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml import steps
from ml.__main__ import STOPPED, main
from ml.artifact import Window
from ml.day import Day
from ml.errors import AnomaliesFound
from ml.identities import identify_examples, identify_offsets
from ml.pipelines import load_pipeline
from ml.store import Store
from tests.ml.validation.days import clicks, with_column

CLICKS = Path(__file__).parents[3] / "ml" / "pipelines" / "clicks"
FIRST, LAST = date(2026, 3, 10), date(2026, 3, 11)


@pytest.fixture
def folder(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline of the test's own, like clicks."""
    copied = tmp_path / "pipelines" / "views"
    shutil.copytree(CLICKS, copied)
    monkeypatch.setenv("RETRAIN_PIPELINES", str(copied.parent))
    return copied


@pytest.fixture
def checked(store: Store, folder: Path) -> Callable[[date, Any], None]:
    """Lands a table as a day without a topic, and checks it, whatever comes of that."""

    def run(which: date, table: Any) -> None:
        day = Day.of("views", **Window.of_day(which, "UTC").as_json())
        offsets = store.produce(identify_offsets(day), lambda draft: draft.write_json({}))

        def write(draft: Any) -> None:
            pq.write_table(table, draft.path / "part-00000.parquet")
            draft.facts.update(accepted=len(table), rejected={}, unknown_fields={})

        examples = store.produce(identify_examples(day, offsets), write)
        with contextlib.suppress(AnomaliesFound):
            steps.validate_examples(examples, steps.compute_statistics(examples))

    return run


@pytest.fixture
def two_days(checked: Callable[[date, Any], None]) -> None:
    """On the second day everybody has a tablet, and no price is known for a quarter of the examples."""
    table = clicks(2000, seed=2)
    priced = table["price"].to_pandas().where(table["hour"].to_pandas() >= 6)
    checked(FIRST, clicks(1000))
    changed = with_column(with_column(table, "device", ["tablet"] * 2000), "price", priced)
    checked(LAST, changed)


def row_of(table: str, field: str) -> str:
    """A field's row in the HTML of a table."""
    return next(row for row in table.splitlines() if f"<td>{field}</td>" in row)


def remove_examples(store: Store) -> None:
    """Take the examples of all days away, as housekeeping does long before statistics and schema."""
    for kind in ("examples", "offsets"):
        for manifest in store.manifests("views", kind):
            shutil.rmtree(store.open(manifest.artifact))


def test_two_days_are_compared_field_by_field(
    two_days: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    page = tmp_path / "page.html"

    code = main(f"statistics diff --pipeline views --from {FIRST} --to {LAST} --page {page}".split())

    printed = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): line for line in printed.splitlines() if line.startswith("│")}
    assert code == 0
    assert "1,000 examples of 2026-03-10, 2,000 of 2026-03-11" in printed
    assert "tablet" in rows["device"]
    assert "0.00%" in rows["price"]
    assert "The same with the histograms of both days" in printed


def test_the_field_that_moved_has_the_greatest_divergence(two_days: None, tmp_path: Path) -> None:
    comparison = steps.diff_statistics("views", FIRST, LAST, tmp_path / "page.html")

    bits = {one.field: one.divergence_bits for one in comparison.fields}
    known = {field: value for field, value in bits.items() if value is not None}
    assert comparison.rows == (1000, 2000)
    assert max(known, key=lambda field: known[field]) == "device"
    assert bits["event_time"] is None
    assert bits["user_id"] is None


def test_the_page_says_the_same_as_the_terminal_above_the_histograms(two_days: None, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    comparison = steps.diff_statistics("views", FIRST, LAST, page)

    table, histograms = page.read_text().split("</table>")
    device = next(one for one in comparison.fields if one.field == "device")
    price = next(one for one in comparison.fields if one.field == "price")
    assert "1,000 examples of 2026-03-10, 2,000 of 2026-03-11" in table
    assert f"<td>{device.divergence_bits:.3f}</td>" in row_of(table, "device")
    assert f"<td>1,000</td><td>{price.present[1]:,}</td><td>0.00%</td>" in row_of(table, "price")
    assert "facets-overview" in histograms


def test_missing_values_are_shares_of_the_day(two_days: None, tmp_path: Path) -> None:
    comparison = steps.diff_statistics("views", FIRST, LAST, tmp_path / "page.html")

    price = next(one for one in comparison.fields if one.field == "price")
    assert price.missing[0] == 0
    assert price.present[1] == round(2000 * (1 - (price.missing[1] or 0)))
    assert 0.15 < (price.missing[1] or 0) < 0.35


def test_a_day_of_which_nothing_is_kept_is_named(
    folder: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"statistics diff --pipeline views --from {FIRST} --to {LAST}".split()) == STOPPED

    assert "nothing is kept of 2026-03-10" in capsys.readouterr().err


def test_a_schema_comes_back_as_it_was_with_its_comments(
    checked: Callable[[date, Any], None], folder: Path
) -> None:
    checked(FIRST, clicks(1000))
    schema = folder / "schema.pbtxt"
    before = schema.read_text()
    schema.write_text(before.replace('value: "tablet"', 'value: "watch"'))

    changed = steps.compare_schema("views", FIRST)
    said = steps.restore_schema("views", FIRST)

    assert sorted(line.split()[-1] for line in changed if line[1:2] == " " and line[0] in "+-") == [
        '"tablet"',
        '"watch"',
    ]
    assert "2026-03-10" in said
    assert schema.read_text() == before
    assert load_pipeline("views").read_schema()
    assert steps.compare_schema("views", FIRST) == []


def test_the_command_brings_a_schema_back(
    checked: Callable[[date, Any], None], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked(FIRST, clicks(1000))
    schema = folder / "schema.pbtxt"
    before = schema.read_bytes()
    schema.write_bytes(before.replace(b'value: "tablet"', b'value: "watch"'))

    assert main(["schema", "restore", "--pipeline", "views", "--day", str(FIRST)]) == 0

    assert "is the schema of 2026-03-10 again" in capsys.readouterr().out
    assert schema.read_bytes() == before


def test_a_schema_that_is_put_aside_twice_is_kept_twice(
    checked: Callable[[date, Any], None], folder: Path
) -> None:
    checked(FIRST, clicks(1000))
    schema = folder / "schema.pbtxt"
    edits = [schema.read_text().replace('value: "tablet"', f'value: "{value}"') for value in ("watch", "car")]
    for edit in edits:
        schema.write_text(edit)
        said = steps.restore_schema("views", FIRST)

    kept = {path.name: path.read_text() for path in folder.glob("schema.pbtxt.before-*")}
    assert sorted(kept.values()) == sorted(edits)
    assert next(name for name, text in kept.items() if text == edits[-1]) in said
    assert steps.restore_schema("views", FIRST).endswith("is the schema of 2026-03-10 already.")
    assert len(list(folder.glob("schema.pbtxt.before-*"))) == len(edits)


def test_a_landed_day_is_compared_and_nothing_is_written(
    checked: Callable[[date, Any], None], folder: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    table = clicks(1000)
    checked(FIRST, with_column(table, "device", ["watch"] * 1000))
    before = sorted(store.root.rglob("*"))

    code = main(["schema", "diff", "--pipeline", "views", "--day", str(FIRST)])

    changed, suggested = capsys.readouterr().out.split("Suggested by its examples:")
    assert code == 0
    assert changed.split()[-1] == "nothing"
    assert "device: the examples also have the values watch" in suggested
    assert sorted(store.root.rglob("*")) == before


SHOP = 'feature { name: "shop" type: BYTES shape { dim { size: 1 } } }'


@pytest.mark.parametrize("removed", [True, False])
def test_a_day_that_is_not_landed_with_these_columns_is_compared_without_its_examples_and_not_landed(
    checked: Callable[[date, Any], None],
    folder: Path,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    removed: bool,
) -> None:
    checked(FIRST, clicks(1000))
    schema = folder / "schema.pbtxt"
    if removed:
        remove_examples(store)
    else:
        schema.write_text(schema.read_text() + SHOP)
    before = sorted(store.root.rglob("*"))

    code = main(["schema", "diff", "--pipeline", "views", "--day", str(FIRST)])

    changed, suggested = capsys.readouterr().out.split("Suggested by its examples:")
    assert code == 0
    assert changed.split()[-1] == "nothing" if removed else f"+{SHOP}" in changed
    assert "missing: 2026-03-10 is not landed with the settings and the columns as they are now" in suggested
    assert "`python -m ml land_examples --pipeline views --day 2026-03-10`" in suggested
    assert sorted(store.root.rglob("*")) == before


def test_a_schema_of_a_night_that_never_was_cannot_come_back(
    folder: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "schema.pbtxt").read_bytes()

    assert main(f"schema restore --pipeline views --day {FIRST}".split()) == STOPPED

    assert "nothing is kept of 2026-03-10" in capsys.readouterr().err
    assert (folder / "schema.pbtxt").read_bytes() == before
    assert steps.compare_schema("views", FIRST) == ["(no schema was kept of that night)"]
