"""From a window of landed days to a candidate in the store."""

from __future__ import annotations

import json
import logging
import shutil
from typing import Any

from ml.config import Pipeline
from ml.features.spec import FILE_NAME
from ml.store import Draft
from ml.training.data import TrainingData
from ml.training.launcher import export_model, run_workers
from ml.training.plan import Plan
from ml.training.planning import make_plan

log = logging.getLogger(__name__)


def write_candidate(pipeline: Pipeline, data: TrainingData, draft: Draft) -> None:
    """See `ml.training.train_candidate`."""
    plan = make_plan(pipeline, data, draft)
    plan.measured.mkdir()
    plan.scratch.mkdir()
    plan.path.write_text(plan.model_dump_json())
    draft.write_json(plan.feature_spec.model_dump(mode="json"), FILE_NAME)
    draft.measurements["restarts"] = run_workers(plan)
    export_model(plan)
    _collect(plan, draft)
    log.info(
        "trained on %d examples in %d steps, %s examples/s",
        plan.examples,
        plan.steps,
        draft.measurements["examples_per_second"],
    )


def _collect(plan: Plan, draft: Draft) -> None:
    plan.saved_model.rename(draft.path / plan.saved_model.name)
    (plan.results / "history.json").rename(draft.path / "history.json")
    draft.facts.update(_counts(plan), **_read(plan, "facts.json"))
    draft.measurements.update(_read(plan, "measurements.json"))
    shutil.rmtree(plan.scratch)


def _counts(plan: Plan) -> dict[str, Any]:
    days = 1 + max(group.day for group in plan.row_groups)
    by_day = [sum(group.rows for group in plan.row_groups if group.day == day) for day in range(days)]
    return {
        "examples": plan.examples,
        "examples_by_day": by_day,
        "positives": sum(group.positives for group in plan.row_groups),
        "steps": plan.steps,
    }


def _read(plan: Plan, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((plan.results / name).read_bytes())
    return content
