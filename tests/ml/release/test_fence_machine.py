"""The fence, proved on random histories: nights, retries, roll-backs, trials, alerts and deaths in any order.

``make prove-fence`` runs many more histories than the suite does.
"""

from __future__ import annotations

import json
import os
import pkgutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ml.connections import MlflowConnection, PrometheusConnection
from ml.errors import Misconfigured, StoreCorrupted, Unavailable, Withheld
from ml.release.golden_version import readmit, set_golden
from ml.release.mirror import describe
from ml.release.model_config import Entry, read_config, with_entry, write_config
from ml.release.production import publication_lock
from ml.release.reconciliation import reconcile, settle
from ml.release.registry import Registry
from ml.release.rollback import roll_back
from ml.release.rollout.trial import find_last_trial
from ml.release.rollout.watch import watch_canary
from ml.release.router import read_share, route_file
from ml.release.server import ModelServer
from ml.release.tracking import PATIENCE, open_mlflow
from ml.release.wish import Wish
from tests.integration.canaries import CanaryPlace
from tests.integration.outgoing import load, loaded
from tests.integration.publishing import day_of, version_of
from tests.ml.release.fence_machine import FenceMachine
from tests.ml.release.histories import CALM, QUEUED, Finding, Run, World, opened_world
from tests.ml.release.mishaps import Mishap
from tests.ml.release.rollout_machine import RolloutMachine
from tests.ml.release.watch_machine import WatchMachine

HISTORIES = int(os.environ.get("FENCE_HISTORIES", "8"))
STEPS, LEAST_STEPS = 50, 10  # of a history: at most, and on average at least
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened_world(tmp_path_factory.mktemp("fence")) as world:
        yield world


def test_no_history_puts_data_in_front_of_users_that_is_older_or_not_blessed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    histories = settings(max_examples=HISTORIES, stateful_step_count=STEPS, phases=PHASES)
    run_state_machine_as_test(lambda: WatchMachine(world), settings=histories)
    least = LEAST_STEPS * HISTORIES
    with capsys.disabled():
        print(f"\n{world.account()}, of at least {least:,d}, in {time.monotonic() - started:.0f} s")
    assert world.counts["steps"] >= least


BLESSED = Finding("good", "PASS")
AWAY = MlflowConnection(uri="http://127.0.0.1:9")


def test_a_push_that_fails_where_one_was_killed_leaves_the_label_on_what_serves(world: World) -> None:
    """The config file is ahead of the server, and says so to a server that restarts."""
    history = FenceMachine(world)
    history.run(1, BLESSED, CALM)
    second = history.run(2, BLESSED, QUEUED)
    history.push(second, Mishap("killed", at=2, effect="ml.release.rpc.RpcServer.reload"))
    served = history.serving

    history.push(second, Mishap("lost", at=0, effect="ml.release.rest.RestServer.states"))
    history.server.restart()

    assert history.serving == served


def test_a_version_that_has_served_stays_on_disk_when_its_second_push_fails(world: World) -> None:
    history = FenceMachine(world)
    history.run(1, BLESSED, CALM)
    second = history.run(2, BLESSED, CALM)
    history.go_back(Wish("previous", "for a test", "somebody"), None)
    readmitted = Wish(str(history.numbers[second.digest]), "for a test", "somebody")
    readmit(readmitted, history.records, history.place.serving, history.place.mlflow)
    history.readings[2] += 1

    history.run(
        2, BLESSED, replace(CALM, pushing=Mishap("lost", at=0, effect="ml.release.rpc.RpcServer.predict"))
    )

    assert history.serving == history.numbers[history.judged[0].digest]
    assert str(history.numbers[second.digest]) in history.place.directories()


def test_only_what_was_rolled_back_is_readmitted(world: World) -> None:
    history = FenceMachine(world)
    night = history.run(1, BLESSED, CALM)
    wish = Wish(str(history.numbers[night.digest]), "for a test", "somebody")

    with pytest.raises(Misconfigured, match=r"was not rolled back, .* Withheld: none"):
        readmit(wish, history.records, history.place.serving, history.place.mlflow)


