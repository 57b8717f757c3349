from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml.release.backfill.nights import Backfill, ReplayedNight, original_of
from ml.release.findings import Findings
from ml.release.tries import Try, add_try, stale_tags, state_before

FIRST, LATER = "2026-03-11T02:00:00+00:00", "2026-04-01T09:00:00+00:00"
METRICS = {"candidate.auc": 0.73, "gain.auc": 0.01, "seconds.train_candidate": 9.0}


def findings(**digests: str) -> Findings:
    """Artifacts of these digests; the blessing says its own digest as its verdict."""
    artifacts: Any = {
        kind: {"kind": kind, "uri": f"store:{digest}", "digest": digest} for kind, digest in digests.items()
    }
    contents: dict[str, Any] = {"pushed_model": {"version": 7}} if "pushed_model" in digests else {}
    if "blessing" in digests:
        contents["blessing"] = {"verdict": digests["blessing"], "reasons": ["because"]}
    return Findings(artifacts=artifacts, manifests={}, directories={}, contents=contents)


def tries_of(*nights: Findings) -> list[Try]:
    tries: list[Try] = []
    for night in nights:
        tries = add_try(tries, night, METRICS, FIRST if not tries else LATER)
    return tries


def test_the_first_logging_is_the_first_try() -> None:
    (only,) = tries_of(findings(model="m", blessing="PASS"))

    assert (only["try"], only["verdict"], only["logged_at"]) == (1, "PASS", FIRST)
    assert only["metrics"] == {"candidate.auc": 0.73, "gain.auc": 0.01}


def test_the_same_again_is_no_new_try() -> None:
    night = findings(model="m", blessing="PASS")

    assert tries_of(night, night) == tries_of(night)


def test_a_night_that_goes_on_is_the_same_try() -> None:
    (only,) = tries_of(findings(examples="e"), findings(examples="e", model="m", blessing="PASS"))

    assert only["verdict"] == "PASS"


def test_a_try_that_goes_on_later_still_says_what_it_was_before() -> None:
    """The night failed before its verdict; a backfill brought one, and a clearing of it nothing new."""
    failed, repaired = findings(model="m"), findings(model="m", blessing="PASS")
    tries = add_try([], failed, METRICS, FIRST)
    tries = add_try(tries, repaired, METRICS, LATER)

    [only] = add_try(tries, repaired, METRICS, "2026-04-02T09:00:00+00:00")
    assert (only["verdict"], only["logged_at"], only["continued_at"]) == ("PASS", FIRST, LATER)
    moments = ["2026-03-11T01:00:00+00:00", LATER, "2026-04-01T09:00:01+00:00"]
    before = [state_before(only, datetime.fromisoformat(moment)) for moment in moments]
    assert [state and state["verdict"] for state in before] == [None, None, "PASS"]
    assert [state is None for state in before] == [True, False, False]


def test_the_replay_of_a_repaired_night_is_not_its_own_original() -> None:
    repaired = tries_of(findings(model="m"), findings(model="m", blessing="PASS"))
    backfill = Backfill("airflow/3", ["night"], started_at="2026-03-31T00:00:00+00:00")

    night = ReplayedNight("night", "2026-03-10", original_of(repaired, backfill), repaired[-1])
    assert (night.outcome, night.original and night.original["verdict"]) == ("changed", None)


def test_a_night_that_was_published_in_a_backfill_came_to_the_same() -> None:
    tries = tries_of(findings(blessing="PASS"), findings(blessing="PASS", pushed_model="p"))
    backfill = Backfill("airflow/3", ["night"], started_at="2026-03-31T00:00:00+00:00")

    assert ReplayedNight("night", "2026-03-10", original_of(tries, backfill), tries[-1]).outcome == "same"


def test_another_blessing_is_another_try_and_the_first_is_kept_as_it_was() -> None:
    before = tries_of(findings(model="m", blessing="PASS"))

    after = add_try(before, findings(model="n", blessing="FAIL"), METRICS, LATER)
    assert after[0] == before[0]
    assert (after[1]["try"], after[1]["verdict"], after[1]["logged_at"]) == (2, "FAIL", LATER)


def test_a_night_that_comes_less_far_is_another_try() -> None:
    tries = tries_of(findings(anomalies="a", model="m", blessing="PASS"), findings(anomalies="a"))

    assert [each["verdict"] for each in tries] == ["PASS", None]


def test_a_publication_belongs_to_the_try_that_was_logged_before_it() -> None:
    logged, pushed = findings(blessing="PASS"), findings(blessing="PASS", pushed_model="p")

    (only,) = tries_of(logged, pushed, logged)
    assert only["served_as"] == 7
    assert "pushed_model" in only["artifacts"]


def test_nothing_that_an_earlier_try_uploaded_is_replaced() -> None:
    tries = tries_of(findings(examples="e", model="m"), findings(examples="e", model="n"))

    places = [{kind: each["files"] for kind, each in one["artifacts"].items()} for one in tries]
    assert places == [
        {"examples": "examples", "model": "model"},
        {"examples": "examples", "model": "tries/2/model"},
    ]


def test_what_the_try_before_was_served_as_does_not_hold_for_another_model() -> None:
    logged = {"serving.version": "7", "digest.model": "m", "verdict": "PASS", "ours.to.keep": "yes"}
    another = tries_of(findings(model="m", blessing="PASS"), findings(model="n", blessing="FAIL"))
    same = tries_of(findings(model="m", blessing="PASS"), findings(model="m", blessing="FAIL"))

    assert stale_tags(logged, {"verdict": "FAIL"}, another) == ["serving.version"]
    assert stale_tags(logged, {"verdict": "FAIL"}, same) == []


def test_a_try_that_stopped_early_drops_what_it_did_not_come_to() -> None:
    tries = tries_of(findings(anomalies="a", model="m", blessing="PASS"), findings(anomalies="b"))

    logged = ["verdict", "digest.model", "digest.anomalies"]
    assert stale_tags(logged, {"digest.anomalies": "b"}, tries) == ["verdict", "digest.model"]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["examples", "model", "blessing"]), st.sampled_from("ab")), min_size=1
    )
)
def test_however_a_night_is_repeated_its_history_only_grows(nights: list[dict[str, str]]) -> None:
    tries: list[Try] = []
    for digests in nights:
        before, tries = tries, add_try(tries, findings(**digests), METRICS, FIRST)
        assert tries[: len(before) - 1] == before[:-1]
        shown = {kind: each["digest"] for kind, each in tries[-1]["artifacts"].items()}
        assert digests.items() <= shown.items()
        assert add_try(tries, findings(**digests), METRICS, LATER) == tries
    assert [each["try"] for each in tries] == list(range(1, len(tries) + 1))
