"""The plan of a backfill, and how Airflow is told to run it."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import Context

from retraining.operators import StepOperator

# What a backfill does with days that have a run → the states of runs that Airflow leaves alone, None for any.
LEFT_ALONE: dict[str, list[str] | None] = {
    "none": None,
    "failed": ["queued", "running", "success"],
    "completed": ["queued", "running"],
}
REPROCESS_BEHAVIORS = tuple(LEFT_ALONE)
REASONS = ("accept_gap", "refresh_landing", "refresh_production")
DECIDING = ("accept_gap", "refresh_landing")  # of these a night takes notice in the days that it learns from
IN_ORDER = (
    " The command runs the days oldest first and one at a time, whatever was asked for: a night that learns "
    "from a day takes it as it was decided by then."
)
BREAK = " \\\n    "  # the log shows a long line in part; the shell takes these as one

log = logging.getLogger(__name__)


class PlanOperator(StepOperator):
    """Runs the planning step, shows the plan in the log, and says how to start the backfill.

    The step knows the store, and not which days have a run. So Airflow is asked here, and what it would leave
    alone is said in the plan's words.
    """

    def execute(self, context: Context) -> Any:
        """Return the plan and, as ``command``, what starts it."""
        plan = super().execute(context)
        from ml import steps

        plan = name_order(name_days_left_alone(plan, context), context["params"])
        options = _options(plan, context["params"])
        log.info("%s", steps.render_plan(plan))
        log.info(
            "To start it, run this where the airflow command reaches this Airflow:\n%s",
            BREAK.join(shlex.join(words) for words in options),
        )
        log.info(
            "Or on the page of the DAG retrain_%s: Trigger, Backfill, with the same values.", plan["pipeline"]
        )
        return {**plan, "command": backfill_command(plan, context["params"])}


def name_days_left_alone(plan: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """The plan with ``left_alone``, the days that Airflow would not run, and with a sentence about them."""
    behavior, ask = context["params"]["reprocess_behavior"], context["ti"].get_dr_count
    left_alone = [
        day["day"]
        for day in plan["days"]
        if ask(
            dag_id=f"retrain_{plan['pipeline']}",
            logical_dates=[datetime.fromisoformat(day["window"]["start"])],
            states=LEFT_ALONE[behavior],
        )
    ]
    said = ""
    if left_alone:
        said = (
            f" But with --reprocess-behavior {behavior} Airflow leaves {len(left_alone)} of them alone, for "
            f"the runs that they have: {', '.join(left_alone)}."
        )
    return {**plan, "left_alone": left_alone, "summary": plan["summary"] + said}


def name_order(plan: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The plan with a sentence about the order of its days, where that matters."""
    said = IN_ORDER if _decides(params) and len(plan["days"]) > 1 else ""
    return {**plan, "summary": plan["summary"] + said}


def backfill_command(plan: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """The ``airflow`` command that runs a plan.

    Days are named by the moments that they begin at. Airflow would read a bare date in its own time zone,
    and leave out the first day of a pipeline that lives east of it. Days that are decided about run oldest
    first, one at a time: the nights after such a day learn from what was decided.

    Args:
        plan: as the planning step returned it.
        params: ``reprocess_behavior``, ``max_active_runs``, ``run_backwards``, ``what_if`` and
            ``what_if_settings``, and the reasons.
    """
    return shlex.join(word for words in _options(plan, params) for word in words)


def _options(plan: Mapping[str, Any], params: Mapping[str, Any]) -> list[list[str]]:
    """The command's words, those of an option together."""
    first, last = (plan["days"][at]["window"]["start"] for at in (0, -1))
    return [
        ["airflow", "backfill", "create", "--dag-id", f"retrain_{plan['pipeline']}"],
        ["--from-date", first, "--to-date", last],
        ["--reprocess-behavior", params["reprocess_behavior"]],
        *_order(params),
        ["--dag-run-conf", json.dumps(_conf(params))],
    ]


def _order(params: Mapping[str, Any]) -> list[list[str]]:
    if _decides(params):
        return [["--max-active-runs", "1"]]
    backwards = [["--run-backwards"]] if params["run_backwards"] else []
    return [["--max-active-runs", str(params["max_active_runs"])], *backwards]


def _decides(params: Mapping[str, Any]) -> bool:
    return any(params[reason] for reason in DECIDING)


def _conf(params: Mapping[str, Any]) -> dict[str, Any]:
    """Never left out: a day's run would keep the parameters of an earlier what-if."""
    what_if = ("what_if", "what_if_settings") if params["what_if"] else ()
    return {name: params[name] for name in (*what_if, *(reason for reason in REASONS if params[reason]))}