def test_the_watch_goes_back_once_however_often_it_was_killed_on_the_way(world: World) -> None:
    history = WatchMachine(world)
    for day in (1, 2, 3):
        history.run(day, BLESSED, CALM)
        history.users_are_answered_by_what_was_blessed_and_by_older_data_only_if_a_person_wants_it()
    second = history.server.named["stable"][1]

    for at in range(9):
        history.an_alert_fires_and_the_watch_looks(Mishap("killed", at * 4))
        history.users_are_answered_by_what_was_blessed_and_by_older_data_only_if_a_person_wants_it()
    for _ in range(2):
        history.an_alert_fires_and_the_watch_looks(None)

    assert history.server.named["stable"][3:] == [second]
    assert history.place.ledger.last_served == second


def after_two_nights(history: FenceMachine) -> tuple[int, int]:
    """Let two nights publish; their versions, the one that serves last."""
    for day in (1, 2):
        history.run(day, BLESSED, CALM)
    first, second = history.server.named["stable"]
    return first, second


def after_a_start(world: World, tracks: str) -> RolloutMachine:
    """A pipeline with a canary whose second version is on trial beside the first."""
    history = RolloutMachine(world)
    history.a_pipeline(tracks)
    for day in (1, 2):
        history.run(day, BLESSED, CALM)
    return history


def test_a_canary_is_not_judged_by_the_answers_of_one_whose_start_was_lost(world: World) -> None:
    history = after_a_start(world, "one")
    third = history.run(3, BLESSED, QUEUED)
    history.push(third, Mishap("killed", at=3, effect="ml.release.rpc.RpcServer.reload"))
    assert history.trial is not None
    trial, nobody = history.trial, PrometheusConnection(address="http://127.0.0.1:9")

    soon, late = (
        watch_canary(trial.version.number, history.records, nobody, trial.since + timedelta(minutes=minutes))
        for minutes in (1, 24 * 60)
    )

    assert history.on_canary != trial.version.number
    assert [look.judgement.decision for look in (soon, late)] == ["WAIT", "HOLD"]
    assert f"the start of {history.on_canary} is on its way or was lost" in soon.judgement.reasons[0]


@pytest.mark.parametrize("tracks", ["one", "two"])
@pytest.mark.parametrize(
    "effect", ["mlflow.MlflowClient.set_registered_model_alias", "ml.release.router.write_atomically"]
)
def test_who_goes_back_from_a_promotion_that_was_lost_leaves_nobody_on_what_he_left(
    world: World, tracks: str, effect: str
) -> None:
    """The canary's share is closed last; until then a few users are sent there."""
    history = after_a_start(world, tracks)
    history.tell(
        "promoted", lambda: history.promote(history.verdict(0)), Mishap("killed", at=0, effect=effect)
    )
    assert read_share(history.place.pipeline, history.place.serving) > 0

    history.go_back(
        Wish("previous", "for a test", "somebody"),
        Mishap("killed", at=1, effect="ml.release.rpc.RpcServer.reload"),
    )

    assert history.serving == history.numbers[history.judged[0].digest]
    assert read_share(history.place.pipeline, history.place.serving) == 0


@pytest.mark.parametrize("decision", ["promote", "withdraw"])
def test_a_person_can_finish_the_end_of_a_trial_that_was_lost(world: World, decision: str) -> None:
    """The ledger says already that the trial is over, and the canary's server has not heard of it."""
    history = after_a_start(world, "two")
    version = history.on_canary
    assert version is not None
    decide = {
        "promote": lambda: history.promote(history.verdict(0)),
        "withdraw": lambda: history.withdraw(version),
    }
    lost = Mishap("killed", at=0, effect="mlflow.MlflowClient.delete_registered_model_alias")
    history.tell("decided", decide[decision], lost)
    assert (history.trial, history.on_canary) == (None, version)

    found = find_last_trial(history.records)
    assert found is not None
    assert found.version.number == version
    assert history.tell("decided", decide[decision], None) == "done"

    assert history.on_canary is None


