"""Telling a person that a night was blocked or has failed, and what a backfill came to."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

SLACK_CONNECTION = "slack_default"
BACKFILL = "backfill"
# No name below it ever exists (RFC 6761). `make env` writes one until a person gives a webhook's address.
NOWHERE = ".invalid"

log = logging.getLogger(__name__)


def notify(context: Any) -> None:
    """Tell what happened to a night, unless it belongs to a backfill, which is told of as a whole.

    A what-if is never told of: it stops nothing and whoever tries something looks for what comes of it.

    Used as ``on_failure_callback`` of every task and ``on_skipped_callback`` of the push, so that a
    night speaks up once: what depends on a failed task does not fail by itself.
    """
    message = describe(context)
    if (context.get("params") or {}).get("what_if"):
        log.warning("%s (not sent: it was a what-if)", message)
    else:
        tell_of_run(context, message)


def tell_of_run(context: Any, message: str) -> None:
    """Send one message about a run; one that belongs to a backfill says it in its log alone."""
    if context["dag_run"].run_type == BACKFILL:
        log.warning("%s (not sent: it belongs to a backfill, which reports once when it is over)", message)
    else:
        tell(message)


def notify_of_first(context: Any) -> None:
    """Tell of the first failure in a row only: for what runs every few minutes, and would page every time."""
    before = context["ti"].get_previous_dagrun()
    if before is not None and before.state == "failed":
        log.warning("%s (not sent: the run before has failed too)", describe(context))
    else:
        notify(context)


def describe(context: Any) -> str:
    """What happened in which night, why, and where to look."""
    task = context["ti"]
    what = context.get("withheld") or f"stopped at {task.task_id}: {context['exception']}"
    start = context.get("data_interval_start")
    is_night = start and task.dag_id.startswith("retrain_")
    run = f"night of {start:%Y-%m-%d}" if is_night else task.run_id
    return f"{task.dag_id}, {run}: {what}\n{task.log_url}"


def tell(message: str) -> None:
    """Send one message to Slack, or to the log where no address of Slack's is configured."""
    if reason := _why_unsent():
        log.warning("%s (%s, so this was not sent)", message, reason)
    else:
        send(message)


def send(message: str) -> None:
    """Post to the webhook of the Slack Connection."""
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    SlackWebhookHook(slack_webhook_conn_id=SLACK_CONNECTION).send(text=message)


def _why_unsent() -> str:
    """Why no message can be sent; empty if one can."""
    try:
        webhook = Connection.get(SLACK_CONNECTION).password or ""
    except AirflowNotFoundException:
        return f"Airflow has no Connection {SLACK_CONNECTION!r}"
    if (urlsplit(webhook).hostname or "").endswith(NOWHERE):
        return "SLACK_WEBHOOK_URL in .env is no address that Slack has given out yet"
    return ""
