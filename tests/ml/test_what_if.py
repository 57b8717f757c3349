from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml import release, steps
from ml.__main__ import build_parser, main
from ml.artifact import Artifact, Window
from ml.day import Day
from ml.errors import Misconfigured, Withheld
from ml.identities import identify_examples, identify_offsets, identify_production, identify_statistics
from ml.manifest import Identity
from ml.pipelines import load_pipeline
from ml.store import Draft, Store
from ml.what_if import current_what_if, trying

CONNECTION = None  # a what-if stops before it needs one


def write(draft: Draft) -> None:
    draft.write_json({"version": None, "model": None, "statistics": [], "publish": True, "reasons": []})


def day(window: Window) -> Day:
    return Day.of("clicks", **window.as_json())


def test_without_a_name_nothing_is_tried() -> None:
    with trying("", {}):
        assert current_what_if() is None


def test_what_is_tried_ends_with_the_block() -> None:
    with trying("more-epochs", {"training.epochs": 4}):
        tried = current_what_if()
        assert tried is not None
        assert tried.name == "more-epochs"

    assert current_what_if() is None
    assert "RETRAIN_WHAT_IF" not in os.environ


def test_settings_of_a_what_if_are_stronger_than_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_CLICKS__TRAINING__EPOCHS", "3")

    with trying("more-epochs", {"training.epochs": 4}):
        assert load_pipeline("clicks").training.epochs == 4
    assert load_pipeline("clicks").training.epochs == 3


def test_a_key_in_capitals_can_be_set() -> None:
    with trying("lenient", {"validation.types.ENUM_TYPE_UNEXPECTED_STRING_VALUES": "warn"}):
        assert load_pipeline("clicks").validation.types["ENUM_TYPE_UNEXPECTED_STRING_VALUES"] == "warn"


@pytest.mark.parametrize("name", ["More", "a/b", "../a", "-a", "a" * 41, "a b", "a'"])
def test_a_name_that_is_no_part_of_an_address_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match=r"cannot be named.*small letters"), trying(name, {}):
        pass


def test_settings_without_a_name_are_refused() -> None:
    with pytest.raises(Misconfigured, match="no name for it"), trying("", {"training.epochs": 4}):
        pass


@pytest.mark.parametrize(
    "path", ["serving.model", "serving", "landing.connection", "landing.time_zone", "name"]
)
def test_where_a_night_publishes_and_when_it_runs_is_not_tried(path: str) -> None:
    with pytest.raises(Misconfigured, match=f"cannot change {path}"), trying("elsewhere", {path: "x"}):
        pass


def test_a_misspelt_setting_names_the_what_if() -> None:
    said = r"(?s)what-if typo.*training.epoch: expected no such key"
    with trying("typo", {"training.epoch": 4}), pytest.raises(Misconfigured, match=said):
        load_pipeline("clicks")


def test_normal_artifacts_have_the_address_that_they_always_had(store: Store, window: Window) -> None:
    identity = Identity("examples", "clicks", window, {}, {"topic": "clicks"})

    artifact = store.produce(identity, write)
    assert (identity.key, "variant" in identity.content()) == ("312fae9ce1e7469a", False)
    assert "variant" not in (store.open(artifact) / "manifest.json").read_text()


def test_what_a_what_if_makes_lies_beside_and_says_whose_it_is(store: Store, window: Window) -> None:
    normal = store.produce(identify_statistics(day(window), examples(store, window)), write)
    with trying("other-code", {}):
        made = store.produce(identify_statistics(day(window), examples(store, window)), write)

    assert made["uri"].startswith("store:clicks/what_if/other-code/statistics/2026-03-10-")
    assert made["digest"] != normal["digest"]
    assert store.manifest(made).identity.variant["name"] == "other-code"


def examples(store: Store, window: Window) -> Artifact:
    return store.produce(Identity("examples", "clicks", window, {}, {}), write)


