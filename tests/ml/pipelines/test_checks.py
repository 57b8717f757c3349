from __future__ import annotations

from pathlib import Path

import pytest

from ml.pipelines import load_pipeline
from tests.ml.pipelines.complaints import complaint, edit


def test_a_feature_of_the_wrong_type_is_named(folder: Path) -> None:
    edit(folder, 'name: "price"\n  type: FLOAT', 'name: "price"\n  type: BYTES', "schema.pbtxt")

    assert "features.numeric: expected a field of type int or float" in (message := complaint())
    assert "found 'price' of type string" in message


@pytest.mark.parametrize(
    ("label", "event_time", "expected"),
    [
        ("brand", "event_time", "label: expected a field of type int or float"),
        ("clicked", "item_ctr", "landing.event_time: expected a field of type int in"),
    ],
)
def test_a_label_or_a_time_of_the_wrong_type_is_named(
    folder: Path, label: str, event_time: str, expected: str
) -> None:
    edit(folder, "label: clicked", f"label: {label}")
    edit(folder, "event_time: event_time", f"event_time: {event_time}")

    assert expected in complaint()


OUTCOME = """feature {
  name: "watched_seconds"
  type: FLOAT
  not_in_environment: "SERVING"
}
"""


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("clicked", "found 'clicked', which is the label"),
        ("watched_seconds", "found 'watched_seconds', which has not_in_environment: \"SERVING\""),
        ("event_time", "expected no 'event_time', which is landing.event_time"),
    ],
)
@pytest.mark.parametrize(("part", "sizes"), [("numeric", "{}"), ("categorical", "{vocabulary: 2}")])
def test_a_feature_that_no_request_has_is_refused(
    folder: Path, feature: str, expected: str, part: str, sizes: str
) -> None:
    edit(
        folder,
        'default_environment: "SERVING"\n',
        f'default_environment: "SERVING"\n{OUTCOME}',
        "schema.pbtxt",
    )
    edit(folder, f"  {part}:\n", f"  {part}:\n    {feature}: {sizes}\n")
    edit(folder, "  deep: [", f"  deep: [{feature}, ")
    edit(folder, "ignored: [", f"ignored: [{feature}, ")

    assert f"features.{part}: expected" in (message := complaint())
    assert expected in message


def test_a_field_that_the_schema_names_for_serving_is_a_feature_that_requests_have(folder: Path) -> None:
    both = '  in_environment: "SERVING"\n  not_in_environment: "SERVING"\n'
    edit(folder, '  name: "age"\n', f'  name: "age"\n{both}', "schema.pbtxt")

    assert "age" in load_pipeline("views").features.names


def test_what_may_be_deduplicated_by_is_checked_against_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__DEDUPLICATE", "price")
    assert "landing.deduplicate: expected a field of type string or int in schema.pbtxt, found 'price'" in (
        complaint("clicks")
    )

    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__DEDUPLICATE", "evnt_id")
    assert "landing.deduplicate: expected a feature of schema.pbtxt, found 'evnt_id'" in complaint("clicks")


@pytest.mark.parametrize(
    ("serving", "expected"),
    [
        ("{canary: {realised: {}}}", "expected request, inputs or both"),
        ("{canary: {realised: {request: request_id}}}", "realised: expected a feature of schema.pbtxt"),
        (
            "{canary: {realised: {inputs: [price]}}}",
            "canary.realised: expected a field of type string or int",
        ),
        ("{canary: {realised: {inputs: [event_time]}}}", "expected a feature, which requests have"),
        ("{approval: {verdicts: [PROMOTE]}}", "expected a canary where approval.verdicts has PROMOTE"),
        ("{approval: {verdicts: [FAIL]}}", "'PASS', 'BOOTSTRAP' or 'PROMOTE'"),
        ("{approval: {verdicts: []}}", "at least 1 item"),
        ("{approval: {verdicts: [PASS], response_hours: 24}}", "less than 24"),
    ],
)
def test_what_cannot_be_joined_or_approved_is_named(folder: Path, serving: str, expected: str) -> None:
    edit(folder, "serving:\n  model: clicks\n", f"serving:\n  model: clicks\n  {serving[1:-1]}\n")
    edit(folder, "  canary: null\n", "")

    assert expected in complaint()
