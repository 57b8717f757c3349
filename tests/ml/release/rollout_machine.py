"""The same histories with a canary, a golden version, readmissions and housekeeping among the nights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from ml.release.golden_version import readmit, set_golden
from ml.release.history import GOLDEN, golden_version
from ml.release.old_versions import remove_versions
from ml.release.rollout.promotion import Verdict, promote_canary
from ml.release.rollout.trial import Trial, find_trial
from ml.release.rollout.withdrawal import withdraw_canary
from ml.release.router import read_share
from ml.release.wish import Wish
from tests.integration.canaries import CanaryPlace
from tests.integration.publishing import day_of
from tests.ml.release.fence_machine import FenceMachine
from tests.ml.release.histories import Run, World, mishaps
from tests.ml.release.mishaps import Mishap
from tests.ml.release.serving_at_once import ServerAtOnce

KEPT = 2
AGO = st.sampled_from([0, 0, 0, 1, 2])


class RolloutMachine(FenceMachine):
    """A history of a pipeline whose versions may be tried by a few users first."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.verdicts: list[Verdict] = []
        self.tried: list[int] = []

    @initialize(tracks=st.sampled_from(["one", "two", "none"]))
    def a_pipeline(self, tracks: str) -> None:
        shutil.rmtree(self.place.home)
        self.place = self.world.new_place(tracks)

    @precondition(lambda self: self.verdicts)
    @rule(ago=AGO, mishap=mishaps, again=st.booleans())
    def a_canary_is_promoted(self, ago: int, mishap: Mishap | None, again: bool) -> None:
        """By its own verdict, or by one that comes late."""
        verdict, served = self.verdict(ago), self.serving
        self.wanted.add((served, verdict.version))
        trial = self.trial
        is_due = trial and (trial.version.number, trial.stable) == (verdict.version, verdict.stable)
        is_expected = served == verdict.version or (
            is_due
            and verdict.stable == served
            and verdict.version not in self.condemned
            and verdict.version // 1000 > (served or 0) // 1000
        )
        outcome = self.tell("promoted", lambda: self.promote(verdict), mishap, again)
        if outcome not in ("killed", "lost"):
            assert outcome == ("done" if is_expected else "withheld")
            assert self.serving == (verdict.version if is_expected else served)
        self.is_settled = mishap is None and outcome == "done"

    @precondition(lambda self: self.verdicts)
    @rule(ago=AGO, mishap=mishaps, again=st.booleans())
    def a_canary_is_withdrawn(self, ago: int, mishap: Mishap | None, again: bool) -> None:
        version, unmoved, trial = self.verdict(ago).version, self.unmoved, self.trial
        was_withdrawn = self.last_said("withdraw", "readmit", version) == "withdraw"
        is_expected = (trial and trial.version.number == version) or was_withdrawn
        outcome = self.tell("withdrew", lambda: self.withdraw(version), mishap, again)
        if self.last_said("withdraw", "readmit", version) == "withdraw":
            self.condemned.add(version)
        if outcome not in ("killed", "lost"):
            assert outcome == ("done" if is_expected else "withheld")
        if outcome == "done":
            assert version in self.condemned
            assert read_share(self.place.pipeline, self.place.serving) == 0 or self.trial
        assert self.serving in unmoved

    @precondition(lambda self: self.seen)
    @rule(far=st.integers(0, 5), mishap=mishaps, again=st.booleans())
    def a_person_names_a_version_golden(self, far: int, mishap: Mishap | None, again: bool) -> None:
        version = self.seen[-1 - far % len(self.seen)]
        wish, unmoved = Wish(str(version), "for a test", "somebody"), self.unmoved
        place = self.place
        outcome = self.tell(
            "named golden", lambda: set_golden(wish, self.records, place.serving, place.mlflow), mishap, again
        )
        if outcome == "done":
            assert self.server.labelled(place.model, GOLDEN) == version
            assert golden_version(place.ledger.entries()) == version
        assert self.serving in unmoved

    @precondition(lambda self: self.condemned and self.place.ledger.on_the_way is None)
    @rule(which=st.integers(0, 5), mishap=mishaps)
    def a_person_readmits_a_version(self, which: int, mishap: Mishap | None) -> None:
        version = sorted(self.condemned)[which % len(self.condemned)]
        wish, before = Wish(str(version), "for a test", "somebody"), len(self.place.ledger.entries())
        place = self.place
        self.tell("readmitted", lambda: readmit(wish, self.records, place.serving, place.mlflow), mishap)
        if any(line["action"] == "readmit" for line in self.place.ledger.entries()[before:]):
            self.condemned.discard(version)

    @precondition(lambda self: self.seen)
    @rule(mishap=mishaps, again=st.booleans())
    def somebody_keeps_house(self, mishap: Mishap | None, again: bool) -> None:
        before, kept = self.on_disk(), self.kept()
        self.tell("kept house", self.keep_house, mishap, again)
        went = before - self.on_disk()
        assert kept & went == set()
        self.gone |= went

    @invariant()
    def few_users_are_answered_by_what_was_blessed_and_nobody_by_what_was_rolled_back(self) -> None:
        if not isinstance(self.place, CanaryPlace):
            return
        for version in self.servers[-1].named["canary"][len(self.tried) :]:
            model = self.version_of(version).model["digest"]
            runs = [run for run in self.judged if run.digest == model]
            assert any(run.verdict == "PASS" and run.content != "fickle" for run in runs)
            assert version not in self.condemned
            self.tried.append(version)
        if read_share(self.place.pipeline, self.place.serving):
            assert self.on_canary not in self.condemned

    @invariant()
    def every_line_of_the_ledger_is_as_it_was_written(self) -> None:
        self.place.ledger.entries()

    @invariant()
    def what_is_loaded_again_is_not_gone(self) -> None:
        self.gone -= self.on_disk()

    def check_pushed(self, run: Run, outcome: str, unmoved: set[int | None]) -> None:
        """With a canary a push shows a version to a few users, and all others stay where they are."""
        if not isinstance(self.place, CanaryPlace) or None in unmoved or outcome != "done":
            super().check_pushed(run, outcome, unmoved)
            return
        version = self.numbers[run.digest]
        assert self.serving in unmoved
        if version == self.serving:
            return
        assert self.on_canary == version
        assert read_share(self.place.pipeline, self.place.serving) > 0
        assert self.trial is not None
        self.verdicts.append(Verdict(version, self.trial.stable, Wish(str(version), "for a test", "a run")))

    def expected_of(self, run: Run) -> str:
        """A canary makes room for a newer one only."""
        expected, trial = super().expected_of(run), self.trial
        if run.key in self.pushed or expected == "withheld" or trial is None or self.serving is None:
            return expected
        served = self.version_of(self.serving)
        is_other = run.digest not in (served.model["digest"], trial.version.model["digest"])
        return "withheld" if is_other and day_of(run.day).end <= trial.version.watermark else expected

    def tell(self, what: str, act: Callable[[], object], mishap: Mishap | None, again: bool = False) -> str:
        """Do it, and once more if the first try is lost."""
        outcome = self.outcome_of(act, mishap)
        if outcome in ("killed", "lost") and again:
            outcome = self.outcome_of(act, None)
        self.count(f"{what}: {outcome}")
        return outcome

    def promote(self, verdict: Verdict) -> None:
        assert isinstance(self.place, CanaryPlace)
        promote_canary(verdict, self.records, self.place.tracks, self.place.mlflow)

    def withdraw(self, version: int) -> None:
        assert isinstance(self.place, CanaryPlace)
        wish = Wish(str(version), "for a test", "a run")
        withdraw_canary(version, wish, self.records, self.place.tracks, self.place.mlflow)

    def keep_house(self) -> None:
        pipeline = self.place.pipeline
        serving = pipeline.serving.model_copy(update={"keep_versions": KEPT})
        records = replace(self.records, pipeline=pipeline.model_copy(update={"serving": serving}))
        remove_versions(records, [server.connection for server in self.servers], set())

    def verdict(self, ago: int) -> Verdict:
        return self.verdicts[-1 - ago % len(self.verdicts)]

    def last_said(self, one: str, other: str, version: int) -> str:
        """Which of the two the ledger says of a version last; empty if neither."""
        lines = [line for line in self.place.ledger.entries() if line["to"] == version]
        return next((line["action"] for line in reversed(lines) if line["action"] in (one, other)), "")

    def on_disk(self) -> set[int]:
        parents = (server.connection.models_dir / self.place.model for server in self.servers)
        return {int(path.name) for parent in parents for path in parent.glob("[0-9]*")}

    def kept(self) -> set[int]:
        """What housekeeping must not take away, whatever happens to it."""
        labels = ("stable", "canary", GOLDEN)
        named = {server.labelled(self.place.model, label) for server in self.servers for label in labels}
        golden, trial = golden_version(self.place.ledger.entries()), self.trial
        ways = {golden, trial and trial.version.number, self.target_of("previous")}
        last = sorted(self.on_disk() - self.condemned)[-KEPT:] if not self.place.ledger.on_the_way else []
        return {version for version in {*named, *ways, *last} if version is not None}

    @property
    def servers(self) -> list[ServerAtOnce]:
        """The servers of both tracks."""
        is_two = isinstance(self.place, CanaryPlace) and self.place.canary
        return [self.server, self.world.canary] if is_two else [self.server]

    @property
    def trial(self) -> Trial | None:
        return find_trial(self.records) if isinstance(self.place, CanaryPlace) else None

    @property
    def on_canary(self) -> int | None:
        return self.servers[-1].labelled(self.place.model, "canary")
