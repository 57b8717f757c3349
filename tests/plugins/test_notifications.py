from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowSkipException
from retraining import notifications
from retraining.operators import MoveOperator, TellNewsOperator, TellOperator
from retraining.policies import RETRY_WHERE_IT_HELPS

from deploy.make_env import NO_WEBHOOK
from ml import errors, steps
from tests.demo.ports import free_port
from tests.demo.slack import Slack, running_slack

NOW = datetime(2026, 3, 10, 2, tzinfo=timezone.utc)


class Task:
    """The little of a task instance that a message is made of, and of the run before."""

    dag_id, task_id, run_id, log_url = "retrain_clicks", "land_examples", "by_hand", "http://airflow/log"

    def __init__(self) -> None:
        self.before: SimpleNamespace | None = None
        self.word: dict[str, str] = {}

    def xcom_push(self, key: str, value: str) -> None:
        self.word[key] = value

    def get_previous_dagrun(self) -> Any:
        return self.before


@pytest.fixture
def context() -> dict[str, Any]:
    return {
        "ti": Task(),
        "dag": SimpleNamespace(timezone=ZoneInfo("Europe/Berlin")),
        "dag_run": SimpleNamespace(run_type="scheduled", run_after=NOW),
        "data_interval_start": datetime(2026, 3, 9, 23, tzinfo=timezone.utc),
        "exception": errors.NoRecords("empty"),
    }


def test_a_stopped_night_says_which_where_and_why(context: dict[str, Any]) -> None:
    message = notifications.describe(context)

    assert message == (
        "retrain_clicks, night of 2026-03-10: stopped at land_examples: empty\nhttp://airflow/log"
    )


def test_a_night_that_is_not_published_says_why(context: dict[str, Any]) -> None:
    context |= {"withheld": errors.Withheld("not published, PAUSED: device drifted"), "exception": None}

    assert notifications.describe(context) == (
        "retrain_clicks, night of 2026-03-10: not published, PAUSED: device drifted\nhttp://airflow/log"
    )


def test_a_run_of_no_night_is_named_by_its_id(context: dict[str, Any]) -> None:
    context["ti"].dag_id = "watch_clicks"
    assert notifications.describe(context).startswith("watch_clicks, by_hand: stopped at land_examples")

    del context["data_interval_start"]
    context["ti"].dag_id = "retrain_clicks"
    assert notifications.describe(context).startswith("retrain_clicks, by_hand: stopped at land_examples")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, connection: Any) -> list[str]:
    """What was sent to Slack, for which there is a Connection."""
    connection("slack_default", conn_type="slackwebhook", password="token")
    messages: list[str] = []
    monkeypatch.setattr(notifications, "send", messages.append)
    return messages


def test_a_scheduled_night_pages(context: dict[str, Any], sent: list[str]) -> None:
    notifications.notify(context)

    assert sent == [notifications.describe(context)]


def test_the_task_leaves_word_of_what_was_told(context: dict[str, Any], sent: list[str]) -> None:
    notifications.notify(context)

    assert context["ti"].word == {"told": sent[0]}


@pytest.fixture
def refuse(connection: Any) -> Iterator[Any]:
    """Has Slack answer with these statuses before it takes a message."""
    with ExitStack() as stack:

        def refuse(*statuses: int) -> Slack:
            slack = stack.enter_context(running_slack(statuses))
            connection("slack_default", conn_type="slackwebhook", password=slack.address)
            return slack

        yield refuse


@pytest.fixture
def slack_is_away(refuse: Any) -> None:
    refuse(*[404] * 9)


