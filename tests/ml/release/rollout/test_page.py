from __future__ import annotations

from ml.release.rollout.page import canary_page

TRACK = {
    "ok": 990,
    "failed": 10,
    # As JSON has it: the bounds are texts, in their alphabetical order.
    "seconds": {"-1.0": 0, "0.01": 495, "0.1": 990, "1.0": 990, "inf": 990},
    "scores": {"-1.0": 0, "0.1": 495, "1.0": 990, "inf": 990},
}
SILENT = {"ok": 0, "failed": 0, "seconds": {}, "scores": {}}
EVIDENCE = {
    "decision": "PROMOTE",
    "reasons": ["1.00% of the canary's requests fail"],
    "version": 2,
    "stable": 1,
    "observations": {"since": "03:00", "until": "04:00", "canary": TRACK, "stable": TRACK},
}


def test_the_page_of_a_canary_has_the_reasons_and_both_tracks() -> None:
    page = canary_page(EVIDENCE)

    assert page.startswith("## PROMOTE: version 2 beside 1")
    assert "- 1.00% of the canary's requests fail" in page
    assert "| canary | 2 | 990 | 10 (1.00%) | 10.0 ms | 98.2 ms | 0.100 |" in page
    assert "| stable | 1 | 990 | 10 (1.00%) |" in page


def test_a_silent_track_has_a_row_too() -> None:
    silent = {**EVIDENCE, "observations": {**EVIDENCE["observations"], "stable": SILENT}}

    assert "| stable | 1 | 0 | none | unknown | unknown | unknown |" in canary_page(silent)
