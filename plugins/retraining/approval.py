"""Asking a person before a verdict counts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from inspect import cleandoc
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, XComArg
from airflow.sdk.exceptions import AirflowSkipException

from retraining.notifications import notify, tell_of_run
from retraining.operators import read_what_if

APPROVE, REJECT = "Approve", "Reject"


class AskOperator(HITLOperator):
    """Asks a person about some decisions, and lets all others pass.

    The task waits in Airflow's state ``awaiting_input``, which holds no worker and needs no triggerer. If
    somebody rejects, or nobody answers in time, what follows is skipped, and a message says so.

    Args:
        question: ``decision``, ``subject``, ``body`` and ``otherwise``, as a step returned them, and perhaps
            ``futile``.
        verdicts: the decisions that a person is asked about.
        response_hours: how long an answer is waited for.
    """

    template_fields: Collection[str] = ("question",)

    def __init__(
        self, *, question: Any, verdicts: Sequence[str], response_hours: float, **kwargs: Any
    ) -> None:
        super().__init__(
            subject="Approval",
            options=[APPROVE, REJECT],
            defaults=REJECT,
            response_timeout=timedelta(hours=response_hours),
            on_skipped_callback=notify,
            **kwargs,
        )
        self.question = question
        self.verdicts = list(verdicts)
        self.response_hours = response_hours

    def execute(self, context: Context) -> dict[str, str] | None:
        """Ask, unless the decision needs no approval, or none could help. A what-if publishes nothing.

        The question stands in Airflow also if the message about it does not go out.

        Returns:
            Why nobody need be asked. Without any answer, as when a person marks the task as success, nothing
            is published.
        """
        if read_what_if(context)[0] or self.question["decision"] not in self.verdicts:
            needless = f"{self.question['decision']} needs nobody's approval"
            self.log.info("%s", needless)
            return {"needless": needless}
        if futile := self.question.get("futile"):
            context["withheld"] = futile  # type: ignore[typeddict-unknown-key]
            raise AirflowSkipException(futile)
        self.subject, self.body = self.question["subject"], self.question["body"]
        self.tell_where(context)
        super().execute(context)
        return None

    def tell_where(self, context: Context) -> None:
        """Send a message that a question waits, and for how long."""
        from ml.errors import Unavailable

        page = self.generate_link_to_ui_from_context(context=context)
        silence = f"Without an answer in {self.response_hours:g} hours: no."
        try:
            tell_of_run(context, f"{self.subject} {silence}\n{page}")
        except Unavailable as unavailable:
            self.log.error("%s The question waits under Required Actions, and nobody was told.", unavailable)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        """Hand on who has approved it and when; skip what follows if nobody has."""
        answer = super().execute_complete(context, event)
        person = answer["responded_by_user"]
        if person and answer["chosen_options"] == [APPROVE]:
            return {"by": person["name"], "at": answer["responded_at"].isoformat(timespec="seconds")}
        said = f"rejected by {person['name']}" if person else f"no answer in {self.response_hours:g} hours"
        message = f"{self.question['subject']} {said}: {self.question['otherwise']}"
        context["withheld"] = message  # type: ignore[typeddict-unknown-key]
        raise AirflowSkipException(message)


def ask_for_approval(question: XComArg, verdicts: Sequence[str], response_hours: float) -> XComArg:
    """Make the task that asks; it hands on who has approved it and when, or why that is needless."""
    task = AskOperator(
        task_id="ask_for_approval",
        question=question,
        verdicts=verdicts,
        response_hours=response_hours,
        doc_md=cleandoc(AskOperator.__doc__ or ""),
    )
    return task.output
