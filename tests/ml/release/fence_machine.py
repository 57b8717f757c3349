"""Random histories of nights, backfills, clears, retries and roll-backs, with deaths between any two effects.

Every step runs the release code as it is, on a store of the history's own, a real registry and the model
server's real core. What must be true after every step is said here once more and otherwise.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from filelock import FileLock
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule
from mlflow.exceptions import MlflowException

from ml.artifact import Artifact, digest_file
from ml.errors import Misconfigured, Unavailable, Withheld
from ml.release import Records
from ml.release.failures import WrongAnswers
from ml.release.history import rolled_back
from ml.release.mirror import unheard
from ml.release.registry import DIGEST, PRODUCTION, ROLLED_BACK, SERVED_AS, Registry
from ml.release.rollback import roll_back
from ml.release.tracking import open_mlflow
from ml.release.versions import Version, Versions
from ml.release.wish import Wish
from tests.integration.publishing import day_of
from tests.ml.release.histories import DAYS, QUEUED, Finding, Luck, Run, World, findings, luck, mishaps
from tests.ml.release.mishaps import Killed, Mishap


class FenceMachine(RuleBasedStateMachine):
    """One history of a pipeline, with what must be true of it after every step."""

    runs = Bundle("runs")

    def __init__(self, world: World) -> None:
        super().__init__()
        world.counts["histories"] += 1
        for server in (world.server, world.canary):
            server.forget()
        self.world, self.server, self.place = world, world.server, world.new_place()
        self.tonight = 0
        self.readings: Counter[int] = Counter()
        self.judged: list[Run] = []
        self.pushed: set[str] = set()
        self.numbers: dict[str, int] = {}
        self.read: set[str] = set()
        self.logged: set[str] = set()
        self.seen: list[int] = []
        self.condemned: set[int] = set()
        self.wanted: set[tuple[int | None, int | None]] = set()
        self.gone: set[int] = set()
        self.wishes = 0
        self.is_settled = False

    @precondition(lambda self: self.tonight < DAYS)
    @rule(target=runs, found=findings, luck=luck)
    def a_night(self, found: Finding, luck: Luck) -> Any:
        self.tonight += 1
        return self.run(self.tonight, found, luck)

    @precondition(lambda self: self.tonight)
    @rule(target=runs, ago=st.integers(0, 6), found=findings, luck=luck)
    def a_backfill_or_manual_run(self, ago: int, found: Finding, luck: Luck) -> Any:
        return self.run(max(1, self.tonight - ago), found, luck)

    @precondition(lambda self: self.tonight + 2 <= DAYS)
    @rule(target=runs, found=st.lists(findings, min_size=2, max_size=2), is_older_first=st.booleans())
    def two_nights_at_once(self, found: list[Finding], is_older_first: bool) -> Any:
        """Both read what serves before either pushes: the second was judged against what served then."""
        self.tonight += 2
        days = (self.tonight - 1, self.tonight)
        waiting = [self.run(day, each, QUEUED) for day, each in zip(days, found, strict=True)]
        for run in waiting if is_older_first else reversed(waiting):
            self.push(run, None)
        return multiple(*waiting)

    @rule(target=runs, run=runs, found=findings, luck=luck)
    def a_run_cleared_and_judged_anew(self, run: Run, found: Finding, luck: Luck) -> Any:
        self.readings[run.day] += 1
        return self.run(run.day, found, luck)

    @rule(run=runs, mishap=mishaps)
    def a_late_push_or_retry(self, run: Run, mishap: Mishap | None) -> None:
        self.push(run, mishap)

    @precondition(lambda self: self.seen)
    @rule(far=st.integers(0, 3), mishap=mishaps, again=st.booleans())
    def a_person_goes_back(self, far: int, mishap: Mishap | None, again: bool) -> None:
        """To the previous version, or to one that has served; and once more if the first try is lost."""
        self.wishes += 1
        to = str(self.seen[-far]) if 0 < far <= len(self.seen) else "previous"
        target, wish = self.target_of(to), Wish(to, "for a test", f"wish {self.wishes}", is_run=True)
        self.wanted.add((self.serving, target))
        outcome = self.go_back(wish, mishap)
        if outcome in ("killed", "lost") and again:
            outcome = self.go_back(wish, None)
        self.is_settled = mishap is None and outcome == "done"
        if outcome not in ("killed", "lost"):
            assert outcome == ("nowhere" if target is None else "done")
            assert target in (None, self.serving)

    @invariant()
    def every_step_is_counted(self) -> None:
        self.count("steps")

    @invariant()
    def users_are_answered_by_what_was_blessed_and_by_older_data_only_if_a_person_wants_it(self) -> None:
        for version in self.server.named["stable"][len(self.seen) :]:
            before = self.seen[-1] if self.seen else None
            if (before, version) not in self.wanted:
                assert before is None or version // 1000 > before // 1000
                assert any(self.permits(run, before, version) for run in self.judged)
            self.see(before, version)
        assert self.serving == (self.seen[-1] if self.seen else None)

    @invariant()
    def what_was_served_stays_on_disk_until_housekeeping_takes_it(self) -> None:
        directories = self.place.directories()
        assert [version for version in {*self.seen} - self.gone if str(version) not in directories] == []

    @invariant()
    def nobody_holds_a_lock(self) -> None:
        for path in self.place.store.root.glob(".locks/release*"):
            with FileLock(path, timeout=0):
                pass

    @invariant()
    def label_alias_and_ledger_agree_once_somebody_has_looked(self) -> None:
        if not self.is_settled:
            return
        served = self.serving and self.version_of(self.serving)
        assert self.aliased() == (served and served.model["digest"])
        assert self.place.ledger.last_served == self.serving
        assert self.left_in_silence() == set()
        self.is_settled = False

    def teardown(self) -> None:
        for version in {*self.seen} - self.gone:
            found = self.place.serving.models_dir / self.place.model / str(version) / "saved_model.pb"
            model = self.place.store.manifest(self.version_of(version).model)
            assert digest_file(found) == model.files["saved_model/saved_model.pb"]["sha256"]
        shutil.rmtree(self.place.home)
        shutil.rmtree(self.place.serving.models_dir / self.place.model, ignore_errors=True)

    @property
    def records(self) -> Records:
        return Records(self.place.pipeline, self.place.store)

    @property
    def serving(self) -> int | None:
        return self.server.labelled(self.place.model)

    @property
    def unmoved(self) -> set[int | None]:
        """What may serve after somebody who does not move the label.

        A move that was lost after its config was written is taken up by the server's next reload, whoever
        asks for it: the version was asked and announced before.
        """
        lost = self.place.ledger.on_the_way
        return {self.serving, lost["to"]} if lost else {self.serving}

    def run(self, day: int, found: Finding, luck: Luck) -> Any:
        """A run of a day, which may be lost before its verdict, and whose push may have to wait."""
        if luck.restart:
            for server in (self.server, self.world.canary):
                server.restart()
            self.count("restarts")
        read: list[Artifact] = []
        outcome = self.outcome_of(
            lambda: read.append(self.place.resolve(day, self.readings[day])), luck.resolving
        )
        self.count(f"resolved: {outcome}")
        if not read:
            self.is_settled = False
            return multiple()
        if read[0]["digest"] not in self.read:
            self.read.add(read[0]["digest"])
            self.is_settled = True
        run = self.judge(day, found, read[0])
        self.judged.append(run)
        if not luck.queued:
            self.push(run, luck.pushing)
        return run

    def log(self, model: Artifact) -> None:
        """Register it, as the logging of a night does."""
        if model["digest"] in self.logged:
            return
        with open_mlflow(self.world.mlflow) as client:
            if not self.logged:
                client.create_registered_model(self.place.model)
            client.create_model_version(self.place.model, "/nowhere", tags={DIGEST: model["digest"]})
        self.logged.add(model["digest"])

    def aliased(self) -> str | None:
        """The model that the registry calls production."""
        with open_mlflow(self.world.mlflow) as client, suppress(MlflowException):
            return client.get_model_version_by_alias(self.place.model, PRODUCTION).tags[DIGEST]
        return None

    def left_in_silence(self) -> set[int]:
        """The versions that were left, where the registry neither says so nor is known not to have heard."""
        with open_mlflow(self.world.mlflow) as client:
            missed = unheard(self.place.ledger, Registry(client, self.place.model))
            versions = client.search_model_versions(f"name = '{self.place.model}'")
        said = {int(version.tags[SERVED_AS]) for version in versions if ROLLED_BACK in version.tags}
        left = rolled_back(self.place.ledger.entries())
        return {version for version, line in left.items() if version not in said and line not in missed}

    def push(self, run: Run, mishap: Mishap | None) -> None:
        served, expected, is_done = self.serving, self.expected_of(run), run.key in self.pushed
        unmoved = self.unmoved
        outcome = self.outcome_of(lambda: self.publish(run), mishap)
        self.count(f"pushed: {outcome}")
        if outcome in ("killed", "lost"):
            self.is_settled = False
            return
        assert outcome == expected
        if is_done or run.verdict != "PASS":
            assert self.serving == served
            return
        self.check_pushed(run, outcome, unmoved)
        # Alias and ledger follow a move that was taken up when somebody looks next.
        self.is_settled = unmoved == {served}

    def check_pushed(self, run: Run, outcome: str, unmoved: set[int | None]) -> None:
        """What a push that nothing happened to has done."""
        assert self.serving in ({self.numbers[run.digest]} if outcome == "done" else unmoved)

    def go_back(self, wish: Wish, mishap: Mishap | None) -> str:
        outcome = self.outcome_of(
            lambda: roll_back(wish, self.records, self.place.serving, self.world.mlflow), mishap
        )
        self.count(f"went back: {outcome}")
        return outcome

    def target_of(self, to: str) -> int | None:
        """Where a person gets to: previous is the last older version that served and was not left since."""
        if to != "previous":
            return int(to)
        older = [number for number in self.seen if number < self.seen[-1] and number not in self.condemned]
        return older[-1] if older else None

    def see(self, before: int | None, version: int) -> None:
        """The label has moved. Who goes back condemns what he leaves, and pardons what he goes to."""
        self.seen.append(version)
        self.condemned.discard(version)
        if before is not None and version < before:
            self.condemned.add(before)

    def judge(self, day: int, found: Finding, production: Artifact) -> Run:
        """Train, judge and log. The gate says the same whenever it is asked the same."""
        model = self.world.train(self.place, day, found.content)
        blessing = self.place.bless(day, model, production, found.verdict)
        self.log(model)
        return Run(
            day,
            found.content,
            self.place.store.read_json(blessing)["verdict"],
            self.place.store.read_json(production)["version"],
            {"model": model, "blessing": blessing, "production": production},
        )

    def publish(self, run: Run) -> None:
        pushed = self.place.push(run.day, **run.prepared)
        number = self.place.store.read_json(pushed)["version"]
        assert self.numbers.setdefault(run.digest, number) == number
        self.pushed.add(run.key)

    def expected_of(self, run: Run) -> str:
        """What a push must come to if nothing happens to it: the fence, said once more and otherwise."""
        served = self.serving and self.version_of(self.serving)
        if run.key in self.pushed:
            return "done"
        if run.verdict != "PASS":
            return "withheld"
        if served and served.model["digest"] == run.digest:
            return "done"
        if run.digest in {self.version_of(number).model["digest"] for number in self.condemned}:
            return "withheld"
        if run.judged_against != self.serving or (served and day_of(run.day).end <= served.watermark):
            return "withheld"
        return "wrong answers" if run.content == "fickle" else "done"

    def outcome_of(self, act: Callable[[], Any], mishap: Mishap | None) -> str:
        """Do something to which something may happen."""
        try:
            with self.world.fate.bringing(mishap):
                act()
        except Killed:
            return "killed"
        except Unavailable:
            assert mishap
            return "lost"
        except Withheld:
            return "withheld"
        except WrongAnswers:
            return "wrong answers"
        except Misconfigured as misconfigured:
            if "to go back to" not in str(misconfigured):
                raise
            return "nowhere"
        return "done"

    def permits(self, run: Run, before: int | None, version: int) -> bool:
        """Whether the gate let this run put this version in the place of the one before."""
        return (
            run.verdict == "PASS"
            and run.content != "fickle"
            and run.judged_against == before
            and run.digest == self.version_of(version).model["digest"]
        )

    def version_of(self, number: int) -> Version:
        version = Versions(self.place.pipeline, self.place.store).find(number)
        assert version is not None
        return version

    def count(self, what: str) -> None:
        self.world.counts[what] += 1
