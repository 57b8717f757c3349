"""Tasks that run one step of ``ml`` each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from inspect import cleandoc
from typing import Any

from airflow.providers.standard.operators.branch import BaseBranchOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import Asset, BaseOperator, Context, TriggerRule, XComArg
from airflow.sdk.exceptions import AirflowSkipException

from retraining.connections import read_connection
from retraining.links import MlflowRunLink
from retraining.notifications import notify, tell

# Who runs a step, for its argument ``run``; and the connection of all that ask MLflow.
RUN = {"key": "{{ dag.dag_id }}/{{ run_id }}", "url": "{{ ti.log_url.split('/tasks/')[0] }}"}
MLFLOW = {"mlflow": "mlflow_default"}


class StepOperator(BaseOperator):
    """Runs one function of ``ml.steps`` and hands its artifact on.

    Args:
        step: the function's name.
        arguments: its arguments; templates and the outputs of other tasks are filled in, None for the
            output of a task that made none.
        connections: its connection arguments, each with the id of an Airflow Connection.
    """

    template_fields: Sequence[str] = ("arguments",)
    template_fields_renderers = {"arguments": "json"}  # noqa: RUF012 - Airflow declares a plain dict
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        step: str,
        arguments: dict[str, Any],
        connections: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.step = step
        self.arguments = arguments
        self.connections = connections or {}

    def execute(self, context: Context) -> Any:
        """Run the step. What the gate or the fence withholds is skipped, not failed.

        Airflow tells callbacks the exception of a failure only, so the reason of a skip is told here.
        """
        pin_code_version(context)
        from ml import steps
        from ml.errors import RetrainingError, Withheld

        connections = {purpose: read_connection(purpose, id_) for purpose, id_ in self.connections.items()}
        try:
            with steps.trying(*read_what_if(context)):
                return getattr(steps, self.step)(**self.arguments, **connections)
        except Withheld as withheld:
            context["withheld"] = withheld  # type: ignore[typeddict-unknown-key]
            raise AirflowSkipException(str(withheld)) from withheld
        except RetrainingError as error:
            if error.evidence:
                context["ti"].xcom_push(key="return_value", value=error.evidence)
            raise


class TrainOperator(StepOperator):
    """Runs the training step, and ends its worker processes when the task is killed."""

    def on_kill(self) -> None:
        """Stop every worker process that this task has started."""
        from ml import steps

        steps.stop_training()


class LogOperator(StepOperator):
    """Runs the logging step; its page links to the MLflow run."""

    operator_extra_links = (MlflowRunLink(),)


class MoveOperator(StepOperator):
    """Runs a step that moves a label on somebody's word, and tells a person when it was withheld.

    Of a branch that was not taken nothing is told: Airflow calls back only for what has run.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(on_skipped_callback=notify, **kwargs)


class WatchOperator(StepOperator):
    """Runs a step again and again until it decides, and holds no worker in between.

    The step says ``decision`` WAIT and ``poll_seconds`` for as long as it has to be asked again. A trigger
    of Airflow's own waits: a triggerer loads no bundle, so it could not ask the step itself.
    """

    def execute(self, context: Context) -> Any:
        """Ask once; come back later if there is no decision yet."""
        answer = super().execute(context)
        self.log.info("%s", answer["summary"])
        if answer["decision"] == "WAIT":
            pause = timedelta(seconds=answer["poll_seconds"])
            self.defer(trigger=TimeDeltaTrigger(pause), method_name="ask_again")
        return answer

    def ask_again(self, context: Context, event: Any) -> Any:  # noqa: ARG002 - Airflow's signature
        """The same after a pause."""
        return self.execute(context)


class BranchOperator(BaseBranchOperator):
    """Goes on with the task that a decision leads to, and skips the others.

    Args:
        answer: of a step that said ``decision``.
        branches: decision → the task to go on with.
    """

    template_fields: Sequence[str] = ("answer",)

    def __init__(self, *, answer: Any, branches: dict[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.answer = answer
        self.branches = branches

    def choose_branch(self, context: Context) -> str:  # noqa: ARG002 - Airflow's signature
        """The task that the decision leads to."""
        return self.branches[self.answer["decision"]]


class TellOperator(BaseOperator):
    """Sends one message: what a report says, and where it is.

    Args:
        report: ``summary`` and ``url``, as a step returned them.
    """

    template_fields: Sequence[str] = ("report",)

    def __init__(self, *, report: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report = report

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow's signature
        """Send it."""
        tell(f"{self.report['summary']}\n{self.report['url']}")


class TellNewsOperator(TellOperator):
    """Sends what a report calls news, in one message; without any it is skipped.

    Args:
        report: ``pipeline``, ``news``, sentences, and ``url``. The news come again until they were sent.
    """

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow's signature
        """Send it."""
        from ml import steps

        if not self.report["news"]:
            raise AirflowSkipException("there is nothing that was not told before")
        tell("\n".join([*self.report["news"], self.report["url"]]))
        steps.mark_told(self.report["pipeline"], self.report["news"])


def run_step(
    step: Callable[..., Any],
    arguments: dict[str, Any],
    connections: dict[str, str] | None = None,
    operator: type[StepOperator] = StepOperator,
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS,
    outlets: Sequence[Asset] = (),
) -> XComArg:
    """Make the task of a step, named and documented as the step is.

    Args:
        step: a function of ``ml.steps``.
        arguments: its arguments; outputs of other tasks become its upstreams.
        connections: its connection arguments, each with the id of an Airflow Connection.
        operator: what runs it.
        trigger_rule: when it runs.
        outlets: what its success tells other DAGs.
    """
    task = operator(
        task_id=step.__name__,
        step=step.__name__,
        arguments=arguments,
        connections=connections,
        trigger_rule=trigger_rule,
        outlets=list(outlets),
        doc_md=cleandoc(step.__doc__ or ""),
    )
    return task.output


def read_what_if(context: Context) -> tuple[str, dict[str, Any]]:
    """Name and settings of what the DAG run tries; empty in a normal night."""
    params = context.get("params") or {}
    return params.get("what_if") or "", params.get("what_if_settings") or {}


def pin_code_version(context: Context) -> None:
    """Tell ``ml`` the commit that a Git bundle pinned: its checkout has no git directory to ask."""
    bundle = getattr(context["ti"], "bundle_instance", None)
    if bundle and bundle.version:
        os.environ["RETRAIN_COMMIT"] = bundle.version
