from __future__ import annotations

from typing import Any

import pytest

from ml.housekeeping.page import render_plan, render_size, summarise

PLAN: dict[str, Any] = {
    "outgoing": [
        {"name": "version 20261102001", "bytes": 3 << 20, "reason": "not one of the last 5"},
        {
            "name": "store:clicks/model/2026-11-02-a",
            "bytes": 1 << 20,
            "reason": "models are kept for 30 days",
        },
    ],
    "kept_versions": {"20261103001": "golden, labelled golden"},
    "kept": {"landed days are kept for 90 days (housekeeping.examples_days)": 12},
    "dry_run": True,
    "spared": {},
    "summary": "as said below",
}


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_a_plan_says_what_would_go_and_what_stays_and_why() -> None:
    lines = [" ".join(line.split()) for line in render_plan(PLAN).splitlines()]

    assert lines[0] == "Would be removed:"
    assert "version 20261102001 3.0 MiB not one of the last 5" in lines
    assert "version 20261103001 golden, labelled golden" in lines
    assert "12 artifacts landed days are kept for 90 days (housekeeping.examples_days)" in lines
    assert lines[-1] == "as said below"


def test_what_stayed_after_all_is_said_where_it_was_to_go() -> None:
    spared = {"store:clicks/model/2026-11-02-a": "a run uses it"}

    page = render_plan({**PLAN, "dry_run": False, "spared": spared})

    assert page.startswith("Removed:")
    assert "stays after all: a run uses it" in page


def test_a_tidy_house_says_so() -> None:
    page = render_plan({**PLAN, "outgoing": []})

    assert page.startswith("Nothing is to be removed.")


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 30, "3.0 GiB"), (5 << 50, "5120.0 TiB")],
)
def test_room_is_told_in_a_unit_that_fits(count: int, words: str) -> None:
    assert render_size(count) == words


def test_a_summary_counts_versions_and_artifacts() -> None:
    assert summarise(PLAN["outgoing"], "removed") == "1 version and 1 artifact removed: 4.0 MiB"
