"""Settings of where a model is served, and of who or what has a say in it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ml.config.canary import Canary
from ml.config.section import Count, Positive, Section

TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
AlertName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Watch(Section):
    """Alerts that take back the last move of the users' label; docs/operations.md.

    Attributes:
        alerts: their names at Prometheus. One counts if its label ``model`` names this model, and it has no
            label ``track`` or the users' own, ``stable``.
        within_hours: so long after a move an alert is held against it. Later a person decides.
        connection: the Airflow Connection of Prometheus.
    """

    alerts: Annotated[tuple[AlertName, ...], Field(min_length=1)]
    within_hours: Positive = 24
    connection: str = "prometheus_default"


class Approval(Section):
    """Which decisions wait for a person in Airflow; the question has the evidence in its body.

    Attributes:
        verdicts: PASS and BOOTSTRAP are asked about before the night's push, PROMOTE before a canary answers
            all users. What keeps users where they are, or takes a canary from them, waits for nobody.
        response_hours: how long an answer is waited for; without one nothing is published or promoted. Less
            than a day: the run of the next night waits for this one.
    """

    verdicts: Annotated[tuple[Literal["PASS", "BOOTSTRAP", "PROMOTE"], ...], Field(min_length=1)]
    response_hours: Annotated[float, Field(gt=0, lt=24)] = 12

    @property
    def before_push(self) -> tuple[str, ...]:
        """The gate's verdicts among them."""
        return tuple(verdict for verdict in self.verdicts if verdict != "PROMOTE")


class Serving(Section):
    """Where the model is served.

    Attributes:
        model: the model's name at the model server and in the registry.
        label: the model server's version label that users' requests name.
        ready_seconds: how long a new version may take to load.
        warmup_requests: how many real rows warm a version up, at most 1000.
        golden_requests: how many held-out rows the served version must answer like the offline model.
        connection: the Airflow Connection of the model server.
        keep_versions: so many of the last versions stay on the model server's disk, besides those that are
            served, labelled or to be gone back to. Part of no identity.
        published_by: when a day's model should be published the next morning, "HH:MM" in the pipeline's time
            zone; then NotPublishedInTime fires. Part of no identity.
        blocked_nights: so many nights in a row that bring all users nothing that stays wake a person, by
            PipelineBlocked. Part of no identity.
        canary: how a version is shown to a few users first; null publishes it to all at once. Part of no
            identity: it does not change what is pushed.
        approval: which decisions wait for a person; null asks nobody. Part of no identity.
        watch: which alerts move the label back to the previous version; null leaves that to a person. Part
            of no identity.
    """

    model: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    label: str = "stable"
    ready_seconds: Positive = 120
    warmup_requests: Annotated[int, Field(ge=0, le=1000)] = 100
    golden_requests: Count = 100
    connection: str = Field("serving_default", exclude=True)
    keep_versions: Count = Field(5, exclude=True)
    published_by: str = Field("06:00", exclude=True)
    blocked_nights: Count = Field(3, exclude=True)
    canary: Canary | None = Field(None, exclude=True)
    approval: Approval | None = Field(None, exclude=True)
    watch: Watch | None = Field(None, exclude=True)

    @property
    def connections(self) -> dict[str, str]:
        """The Airflow Connections of the model servers: ``serving``, and ``canary`` if that has its own."""
        own = {"canary": self.canary.connection} if self.canary and self.canary.servers == "two" else {}
        return {"serving": self.connection, **own}

    @field_validator("published_by", mode="before")
    @classmethod
    def _time_of_day(cls, value: object) -> object:
        # YAML reads 10:30 without quotes as the number 630.
        if not isinstance(value, str) or not TIME_OF_DAY.fullmatch(value):
            raise ValueError(f'expected a time of day in quotes, such as "06:00", found {value!r}')
        return value

    @model_validator(mode="after")
    def _two_labels(self) -> Self:
        if self.canary and self.canary.label == self.label:
            raise ValueError(f"expected canary.label to differ from label, found {self.label!r} for both")
        return self

    @model_validator(mode="after")
    def _something_to_promote(self) -> Self:
        if self.approval and "PROMOTE" in self.approval.verdicts and self.canary is None:
            raise ValueError("expected a canary where approval.verdicts has PROMOTE, for nothing else is")
        return self
