"""The plan of a backfill, and how Airflow is told to run it."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Context

from retraining.operators import StepOperator

REPROCESS_BEHAVIORS = ("none", "failed", "completed")
BREAK = " \\\n    "  # the log shows a long line in part; the shell takes these as one

log = logging.getLogger(__name__)


class PlanOperator(StepOperator):
    """Runs the planning step, shows the plan in the log, and says how to start the backfill."""

    def execute(self, context: Context) -> Any:
        """Return the plan and, as ``command``, what starts it."""
        plan = super().execute(context)
        from ml import steps

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


def backfill_command(plan: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """The ``airflow`` command that runs a plan.

    Days are named by the moments that they begin at. Airflow would read a bare date in its own time zone,
    and leave out the first day of a pipeline that lives east of it.

    Args:
        plan: as the planning step returned it.
        params: ``reprocess_behavior``, ``max_active_runs``, ``run_backwards``, ``what_if`` and
            ``what_if_settings``.
    """
    return shlex.join(word for words in _options(plan, params) for word in words)


def _options(plan: Mapping[str, Any], params: Mapping[str, Any]) -> list[list[str]]:
    """The command's words, those of an option together."""
    first, last = (plan["days"][at]["window"]["start"] for at in (0, -1))
    return [
        ["airflow", "backfill", "create", "--dag-id", f"retrain_{plan['pipeline']}"],
        ["--from-date", first, "--to-date", last],
        ["--reprocess-behavior", params["reprocess_behavior"]],
        ["--max-active-runs", str(params["max_active_runs"])],
        *([["--run-backwards"]] if params["run_backwards"] else []),
        ["--dag-run-conf", json.dumps(_conf(params))],
    ]


def _conf(params: Mapping[str, Any]) -> dict[str, Any]:
    """Never left out: a day's run would keep the parameters of an earlier what-if."""
    given = ("what_if", "what_if_settings") if params["what_if"] else ()
    return {name: params[name] for name in given}
