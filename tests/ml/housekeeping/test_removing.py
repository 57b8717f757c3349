"""Taking artifacts off a real disk: what is found again, what a lost run leaves, and who is not disturbed."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest

from ml.__main__ import build_parser
from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.errors import Removed, StoreCorrupted
from ml.housekeeping.limits import DAYS, JUDGEMENTS, SNAPSHOTS
from ml.housekeeping.plan import Plan, read_plan
from ml.housekeeping.removing import TRASH, Sweep, empty_trash, remove_artifacts
from ml.manifest import Identity
from ml.removal import Removal, find_removal, removed
from ml.store import Store
from tests.ml.housekeeping.rooms import NIGHT, NOW, is_there, make, make_night, path_of, use, whole

FORK = multiprocessing.get_context("fork")


def plan_of(store: Store, pipeline: Pipeline, *roots: Artifact) -> Plan:
    return read_plan(pipeline, store, {root["uri"]: "served" for root in roots}, {}, NOW)


def keep_house(store: Store, pipeline: Pipeline, *roots: Artifact) -> Sweep:
    return remove_artifacts(store, plan_of(store, pipeline, *roots), whole)


def files(store: Store) -> set[str]:
    """Everything in the store but its locks."""
    found = (path.relative_to(store.root) for path in store.root.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != ".locks"}


def test_an_old_night_goes_and_a_young_one_stays(store: Store, pipeline: Pipeline) -> None:
    old, young = make_night(store, 50), make_night(store, 5)

    keep_house(store, pipeline)

    assert [kind for kind in NIGHT if is_there(store, old[kind])] == []
    assert [kind for kind in NIGHT if not is_there(store, young[kind])] == []
    assert not (store.root / TRASH / "small").exists()


def test_the_model_that_is_served_keeps_all_that_it_was_made_from(store: Store, pipeline: Pipeline) -> None:
    night = make_night(store, 300)

    keep_house(store, pipeline, night["model"])

    stayed = {kind for kind in NIGHT if is_there(store, night[kind])}
    assert stayed == {"offsets", "examples", "statistics", "anomalies", "training_window", "model"}


def test_a_night_that_was_judged_against_a_model_keeps_it(store: Store, pipeline: Pipeline) -> None:
    served, statistics = make(store, "model", 90), make(store, "statistics", 90)
    content = {"model": served, "statistics": [statistics], "pushed_model": None}
    make(store, "production", 3, content=content)

    assert keep_house(store, pipeline).removed == []


def test_a_second_housekeeping_finds_nothing_to_do(store: Store, pipeline: Pipeline) -> None:
    make_night(store, 50)
    first = keep_house(store, pipeline)
    after = files(store)

    assert len(first.removed) == len(NIGHT)
    assert keep_house(store, pipeline) == Sweep()
    assert files(store) == after


def test_a_plan_changes_nothing(store: Store, pipeline: Pipeline) -> None:
    make_night(store, 50)
    before = files(store)

    assert plan_of(store, pipeline).artifacts
    assert files(store) == before


def test_decisions_and_records_of_versions_are_never_looked_at(store: Store, pipeline: Pipeline) -> None:
    make_night(store, 50)
    kept = ["landing/decisions/2024-01-01.json", "release/versions/20240101001.json", "release/ledger.jsonl"]
    for name in kept:
        path = store.root / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")
        os.utime(path, (0, 0))

    keep_house(store, pipeline)

    assert [name for name in kept if not (store.root / "small" / name).exists()] == []


def test_who_asks_for_what_was_removed_is_told_when_why_and_what_to_do(
    store: Store, pipeline: Pipeline
) -> None:
    model = make(store, "model", 50)
    keep_house(store, pipeline)

    with pytest.raises(Removed) as told:
        store.open(model)
    assert f"was removed by housekeeping on {NOW:%Y-%m-%d}" in str(told.value)
    assert "kept for 20 days (housekeeping.models_days)" in str(told.value)
    assert "`python -m ml train_candidate --pipeline small --day" in str(told.value)


@pytest.mark.parametrize("kind", sorted(DAYS | SNAPSHOTS | JUDGEMENTS))
def test_what_is_told_to_make_a_removed_artifact_again_is_taken(kind: str) -> None:
    said = str(removed(f"store:small/{kind}/2026-03-10-0a1b", Removal(NOW.isoformat(), "out of date")))

    if kind in ("predictions", "realised", "rollout", "watch"):
        assert "No night makes it again" in said
    else:
        [command] = re.findall("`python -m ml (.*)`", said)
        assert build_parser().parse_args(command.split()).day == date(2026, 3, 10)


def test_the_day_to_make_again_is_that_of_the_pipelines_own_clocks(store: Store, pipeline: Pipeline) -> None:
    """In the summer of New Zealand the middle of a day in UTC lies in the day before."""
    zone = "Pacific/Auckland"
    landing = pipeline.landing.model_copy(update={"time_zone": zone})
    window = Window.of_day(date(2026, 1, 15), zone)
    model = store.produce(Identity("model", "small", window, {}, {}), lambda draft: draft.write_json({}))
    assert "/2026-01-14-" in model["uri"]

    keep_house(store, pipeline.model_copy(update={"landing": landing}))

    with pytest.raises(Removed, match="train_candidate --pipeline small --day 2026-01-15"):
        store.open(model)


def test_what_was_made_again_is_there_again(store: Store, pipeline: Pipeline) -> None:
    examples = make(store, "examples", 50)
    keep_house(store, pipeline)

    assert make(store, "examples", 50) == examples
    assert find_removal(store.root, examples["uri"]) is None
    assert (store.open(examples) / "bytes").read_text() == "1 2 3"


def test_a_reader_who_has_opened_a_file_reads_on(store: Store, pipeline: Pipeline) -> None:
    examples = make(store, "examples", 50)
    with (path_of(store, examples) / "bytes").open() as file:
        keep_house(store, pipeline)

        assert not is_there(store, examples)
        assert file.read() == "1 2 3"


def test_what_a_run_uses_meanwhile_stays_with_all_that_it_was_made_from(
    store: Store, pipeline: Pipeline
) -> None:
    night = make_night(store, 50)
    plan = plan_of(store, pipeline)
    use(store, night["training_window"], 0)

    sweep = remove_artifacts(store, plan, whole)

    stayed = {kind for kind in NIGHT if is_there(store, night[kind])}
    assert stayed == {"offsets", "examples", "statistics", "anomalies", "training_window"}
    assert sweep.spared[night["training_window"]["uri"]] == "a run uses it"
    assert sweep.spared[night["examples"]["uri"]] == "a run refers to it"


def test_finding_an_artifact_again_is_a_use_of_it(store: Store, pipeline: Pipeline) -> None:
    before = make(store, "examples", 50)
    moment = path_of(store, before).stat().st_mtime
    identity = store.manifest(before).identity

    store.produce(identity, lambda _: pytest.fail("written twice"))

    assert path_of(store, before).stat().st_mtime != moment


def test_nothing_goes_once_a_version_was_moved(store: Store, pipeline: Pipeline) -> None:
    night = make_night(store, 50)

    sweep = remove_artifacts(store, plan_of(store, pipeline), lambda: nullcontext(False))

    assert sweep.removed == []
    assert all(is_there(store, night[kind]) for kind in NIGHT)
    assert set(sweep.spared.values()) == {"a version was moved meanwhile; the next housekeeping looks again"}


def test_the_remains_of_a_lost_writer_go_and_those_of_a_living_one_stay(
    store: Store, pipeline: Pipeline
) -> None:
    lost, living = (store.root / "small" / "model" / f"2026-01-0{day}-a.partial" for day in (1, 2))
    for partial in (lost, living):
        partial.mkdir(parents=True)
        (partial / "bytes").write_text("1 2")
        os.utime(partial, (0, 0))

    with store.lock("small/model/2026-01-02-a"):
        sweep = keep_house(store, pipeline)

    assert [one.name for one in sweep.removed] == ["small/model/2026-01-01-a.partial"]
    assert [lost.exists(), living.exists()] == [False, True]


def test_a_manifest_that_cannot_be_read_stops_everything(store: Store, pipeline: Pipeline) -> None:
    night = make_night(store, 50)
    (path_of(store, night["evaluation"]) / "manifest.json").write_text("{")

    with pytest.raises(StoreCorrupted, match="not a readable manifest"):
        keep_house(store, pipeline)
    assert is_there(store, night["examples"])


DEATHS = {
    "before the record": "ml.housekeeping.removing.note_removal",
    "between record and rename": "ml.housekeeping.removing._discard",
    "between rename and delete": "ml.housekeeping.removing.empty_trash",
}


@pytest.mark.parametrize("moment", DEATHS)
def test_a_lost_housekeeping_is_finished_by_the_next(
    store: Store, pipeline: Pipeline, tmp_path: Path, moment: str
) -> None:
    night, served = make_night(store, 50), make_night(store, 300)
    lost = FORK.Process(target=die_at, args=(DEATHS[moment], store, pipeline, served["model"]))
    lost.start()
    lost.join()
    assert lost.exitcode == -signal.SIGKILL
    for kind in NIGHT:
        if is_there(store, night[kind]):
            store.open(night[kind])

    empty_trash(store, "small")
    keep_house(store, pipeline, served["model"])

    assert [kind for kind in NIGHT if is_there(store, night[kind])] == []
    assert is_there(store, served["examples"])
    assert not (store.root / TRASH / "small").exists()
    day = night["model"]["uri"].split("/")[-1][:10]
    assert len(json.loads((store.root / "small" / "housekeeping" / f"{day}.json").read_text())) == len(NIGHT)


def die_at(place: str, store: Store, pipeline: Pipeline, served: Artifact) -> None:
    """Keep house in this process and be killed instead of doing this."""
    from ml.housekeeping import removing

    setattr(removing, place.rpartition(".")[-1], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    keep_house(store, pipeline, served)
