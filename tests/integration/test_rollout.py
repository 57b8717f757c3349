"""A few users first, on real servers: router, mtail, Prometheus, MLflow and a model server for each track."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from ml.artifact import Artifact
from ml.config import Rollout
from ml.connections import MlflowConnection
from ml.errors import Withheld
from ml.release.history import rolled_back
from ml.release.rollout.promotion import Verdict, promote_canary
from ml.release.rollout.trial import find_trial
from ml.release.rollout.withdrawal import withdraw_canary
from ml.release.router import read_share
from ml.release.staging import WARMUP
from ml.release.wish import Wish
from tests.demo.model_server.process import running_model_server
from tests.demo.prometheus import INSTALL as INSTALL_MONITORING
from tests.demo.prometheus import is_monitoring_installed
from tests.demo.router import INSTALL, is_router_installed
from tests.demo.stack import empty_model_config
from tests.integration.canaries import LIMITS, CanaryPlace, canary_command_line
from tests.integration.clicking import Clicks
from tests.integration.publishing import save_models
from tests.integration.release_world import connection_to, without_tensorflow
from tests.integration.trials import Trials, running_trials

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_router_installed(), reason=INSTALL),
    pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL_MONITORING),
]

ONE, TWO, THREE, FOUR = 20261102001, 20261103001, 20261104001, 20261105001
# Judging by what users did takes at least a hundred of them on each track.
USERS = 300
# More than two seconds, a bound of the router's histogram. For a verdict stable's median has to be below half
# a second, the bound at a quarter of it: it is wherever these tests can run at all.
SLOW_MS = 2100
QUICK = LIMITS.model_copy(update={"latency_ratio": 4.0})
# Users who ask at once, so that the slow answers are waited for side by side.
AT_ONCE = 10


@contextmanager
def running_rollout(
    home: Path,
    mlflow: MlflowConnection,
    model: str,
    flags: Sequence[str] = (),
    servers: Literal["one", "two"] = "two",
    limits: Rollout = LIMITS,
) -> Iterator[Trials]:
    """Everything, after a night that is served; ``flags`` are those of the server that has the canary."""
    save_models(home / "saved_models")
    models = home / "models"
    stable_file, canary_file = map(empty_model_config, (models / "models.config", models / "canary.config"))
    with ExitStack() as stack:
        start = stack.enter_context
        if servers == "two":
            stable = start(running_model_server(stable_file, home / "stable.log"))
            canary = start(running_model_server(canary_file, home / "canary.log", flags))
        else:
            stable, canary = start(running_model_server(stable_file, home / "stable.log", flags)), None
        place = CanaryPlace(
            home / "store",
            model,
            connection_to(stable, stable_file),
            mlflow,
            home / "saved_models",
            canary=connection_to(canary, canary_file) if canary else None,
            limits=limits,
        )
        place.night(2)
        yield start(running_trials(home, place, stable, canary))


def moves(place: CanaryPlace) -> list[tuple[Any, ...]]:
    lines = place.ledger.entries()
    return [(line["event"], line["action"], line["label"], line["to"]) for line in lines]


def test_a_canary_that_fails_is_withdrawn_and_users_see_no_error(mlflow: MlflowConnection, tmp_path: Path):
    with running_rollout(tmp_path, mlflow, "failing", ["--inject_error_ratio=0.8"]) as world:
        place = world.place
        assert (place.served(), find_trial(place.records)) == (ONE, None)
        prepared = place.prepare(3)
        place.push(3, **prepared)
        assert (place.served(), place.on_canary()) == (ONE, TWO)
        assert read_share(place.pipeline, place.serving) == 0.5

        look = world.judge(TWO)
        assert look.judgement.decision == "ROLL_BACK"
        assert "of the canary's requests fail" in look.judgement.reasons[0]
        assert look.evidence is not None
        evidence = place.store.read_json(look.evidence)
        assert evidence["observations"]["canary"]["failed"] > 0
        assert evidence["observations"]["stable"]["failed"] == 0

        wish = Wish(str(TWO), look.judgement.reasons[0], "rollout", look.evidence["uri"])
        for _ in range(2):
            assert withdraw_canary(TWO, wish, place.records, place.tracks, place.mlflow)
        assert (place.served(), place.on_canary()) == (ONE, None)
        assert read_share(place.pipeline, place.serving) == 0.0
        assert moves(place)[2:] == [
            ("moving", "push", "canary", TWO),
            ("moved", "push", "canary", TWO),
            ("noted", "withdraw", "canary", TWO),
        ]
        assert set(rolled_back(place.ledger.entries())) == {TWO}
        with pytest.raises(Withheld, match=rf"the content of {TWO} was withdrawn as a canary"):
            push_again(place, 3, prepared)


def promote_by_command_line(place: CanaryPlace, version: int) -> None:
    """As an operator does; the version is warmed up on stable's server as it was on the canary's."""
    command = ["rollout", "promote", "--pipeline", "clicks", "--reason", "it is as good"]
    without_tensorflow(canary_command_line(place), *command)
    servers = (place.serving, place.tracks.canary)
    warmup = [server.version_directory(place.model, version) / WARMUP for server in servers]
    assert filecmp.cmp(*warmup, shallow=False)


def push_again(place: CanaryPlace, day: int, prepared: dict[str, Artifact]) -> None:
    production = place.resolve(day, attempt=2)
    blessing = place.produce(
        "blessing",
        day,
        {"model": prepared["model"], "production": production},
        lambda draft: draft.write_json({"verdict": "PASS", "publish": True, "reasons": ["again"]}),
    )
    place.push(day, prepared["model"], blessing, production)


def test_a_healthy_canary_is_promoted_and_a_newer_one_takes_the_place_of_one_on_trial(
    mlflow: MlflowConnection, tmp_path: Path
):
    with running_rollout(tmp_path, mlflow, "healthy") as world:
        place = world.place
        place.night(3)
        place.night(4)
        assert (place.served(), place.on_canary()) == (ONE, THREE)
        with pytest.raises(Withheld, match=f"{TWO} of clicks is not on trial any more: {THREE} is"):
            world.look(TWO)
        look = world.judge(THREE)
        assert look.judgement.decision == "PROMOTE", look.judgement.reasons

        world.ask(USERS)
        verdict = Verdict(THREE, look.trial.stable, Wish(str(THREE), "it is as good", "rollout"))
        promote_by_command_line(place, THREE)
        again = promote_canary(verdict, place.records, place.tracks, place.mlflow)

        assert (again.version, again.previous, again.aliased) == (THREE, THREE, True)
        assert (place.served(), place.on_canary()) == (THREE, None)
        assert read_share(place.pipeline, place.serving) == 0.0
        assert moves(place)[-2:] == [
            ("moving", "promote", "stable", THREE),
            ("moved", "promote", "stable", THREE),
        ]
        assert find_trial(place.records) is None
        assert set(world.ask(20)) == {200}
        its_later_word_is_on_record_and_says_how_to_go_back(Clicks(place, world.router))

        place.night(5)
        promote_canary(verdict, place.records, place.tracks, place.mlflow)
        assert (place.on_canary(), read_share(place.pipeline, place.serving)) == (FOUR, 0.5)


def its_later_word_is_on_record_and_says_how_to_go_back(clicks: Clicks) -> None:
    said = [clicks.judge(clicked_on_canary=0.1) for _ in range(2)]

    assert said[0] == said[1]
    [later] = [one for one in said[0] if one.version == THREE]
    assert later.verdict == "DOUBTED", later.reasons
    assert later.command.startswith("python -m ml rollback --pipeline clicks --to previous")
    lines = [line for line in clicks.place.ledger.entries() if line["action"] == "reassess"]
    assert [line["verdict"] for line in lines if line["to"] == THREE] == ["DOUBTED"]
    assert clicks.tagged(THREE)["realised.verdict"] == "DOUBTED"


def test_on_one_server_a_slow_canary_is_withdrawn_and_the_next_one_is_promoted(
    mlflow: MlflowConnection, tmp_path: Path
):
    fault = [f"--inject_latency_ms={SLOW_MS}", f"--inject_version={TWO}"]
    with running_rollout(tmp_path, mlflow, "slow", fault, "one", QUICK) as world:
        place = world.place
        place.night(3)
        assert (place.served(), place.on_canary()) == (ONE, TWO)

        slow = world.judge(TWO, AT_ONCE)
        assert slow.judgement.decision == "ROLL_BACK", slow.judgement.reasons
        assert "more than 4 times, for sure" in slow.judgement.reasons[0]
        assert place.withdraw(TWO, slow.judgement.reasons[0])
        assert (place.served(), place.on_canary()) == (ONE, None)

        place.night(4)
        assert (place.served(), place.on_canary()) == (ONE, THREE)
        healthy = world.judge(THREE)
        assert healthy.judgement.decision == "PROMOTE", healthy.judgement.reasons
        place.promote(THREE)

        assert (place.served(), place.on_canary()) == (THREE, None)
        assert set(world.ask(20)) == {200}
