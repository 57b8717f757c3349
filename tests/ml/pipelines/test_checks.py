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


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (
            'hour: ["7"]',
            "slices.new_user.where.hour: expected values of type int, as in schema.pbtxt, found '7'",
        ),
        ("country: [47]", "slices.new_user.where.country: expected values of type string"),
        ("device: [phone]", "schema.pbtxt lists (mobile, desktop, tablet), found 'phone'"),
        ("country: [NO]", 'expected text or a number, found False; a word such as NO needs quotes: "NO"'),
        ("country: []", "expected the accepted values of country, found an empty list"),
    ],
)
def test_a_slice_that_no_row_can_be_in_is_refused(folder: Path, where: str, expected: str) -> None:
    edit(folder, "user_type: [new]", where)

    assert expected in complaint()


def test_a_slice_may_accept_whole_numbers_of_a_float_and_any_text_that_is_not_listed(folder: Path) -> None:
    edit(folder, "user_type: [new]", 'price: [3, 4.5], country: ["NO"], hour: [0, 1]')

    assert load_pipeline("views").slices[2].where["country"] == ("NO",)


@pytest.mark.parametrize(
    "slice_",
    [
        "{by: device, where: {user_type: [new]}}",
        "{by: device, name: mobile}",
        "{name: mobile}",
        "{where: {device: [mobile]}}",
        "{}",
    ],
)
def test_a_slice_of_which_a_part_would_not_count_is_refused(folder: Path, slice_: str) -> None:
    edit(folder, "{by: device}", slice_)

    assert "slices.0: expected either 'by' alone, or 'name' together with 'where'" in complaint()


@pytest.mark.parametrize(
    ("twice", "expected"),
    [("{by: device}", "expected 'device' once"), ("{name: new_user, where: {os: [ios]}}", "'new_user' once")],
)
def test_a_slice_that_is_named_twice_is_refused(folder: Path, twice: str, expected: str) -> None:
    edit(folder, "  - {by: country}", f"  - {twice}")

    assert expected in complaint()


def test_a_misspelt_anomaly_names_the_nearest_that_there_is(folder: Path) -> None:
    edit(folder, "ENUM_TYPE_UNEXPECTED_STRING_VALUES", "ENUM_TYPE_UNEXPECTED_STRING_VALUE")

    message = complaint()
    assert "validation.types: expected types of anomalies as TFDV names them" in message
    assert "the nearest is ENUM_TYPE_UNEXPECTED_STRING_VALUES" in message


def test_a_day_without_examples_is_an_anomaly_like_tfdvs_own(folder: Path) -> None:
    edit(folder, "    SCHEMA_NEW_COLUMN: warn", "    SCHEMA_NEW_COLUMN: warn\n    DATA_MISSING: warn")

    assert load_pipeline("views").validation.types["DATA_MISSING"] == "warn"


def test_a_threshold_on_text_is_refused_until_somebody_counts_its_values(folder: Path) -> None:
    edit(folder, "    device: 0.05\n", "    device: 0.05\n    session_id: 0.05\n")
    assert "drift.thresholds.session_id: expected a number, or text whose values are counted" in complaint()

    named = 'name: "session_id"\n  type: BYTES\n'
    edit(folder, named, named + '  string_domain { value: "one" }\n', "schema.pbtxt")
    assert load_pipeline("views").drift.thresholds["session_id"] == 0.05
