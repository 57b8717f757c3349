"""When the watch goes back by itself, and when a person must."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.artifact import Artifact, Window
from ml.release.history import rolled_back
from ml.release.versions import Version, version_number
from ml.release.watch.alerts import Alert
from ml.release.watch.judgement import Judgement, Standing, judge

ONE, TWO, THREE = 20261101001, 20261102001, 20261103001
BEGIN = datetime(2026, 11, 21, 2, tzinfo=timezone.utc)
HOURS = 24


def at(minute: float) -> datetime:
    return BEGIN + timedelta(minutes=minute)


def move(minute: int, before: int | None, to: int, action: str = "push", **more: Any) -> list[dict[str, Any]]:
    said = {"from": before, "to": to, "action": action, "label": "stable", "alias": True, "who": "ada"}
    times = (("moving", at(minute)), ("moved", at(minute + 0.5)))
    return [{"event": event, "time": time.isoformat(), **said, **more} for event, time in times]


def version(number: int | None) -> Version | None:
    model = Artifact(kind="model", uri="store:model", digest=str(number))
    return None if number is None else Version(number, model, Window(BEGIN - timedelta(days=1), BEGIN))


def standing(lines: list[dict[str, Any]], served: int | None) -> Standing:
    return Standing("clicks", "stable", version(served), lines)


def alert(minute: float, **more: Any) -> Alert:
    return Alert("UsersSeeErrors", at(minute), "errors", {"model": "clicks"}, **more)


PUSHED = [*move(0, None, ONE), *move(10, ONE, TWO), *move(20, TWO, THREE)]


def judged(*alerts: Alert, lines: list[dict[str, Any]] = PUSHED, served: int = THREE) -> Judgement:
    return judge(standing(lines, served), alerts, HOURS, at(40))


def test_an_alert_that_began_after_the_move_takes_it_back():
    found = judged(alert(25))

    assert (found.decision, found.target) == ("ROLL_BACK", TWO)
    assert found.sentence.startswith("UsersSeeErrors fires since 2026-11-21 02:25:00 UTC, after all users of")


def test_a_promotion_is_taken_back_like_a_push():
    lines = [*PUSHED[:4], *move(20, TWO, THREE, action="promote")]

    assert judged(alert(25), lines=lines).target == TWO


def test_without_an_alert_nothing_is_done():
    assert judged() == Judgement("CALM", "no alert fires")


def test_an_alert_that_is_older_than_the_move_is_no_reason():
    assert judged(alert(19)).decision == "LEAVE"
    assert judged(alert(25, was_there=True)).decision == "LEAVE"
    assert judged(alert(19), alert(25)).decision == "ROLL_BACK"


def test_a_move_of_days_ago_is_a_persons_to_judge():
    found = judge(standing(PUSHED, THREE), [alert(25)], HOURS, at(20) + timedelta(hours=HOURS, seconds=1))

    assert found.decision == "LEAVE"
    assert "too long to be blamed" in found.sentence


def test_from_where_a_roll_back_has_led_nothing_is_done_and_the_safe_command_is_told():
    lines = [*PUSHED, *move(30, THREE, TWO, action="rollback")]

    found = judged(alert(35), lines=lines, served=TWO)

    assert (found.decision, found.target) == ("TELL", None)
    previous = 'python -m ml rollback --pipeline clicks --to previous --reason "…"'
    assert standing(lines, TWO).safe_command == previous
    golden = [*lines, *move(36, None, ONE, action="golden", label="golden")]
    assert standing(golden, TWO).safe_command == previous.replace("previous", "golden")


@pytest.mark.parametrize(("served", "lines"), [(ONE, PUSHED[:2]), (THREE, PUSHED[4:])])
def test_without_a_previous_version_a_person_is_told(served: int, lines: list[dict[str, Any]]):
    found = judged(alert(25), lines=lines, served=served)

    assert found.decision == "TELL"
    assert "there is no previous version" in found.sentence
    assert standing(lines, served).safe_command == "python -m ml reconcile --pipeline clicks"


@pytest.mark.parametrize("served", [TWO, None])
def test_what_the_ledger_does_not_know_the_way_of_is_left_alone(served: int | None):
    assert judge(standing(PUSHED, served), [alert(25)], HOURS, at(40)).decision == "LEAVE"


@dataclass
class Night:
    """A pipeline by its ledger, an alert, and a watch that does what it judges."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    served: int | None = None
    newest: int = 0
    minute: int = 0
    since: int | None = None
    taken_back: list[str] = field(default_factory=list)

    def push(self, action: str) -> None:
        self.newest += 1
        self._move(version_number(BEGIN.date() - timedelta(days=20 - self.newest), 1), action)

    def person_goes_to(self, choice: int) -> None:
        been = sorted({line["to"] for line in self.lines if line["label"] == "stable"})
        if been and been[choice % len(been)] != self.served:
            self._move(been[choice % len(been)], "rollback")

    def readmit(self) -> None:
        for number in rolled_back(self.lines):
            time = at(self.minute).isoformat()
            self.lines.append(
                {"event": "noted", "label": "stable", "action": "readmit", "to": number, "time": time}
            )

    def ring(self) -> None:
        self.since = self.minute if self.since is None else None

    def look(self) -> None:
        firing = [] if self.since is None else [alert(self.since)]
        here = standing(self.lines, self.served)
        found = judge(here, firing, 1, at(self.minute))
        if found.decision != "ROLL_BACK":
            return
        self.check(found, here)
        self._move(found.target, "rollback", who="watch/UsersSeeErrors")
        again = judge(standing(self.lines, self.served), firing, 1, at(self.minute))
        assert again.decision != "ROLL_BACK"

    def check(self, found: Judgement, here: Standing) -> None:
        arrival = here.arrival
        assert arrival is not None
        assert found.target is not None
        assert self.since is not None
        assert arrival.line["action"] in ("push", "promote")
        assert arrival.line["time"] not in self.taken_back
        assert at(self.since) > arrival.announced_at
        assert at(self.minute) - arrival.announced_at <= timedelta(hours=1)
        assert found.target < arrival.to
        assert found.target not in rolled_back(self.lines)
        assert found.target in {line["to"] for line in self.lines if line["event"] == "moved"}
        self.taken_back.append(arrival.line["time"])

    def _move(self, to: int | None, action: str, **more: Any) -> None:
        assert to is not None
        self.lines += move(self.minute, self.served, to, action, **more)
        self.served = to


HAPPENINGS = st.one_of(
    st.tuples(st.just("push"), st.sampled_from(["push", "promote"])),
    st.tuples(st.just("person_goes_to"), st.integers(0, 9)),
    st.tuples(st.sampled_from(["readmit", "ring", "look", "look"])),
)


@given(st.lists(st.tuples(st.integers(1, 40), HAPPENINGS), min_size=5, max_size=30))
def test_whatever_happens_a_move_is_taken_back_once_at_most_and_only_by_a_younger_alert(happenings):
    night = Night()
    night.push("push")
    for minutes, (name, *more) in happenings[:19]:
        night.minute += minutes
        getattr(night, name)(*more)


def test_the_same_alert_and_move_give_the_same_words_so_that_a_lost_way_back_is_gone_on_with():
    later = replace(alert(25), summary="more errors")

    first, second = judged(alert(25)), judge(standing(PUSHED, THREE), [later], HOURS, at(50))
    assert first.sentence == second.sentence