def test_a_ledger_from_before_a_withdrawal_does_not_pass_for_the_whole_one(world: World) -> None:
    history = after_a_start(world, "one")
    ledger, version = history.place.ledger, history.on_canary
    assert version is not None
    older = ledger.path.read_bytes(), ledger.chain.head_path.read_bytes()
    history.withdraw(version)
    lines = len(ledger.entries())

    ledger.path.write_bytes(older[0])
    ledger.chain.head_path.write_bytes(older[1])

    with pytest.raises(StoreCorrupted, match=rf"MLflow has followed line {lines} .* has no such line"):
        history.place.resolve(3)


def test_a_withdrawal_does_not_wait_for_mlflow_and_its_repetition_tells_it(world: World) -> None:
    history = after_a_start(world, "one")
    version, effect = history.on_canary, "mlflow.MlflowClient.set_registered_model_tag"
    assert version is not None
    lines = len(history.place.ledger.entries())

    lost = Mishap("lost", at=0, effect=effect)
    assert history.tell("withdrew", lambda: history.withdraw(version), lost) == "done"
    assert (history.on_canary, history.trial) == (None, None)
    assert followed(history) == lines - 1

    history.withdraw(version)
    assert followed(history) == lines + 1
    assert len(history.place.ledger.entries()) == lines + 1


def test_the_next_night_tells_mlflow_of_a_withdrawal_that_it_has_missed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    history = after_a_start(world, "one")
    version, effect = history.on_canary, "mlflow.MlflowClient.set_registered_model_tag"
    assert version is not None
    history.tell("withdrew", lambda: history.withdraw(version), Mishap("lost", at=0, effect=effect))
    lines = len(history.place.ledger.entries())
    assert followed(history) < lines

    history.place.resolve(3)

    assert followed(history) == lines
    assert f"MLflow has heard now of line {lines} of the ledger: withdraw of {version}" in caplog.text


def test_a_move_that_mlflow_hears_of_late_is_not_taken_for_the_ledgers_last_line(world: World) -> None:
    """A ledger whose end is gone would pass for the whole one."""
    history = RolloutMachine(world)
    for day in (1, 2):
        history.run(day, BLESSED, CALM)
    second, place = history.serving, history.place
    history.go_back(
        Wish("previous", "for a test", "somebody"),
        Mishap("lost", at=0, effect="mlflow.MlflowClient.set_model_version_tag"),
    )
    readmit(Wish(str(second), "for a test", "somebody"), history.records, place.serving, AWAY)
    lines = len(place.ledger.entries())

    place.resolve(3)

    assert [line["event"] for line in place.ledger.entries()[lines - 2 :]] == ["moved", "noted", "settled"]
    assert followed(history) == lines


def test_of_several_roll_backs_that_mlflow_has_missed_it_hears_of_each(world: World) -> None:
    history = RolloutMachine(world)
    for day in (1, 2, 3, 4, 5):
        history.run(day, BLESSED, CALM)
    first, second, third, fourth, fifth = history.server.named["stable"]
    place, previous = history.place, Wish("previous", "it was worse", "somebody")

    def go_back_without_mlflow() -> dict[str, Any]:
        assert not roll_back(previous, history.records, place.serving, AWAY).aliased
        return place.ledger.entries()[-1]

    def unheard() -> tuple[str, ...]:
        return reconcile(history.records, place.serving, place.mlflow).unheard

    def tagged() -> set[int]:
        tags = tags_of_versions(history)
        return {version for version in tags if "rolled_back" in tags[version]}

    # MLflow is back for the second move, which tells of the first.
    go_back_without_mlflow()
    history.go_back(previous, None)
    assert (tagged(), unheard()) == ({fifth, fourth}, ())

    # It is away for two, and a person has something else to say when it is back.
    missed = [go_back_without_mlflow() for _ in range(2)]
    assert unheard() == tuple(map(describe, missed))
    readmit(Wish(str(fifth), "it was not", "somebody"), history.records, place.serving, place.mlflow)
    assert tagged() == {fifth, fourth, third, second}
    tags = tags_of_versions(history)
    assert tags[third]["rolled_back"] == f"{missed[0]['time']} by somebody: it was worse"
    assert json.loads(tags[second]["ledger.line"]) == missed[0]

    # The alias follows what really serves.
    assert history.aliased() == history.version_of(third).model["digest"]
    assert unheard() == (describe(missed[1]),)
    place.resolve(6)
    assert history.aliased() == history.version_of(first).model["digest"]
    assert reconcile(history.records, place.serving, place.mlflow).agree