def test_other_code_under_the_same_name_makes_everything_anew(
    window: Window, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trying("other-code", {}):
        before = identify_statistics(day(window), examples(store, window))
        monkeypatch.setattr("ml.what_if.code_digest", lambda: "another")
        after = identify_statistics(day(window), examples(store, window))

    assert before.uri != after.uri


def test_landed_days_are_taken_as_they_are(store: Store, window: Window) -> None:
    offsets = store.produce(identify_offsets(day(window)), write)
    landed = store.produce(identify_examples(day(window), offsets), write)

    with trying("more-epochs", {"training.epochs": 4}):
        assert identify_examples(day(window), offsets).uri == landed["uri"]
        assert identify_offsets(day(window)).uri == offsets["uri"]


def test_a_day_that_is_not_landed_or_otherwise_is_landed_beside(store: Store, window: Window) -> None:
    with trying("not-there", {}):
        assert identify_offsets(day(window)).variant["name"] == "not-there"
        own = store.produce(identify_offsets(day(window)), write)
    store.produce(identify_offsets(day(window)), write)

    with trying("not-there", {}):
        assert identify_offsets(day(window)).uri == own["uri"]
    with trying("other-slack", {"landing.slack_minutes": 5}):
        assert identify_offsets(day(window)).variant["name"] == "other-slack"


def test_a_what_if_is_judged_against_what_the_night_was(store: Store, window: Window) -> None:
    production = store.produce(identify_production(day(window)), write)

    with trying("more-epochs", {}):
        assert identify_production(day(window)).uri == production["uri"]


def blessing(store: Store, window: Window) -> Artifact:
    return store.produce(day(window).identify("blessing", {}, {}), write)


def test_a_what_if_never_publishes_whatever_was_blessed(store: Store, window: Window) -> None:
    normal = blessing(store, window)
    with trying("bold", {}), pytest.raises(Withheld, match="what-if bold: nothing is published"):
        steps.push_model(normal, {}, serving=CONNECTION, mlflow=CONNECTION)  # type: ignore[arg-type]


def test_what_a_what_if_has_blessed_is_published_by_nobody(store: Store, window: Window) -> None:
    with trying("bold", {}):
        tried = blessing(store, window)

    with pytest.raises(Withheld, match="what-if bold: nothing is published"):
        steps.push_model(tried, {}, serving=CONNECTION, mlflow=CONNECTION)  # type: ignore[arg-type]
    push = release.Push(tried, blessing(store, window), tried, Path(), window)
    with pytest.raises(Withheld, match="what-if bold"):
        release.push_model(load_pipeline("clicks"), push, CONNECTION, CONNECTION, store, Draft(Path(), "x"))  # type: ignore[arg-type]


def test_a_what_if_decides_nothing_about_a_day(home: Path, window: Window) -> None:
    with trying("gappy", {}), pytest.raises(Misconfigured, match="cannot decide how 2026-03-10 is landed"):
        steps.land_examples("clicks", **window.as_json(), accept_gap="try", kafka=CONNECTION)  # type: ignore[arg-type]
    assert not (home / "store" / "clicks").exists()


def test_the_command_line_reads_settings_as_yaml() -> None:
    arguments = ["run", "--pipeline", "clicks", "--day", "2026-03-10", "--what-if", "wide"]

    chosen = build_parser().parse_args(
        [*arguments, "--set", "training.hidden_units=[8, 4]", "--set", "a.b=x"]
    )
    assert (chosen.what_if, dict(chosen.settings)) == ("wide", {"training.hidden_units": [8, 4], "a.b": "x"})


@pytest.mark.parametrize("text", ["training.epochs", "=4", "a=[1"])
def test_a_setting_that_is_none_is_wrong_usage(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        build_parser().parse_args(["run", "--pipeline", "clicks", "--day", "2026-03-10", "--set", text])

    assert stopped.value.code == 2
    assert "--set" in capsys.readouterr().err


def test_settings_on_the_command_line_need_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--pipeline", "clicks", "--day", "2026-03-10", "--set", "training.epochs=4"]) == 1
    assert "--what-if NAME" in capsys.readouterr().err