@pytest.mark.usefixtures("slack_is_away")
def test_a_task_whose_message_does_not_go_out_leaves_it_to_the_listener(
    context: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    notifications.notify(context)

    assert context["ti"].word == {"untold": notifications.describe(context)}
    assert "Slack did not take the message: Response body: 'no_service', Status Code: 404" in caplog.text
    assert "It is tried again when the run is over: tell_of_failed_runs" in caplog.text


@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_within_seconds_is_waited_for(refuse: Any, status: int) -> None:
    slack = refuse(status)

    notifications.send("a night was stopped")
    assert [message.text for message in slack.messages] == ["a night was stopped"]


@pytest.mark.parametrize("statuses", [[503, 503, 503], [404], [502]])
def test_a_message_that_slack_does_not_take_is_tried_again_by_its_task(
    refuse: Any, statuses: list[int]
) -> None:
    refuse(*statuses)
    tell = TellOperator(task_id="tell", report={"summary": "21 nights", "url": "http://mlflow"})

    with pytest.raises(errors.Unavailable) as unavailable:
        tell.execute({})
    decision = RETRY_WHERE_IT_HELPS.evaluate(unavailable.value, try_number=1, max_tries=3)
    assert decision.action == RetryAction.RETRY


def test_a_slack_that_cannot_be_reached_is_unavailable(connection: Any) -> None:
    connection("slack_default", conn_type="slackwebhook", password=f"http://127.0.0.1:{free_port()}/webhook")

    with pytest.raises(errors.Unavailable, match=r"refused.*'slack_default' to answer 200"):
        notifications.send("a night was stopped")


@pytest.mark.parametrize("notify", [notifications.notify, notifications.notify_of_first])
def test_of_a_lost_task_the_dag_processor_tells_nothing(
    context: dict[str, Any], sent: list[str], notify: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It asks without an exception, and can leave no word: the end of the run is told instead."""
    del context["exception"]

    notify(context)
    assert (sent, context["ti"].word) == ([], {})
    assert "land_examples was lost: its run is told of when it ends" in caplog.text


def test_a_failure_without_a_reason_says_where_to_look(context: dict[str, Any]) -> None:
    message = notifications.describe(context | {"exception": None})

    assert "stopped at land_examples: it did not come to say why. Its process was killed" in message


def test_an_approved_promotion_that_is_withheld_is_told_to_a_person(
    context: dict[str, Any], sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def promote_canary() -> None:
        raise errors.Withheld("not published: another version is served")

    monkeypatch.setattr(steps, "promote_canary", promote_canary)
    task = MoveOperator(task_id="promote_canary", step="promote_canary", arguments={})

    with pytest.raises(AirflowSkipException) as skipped:
        task.execute(context)
    for tell in task.on_skipped_callback:
        tell({**context, "exception": skipped.value})

    assert sent == [
        "retrain_clicks, night of 2026-03-10: not published: another version is served\nhttp://airflow/log"
    ]


@pytest.mark.parametrize("withheld", [None, errors.Withheld("not published, STALE")])
def test_a_night_of_a_backfill_never_pages(
    context: dict[str, Any], sent: list[str], withheld: Any, caplog: pytest.LogCaptureFixture
) -> None:
    context["dag_run"].run_type = "backfill"
    context |= {"withheld": withheld}

    notifications.notify(context)
    assert sent == []
    assert "it belongs to a backfill" in caplog.text
    assert list(context["ti"].word) == ["told"]


def test_a_what_if_never_pages(context: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    notifications.notify(context | {"params": {"what_if": "more-epochs"}})

    assert "it was a what-if" in caplog.text


def test_a_report_is_told_with_its_address(sent: list[str]) -> None:
    report = {"summary": "21 nights: 20 as before, 1 stopped", "url": "http://mlflow/runs/1"}

    TellOperator(task_id="tell", report=report).execute({})
    assert sent == ["21 nights: 20 as before, 1 stopped\nhttp://mlflow/runs/1"]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """The news that were marked as told, each with its pipeline."""
    marked: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(steps, "mark_told", lambda pipeline, news: marked.append((pipeline, news)))
    return marked


NEWS = {
    "pipeline": "clicks",
    "news": ["Prometheus is down", "alias and label differ"],
    "url": "http://airflow/run",
}


def test_news_are_told_in_one_message_and_no_news_are_skipped(
    sent: list[str], marked: list[tuple[str, list[str]]]
) -> None:
    TellNewsOperator(task_id="tell", report=NEWS).execute({})
    with pytest.raises(AirflowSkipException):
        TellNewsOperator(task_id="tell", report={**NEWS, "news": []}).execute({})
    assert marked == [("clicks", NEWS["news"])]
    assert sent == ["Prometheus is down\nalias and label differ\nhttp://airflow/run"]


@pytest.mark.usefixtures("slack_is_away")
def test_news_that_slack_did_not_take_are_not_marked_as_told(marked: list[tuple[str, list[str]]]) -> None:
    with pytest.raises(errors.Unavailable):
        TellNewsOperator(task_id="tell", report=NEWS).execute({})
    assert marked == []


@pytest.mark.parametrize(
    ("before", "ended", "count"),
    [
        ("success", timedelta(minutes=-4), 1),
        ("failed", timedelta(minutes=-4), 0),
        # It hung until after this one was due.
        ("failed", timedelta(minutes=4), 0),
        ("failed", timedelta(days=-21), 1),
    ],
    ids=["the first", "in a row", "slowly in a row", "after a pause"],
)
def test_of_many_failures_in_a_row_the_first_is_told(
    context: dict[str, Any], sent: list[str], before: str, ended: timedelta, count: int
) -> None:
    context["ti"].before = SimpleNamespace(state=before, end_date=NOW + ended)

    notifications.notify_of_first(context)
    assert len(sent) == count
    assert context["ti"].word == {"told": notifications.describe(context)}


def test_the_failure_of_the_first_look_of_all_is_told(context: dict[str, Any], sent: list[str]) -> None:
    notifications.notify_of_first(context)

    assert len(sent) == 1


def test_without_a_slack_connection_the_message_is_logged(
    context: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    notifications.notify(context)

    assert "night of 2026-03-10" in caplog.text


def test_a_webhook_that_nobody_has_given_yet_is_none(
    context: dict[str, Any], connection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connection("slack_default", conn_type="slackwebhook", password=NO_WEBHOOK)

    notifications.notify(context)

    assert "night of 2026-03-10" in caplog.text
    assert "SLACK_WEBHOOK_URL in .env is no address that Slack has given out yet" in caplog.text