@pytest.mark.parametrize("tracks", ["none", "one"])
def test_who_holds_the_lock_of_users_own_server_does_not_wait_long_for_mlflow(
    world: World, tracks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hang, and a person who wants to go back waits for the lock."""
    history = RolloutMachine(world)
    history.a_pipeline(tracks)
    history.run(1, BLESSED, CALM)
    second = history.run(2, BLESSED, QUEUED)
    place = replace(history.place, mlflow=AWAY)
    monkeypatch.delitem(PATIENCE, "long")

    for act in (
        lambda: place.resolve(3),
        lambda: place.push(second.day, **second.prepared),
        lambda: settle(history.records, place.serving, AWAY),
    ):
        with pytest.raises(Unavailable, match=f"the MLflow server at {AWAY.uri} did not answer"):
            act()

    history.push(second, None)
    assert version_of(2) in (history.serving, history.on_canary)


def tags_of_versions(history: RolloutMachine) -> dict[int, dict[str, str]]:
    """What MLflow says of each version that has served."""
    with open_mlflow(history.place.mlflow) as client:
        versions = client.search_model_versions(f"name = '{history.place.model}'")
    return {int(version.tags["serving.version"]): version.tags for version in versions}


def test_a_golden_version_that_mlflow_has_not_heard_of_is_named_there_by_the_next_night(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    history = RolloutMachine(world)
    history.run(1, BLESSED, CALM)
    place, golden = history.place, history.version_of(history.serving)
    wish = Wish(str(golden.number), "for a test", "somebody")
    assert not set_golden(wish, history.records, place.serving, AWAY).aliased
    line = place.ledger.entries()[-1]
    assert (line["event"], line["label"], line["alias"]) == ("moved", "golden", False)

    found = reconcile(history.records, place.serving, place.mlflow)
    place.resolve(2)

    assert f"All three agree, and MLflow has not heard of: golden to {golden.number}" in found.finding
    assert found.command == "python -m ml reconcile --pipeline clicks --settle"
    assert f"MLflow has heard now of line {line['line']} of the ledger: golden to" in caplog.text
    with open_mlflow(place.mlflow) as client:
        assert Registry(client, place.model).aliased_digest("golden") == golden.model["digest"]
    last = place.ledger.entries()[-1]
    assert (last["event"], last["label"], last["alias"]) == ("settled", "golden", True)
    assert reconcile(history.records, place.serving, place.mlflow).agree

    place.resolve(2)
    assert place.ledger.entries()[-1] == last


def followed(history: RolloutMachine) -> int:
    """The number of the ledger's line that the registry has followed last."""
    with open_mlflow(history.place.mlflow) as client:
        head = Registry(client, history.place.model).head()
    assert head is not None
    return head[0]


def test_the_night_after_a_promotion_that_was_lost_closes_the_canary(world: World) -> None:
    history = after_a_start(world, "two")
    lost = Mishap("killed", at=0, effect="ml.release.router.write_atomically")
    history.tell("promoted", lambda: history.promote(history.verdict(0)), lost)

    history.place.resolve(3)

    assert read_share(history.place.pipeline, history.place.serving) == 0


def test_a_roll_back_that_was_lost_before_the_server_heard_of_it_is_done_by_whoever_tells_it_next(
    world: World,
) -> None:
    """A server that reads its config file by itself does the same within seconds."""
    history = RolloutMachine(world)
    first, second = after_two_nights(history)
    back = Wish("previous", "for a test", "somebody")
    history.go_back(back, Mishap("killed", at=0, effect="ml.release.rpc.RpcServer.reload"))
    assert history.serving == second
    place = history.place

    set_golden(Wish(str(second), "for a test", "somebody"), history.records, place.serving, place.mlflow)
    assert history.serving == first
    place.resolve(3)

    assert place.ledger.last_served == first
    assert history.aliased() == history.version_of(first).model["digest"]


def test_who_stays_after_a_roll_back_that_was_lost_keeps_the_way_back_loaded(world: World) -> None:
    history = FenceMachine(world)
    first, second = after_two_nights(history)
    back, stay = (Wish(to, "for a test", "somebody") for to in ("previous", str(second)))
    history.go_back(back, Mishap("killed", at=0, effect="ml.release.model_config.write_atomically"))

    assert history.go_back(stay, None) == "done"

    assert history.serving == second
    assert {first, second} <= set(loaded(history.place))


def test_a_version_that_the_server_is_about_to_unload_is_offered_again_before_it_gets_the_label(
    world: World,
) -> None:
    history = FenceMachine(world)
    first, second = after_two_nights(history)
    config_file, place = history.server.connection.config_file, history.place
    with ModelServer(place.serving, place.model) as server:
        entry = server.entry().without(first, "stable", second)
    write_config(config_file, with_entry(read_config(config_file), entry))

    reloaded_once = Mishap("killed", at=1, effect="ml.release.rpc.RpcServer.reload")
    history.go_back(Wish("previous", "for a test", "somebody"), reloaded_once)

    assert history.serving == second
    assert first in loaded(place)


def test_housekeeping_after_a_roll_back_that_was_lost_leaves_the_way_further_back(world: World) -> None:
    history = RolloutMachine(world)
    for day in (1, 2, 3, 4):
        history.run(day, BLESSED, CALM)
    first = history.server.named["stable"][0]
    wish = Wish(str(history.server.named["stable"][1]), "for a test", "somebody")
    history.go_back(wish, Mishap("killed", at=3, effect="ml.release.rpc.RpcServer.reload"))
    assert history.serving == history.server.named["stable"][1]

    history.keep_house()

    assert first in history.on_disk()


def test_a_server_that_has_not_heard_of_a_lost_housekeeping_is_told_by_the_next(world: World) -> None:
    """The config file says already that the version is gone, and nobody reads the file by himself."""
    history = RolloutMachine(world)
    for day in (1, 2, 3, 4):
        history.run(day, BLESSED, CALM)
    oldest = history.server.named["stable"][0]
    load(history.place, oldest)
    lost = Mishap("killed", at=0, effect="ml.release.rpc.RpcServer.reload")
    assert history.tell("kept house", history.keep_house, lost) == "killed"
    assert oldest in loaded(history.place)

    assert history.tell("kept house", history.keep_house, None) == "done"

    assert oldest not in history.on_disk()


@pytest.mark.parametrize("tracks", ["one", "two"])
def test_a_start_that_was_lost_after_it_took_the_place_of_another_canary_goes_on(
    world: World, tracks: str
) -> None:
    """The canary before is unloaded by then, and no label can go back to it."""
    history = after_a_start(world, tracks)
    third = history.run(3, BLESSED, QUEUED)
    history.push(third, Mishap("killed", at=3, effect="ml.release.rpc.RpcServer.reload"))
    assert history.on_canary == 20261103001

    history.push(third, None)

    assert history.trial is not None
    assert history.trial.version.number == history.on_canary


def after(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> None:
    """Do something once, right after a function has returned for the first time."""
    owner, attribute = name.rsplit(".", 1)
    function, acts = pkgutil.resolve_name(name), iter([act])

    @wraps(function)
    def then_act(*arguments: Any, **settings: Any) -> Any:
        result = function(*arguments, **settings)
        if act := next(acts, None):
            act()
        return result

    monkeypatch.setattr(pkgutil.resolve_name(owner), attribute, then_act)


def after_a_promotion(world: World) -> tuple[RolloutMachine, Run, int]:
    """Two versions have served, the canary has a server of its own, and a third waits for its push."""
    history = after_a_start(world, "two")
    history.promote(history.verdict(0))
    first = history.numbers[history.judged[0].digest]
    return history, history.run(3, BLESSED, QUEUED), first


def test_a_promotion_that_was_judged_beside_what_serves_no_more_says_how_to_judge_it_again(
    world: World,
) -> None:
    history, third, first = after_a_promotion(world)
    history.push(third, None)
    judged, number = history.verdict(0), history.on_canary
    assert number is not None
    assert history.go_back(Wish("previous", "for a test", "somebody"), None) == "done"

    with pytest.raises(Withheld, match=r"clear the run from watch_canary on\. Meanwhile .* stays on trial"):
        history.promote(judged)
    assert (history.serving, history.on_canary) == (first, number)

    assert isinstance(history.place, CanaryPlace)
    history.place.promote(number)
    assert (history.serving, history.on_canary) == (number, None)


def go_back_at_once(history: RolloutMachine) -> None:
    """Go back if nobody has to be waited for."""
    with history.place.store.lock_if_free(publication_lock(history.place.serving)) as free:
        assert free
    assert history.go_back(Wish("previous", "for a test", "somebody"), None) == "done"


def test_users_go_back_while_the_canarys_server_loads_and_what_it_has_loaded_is_not_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, third, first = after_a_promotion(world)
    loads = "ml.release.rest.RestServer.await_available"
    after(monkeypatch, loads, lambda: go_back_at_once(history))

    assert history.outcome_of(lambda: history.publish(third), None) == "withheld"

    assert (history.serving, history.on_canary, history.trial) == (first, None, None)
    assert loaded(history.place, world.canary.connection) == []
    assert read_share(history.place.pipeline, history.place.serving) == 0


@pytest.mark.parametrize("decision", ["promote", "withdraw"])
def test_users_go_back_while_the_canarys_server_unloads(
    world: World, decision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, third, first = after_a_promotion(world)
    history.push(third, None)
    canary = history.on_canary
    assert canary is not None
    applied, unloads = ModelServer.apply, "ml.release.server.ModelServer.apply"
    models = world.canary.connection.models_dir

    def go_back_meanwhile(server: ModelServer, entry: Entry, seconds: float) -> None:
        if "canary" not in entry.labels and models in server.directory(0).parents:
            monkeypatch.setattr(unloads, applied)
            go_back_at_once(history)
        applied(server, entry, seconds)

    monkeypatch.setattr(unloads, go_back_meanwhile)
    if decision == "promote":
        history.promote(history.verdict(0))
    else:
        history.withdraw(canary)

    assert ModelServer.apply is applied
    assert history.serving == (history.numbers[history.judged[1].digest] if decision == "promote" else first)
    assert history.on_canary is None
    assert read_share(history.place.pipeline, history.place.serving) == 0


def test_a_withdrawal_that_comes_late_leaves_the_newer_canary_its_users(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = after_a_start(world, "two")
    older = history.on_canary
    assert older is not None
    after(monkeypatch, "ml.release.rollout.withdrawal._admit", lambda: history.run(3, BLESSED, CALM))

    assert history.outcome_of(lambda: history.withdraw(older), None) == "withheld"

    newer = history.on_canary
    assert newer is not None
    assert newer > older
    assert read_share(history.place.pipeline, history.place.serving) == 0.5
    route = json.loads(route_file(history.place.pipeline, history.place.serving).read_text())
    assert route["salt"] == str(newer)


def test_a_version_that_somebody_unloads_before_its_label_moves_is_loaded_by_the_next_try(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, third, _ = after_a_promotion(world)
    number = history.records.versions.allot(third.prepared["model"], day_of(third.day)).number

    def unload() -> None:
        with ModelServer(world.canary.connection, history.place.model) as server:
            server.apply(server.entry().without(number, "canary", None), 60)

    after(monkeypatch, "ml.release.publication.Publication.prepare", unload)
    with pytest.raises(Unavailable, match=f"version {number} was loaded .* and somebody has unloaded it"):
        history.publish(third)
    assert history.trial is None

    history.push(third, None)

    assert history.on_canary == number
