"""Telling a person that a night was blocked or has failed, and what a backfill came to."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, tzinfo
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

SLACK_CONNECTION = "slack_default"
BACKFILL = "backfill"
# What a task leaves word under: that it told, or what did not go out; and the DAG that tells of both then.
TOLD, UNTOLD, TELLER = "told", "untold", "tell_of_failed_runs"
UNEXPLAINED = (
    "it did not come to say why. Its process was killed, most often for want of memory, its message did not "
    "go out, or a person marked it as failed: the end of its log says which, or its machine's. Clear it when "
    "that is mended"
)
# Of what looks every few minutes: what failed longer ago, as before a pause, is no reason to be silent now.
IN_A_ROW = timedelta(minutes=15)
# No name below it ever exists (RFC 6761). `make env` writes one until a person gives a webhook's address.
NOWHERE = ".invalid"

log = logging.getLogger(__name__)


def notify(context: Any) -> None:
    """Tell what happened to a night, unless it belongs to a backfill, which is told of as a whole.

    A what-if is never told of: it stops nothing and whoever tries something looks for what comes of it.

    Used as ``on_failure_callback`` of every task and ``on_skipped_callback`` of what moves a label, so that a
    night speaks up once: what depends on a failed task does not fail by itself. The task leaves word that it
    has told, or why not, or what Slack did not take: of that, and of a run that failed without a word,
    `retraining.failed_runs` has a person told.
    """
    from ml.errors import Unavailable

    if not is_told_by_its_task(context):
        return
    message = describe(context)
    if (context.get("params") or {}).get("what_if"):
        log.warning("%s (not sent: it was a what-if)", message)
    else:
        try:
            tell_of_run(context, message)
        except Unavailable as unavailable:
            log.error("%s (%s It is tried again when the run is over: %s)", message, unavailable, TELLER)
            leave_word(context, message, UNTOLD)
            return
    leave_word(context, message)


def tell_of_run(context: Any, message: str) -> None:
    """Send one message about a run; one that belongs to a backfill says it in its log alone."""
    if context["dag_run"].run_type == BACKFILL:
        log.warning("%s (not sent: it belongs to a backfill, which reports once when it is over)", message)
    else:
        tell(message)


def notify_of_first(context: Any) -> None:
    """Tell of the first failure in a row only: for what runs every few minutes, and would page every time."""
    if not is_told_by_its_task(context):
        return
    if is_one_of_many(context["ti"].get_previous_dagrun(), context["dag_run"]):
        message = describe(context)
        log.warning("%s (not sent: the run before has failed too)", message)
        leave_word(context, message)
    else:
        notify(context)


def is_one_of_many(before: Any, run: Any) -> bool:
    """Whether the run before has failed too, and this one follows it by minutes.

    Args:
        before: ``state`` and ``end_date`` of the run before; None if there is none.
        run: the run, with ``run_after``.
    """
    if before is None or before.state != "failed" or before.end_date is None:
        return False
    return bool(run.run_after - before.end_date <= IN_A_ROW)


def is_told_by_its_task(context: Any) -> bool:
    """Whether the task's own process asks, which alone knows why it failed and can leave word.

    Airflow's DAG processor asks without an exception about a task whose process the scheduler has lost.
    """
    if "exception" in context:
        return True
    log.warning("%s was lost: its run is told of when it ends", context["ti"].task_id)
    return False


def leave_word(context: Any, message: str, word: str = TOLD) -> None:
    """Keep on the task's page what was told, or was not; a listener looks for it when the run is over."""
    context["ti"].xcom_push(key=word, value=message)


def describe(context: Any) -> str:
    """What happened in which night, why, and where to look."""
    task = context["ti"]
    what = context.get("withheld") or describe_stop(task.task_id, context.get("exception"))
    run = name_run(task, context.get("data_interval_start"), context["dag"].timezone)
    return f"{task.dag_id}, {run}: {what}\n{task.log_url}"


def describe_stop(task_id: str, reason: Any = None) -> str:
    """Where a run was stopped, and why."""
    return f"stopped at {task_id}: {reason or UNEXPLAINED}"


def name_run(run: Any, start: datetime | None, time_zone: tzinfo) -> str:
    """A run by its day, if it is a night; by its id otherwise.

    Args:
        run: a DAG run or a task of it.
        start: of its data interval.
        time_zone: of the pipeline.
    """
    is_night = start and run.dag_id.startswith("retrain_")
    return f"night of {start.astimezone(time_zone):%Y-%m-%d}" if start and is_night else run.run_id


def tell(message: str) -> None:
    """Send one message to Slack, or to the log where no address of Slack's is configured."""
    if reason := _why_unsent():
        log.warning("%s (%s, so this was not sent)", message, reason)
    else:
        send(message)


def send(message: str) -> None:
    """Post to the webhook of the Slack Connection; what passes within seconds is waited for.

    Raises:
        Unavailable: if Slack did not take it. Only a person could tell whether its webhook was revoked.
    """
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
    from slack_sdk.http_retry import builtin_handlers as retries

    from ml.errors import Unavailable

    handlers = [
        retries.ConnectionErrorRetryHandler(),
        retries.RateLimitErrorRetryHandler(),
        retries.ServerErrorRetryHandler(),
    ]
    try:
        SlackWebhookHook(slack_webhook_conn_id=SLACK_CONNECTION, retry_handlers=handlers).send(text=message)
    except (AirflowException, OSError, HTTPException) as error:
        raise Unavailable(
            f"Slack did not take the message: {error}. Expected the webhook of Airflow's Connection "
            f"{SLACK_CONNECTION!r} to answer 200. If it goes on, see whether the webhook was revoked."
        ) from error


def _why_unsent() -> str:
    """Why no message can be sent; empty if one can."""
    try:
        webhook = Connection.get(SLACK_CONNECTION).password or ""
    except AirflowNotFoundException:
        return f"Airflow has no Connection {SLACK_CONNECTION!r}"
    if (urlsplit(webhook).hostname or "").endswith(NOWHERE):
        return "SLACK_WEBHOOK_URL in .env is no address that Slack has given out yet"
    return ""
