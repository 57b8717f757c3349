"""What every move of a label does, whoever wants it: a push, a promotion, a roll-back, a new golden version.

The order is what makes a lost process harmless; see the table in `ml.release.publication`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ml.errors import Unavailable
from ml.release.ledger import Ledger, Move
from ml.release.mirror import catch_up
from ml.release.model_config import Entry
from ml.release.production import Records
from ml.release.registry import PRODUCTION, Registry
from ml.release.server import ModelServer


class LabelMove(ABC):
    """One move of one label on one model server, under the publication lock. Each action may be repeated.

    Attributes:
        records: numbers and ledger.
        server: whose label moves.
    """

    records: Records
    server: ModelServer

    @property
    @abstractmethod
    def move(self) -> Move:
        """What moves where, and why."""

    def load(self) -> None:
        """Have the server load the version beside the served one; the label stays."""
        number, seconds = self.move.version.number, self.records.pipeline.serving.ready_seconds
        before = self.server.rest.states().get(number)
        entry = self.server.entry().offering(number, self.move.label, self.move.previous)
        self.server.apply(entry, seconds)
        self.server.rest.await_available(number, seconds, before)

    def announce(self) -> None:
        """Say in the ledger that the label is about to move."""
        self.ledger.append("moving", self.move)

    def move_label(self) -> None:
        """Let the version answer those who name the label. The previous one stays loaded."""
        number, label = self.move.version.number, self.move.label
        self.server.apply(self.moved_entry(), self.records.pipeline.serving.ready_seconds)
        if (found := self.server.rest.labelled_version(label)) != number:
            raise Unavailable(
                f"the label {label} of {self.server.model} was moved to {number}, and the model server still "
                f"names {found}. Is another server behind the REST address than behind the gRPC one?"
            )

    def follow(self, registry: Registry) -> None:
        """Have the registry say what the ledger announced, after what it has not heard of."""
        announced = self.ledger.on_the_way
        if announced is None:
            raise ValueError("a move is announced before the registry follows it")
        catch_up(self.ledger, registry)
        registry.follow(announced, self.alias)

    def moved_entry(self) -> Entry:
        """The model server's config once the label has moved."""
        return self.server.entry().promoted(self.move.version.number, self.move.label, self.move.previous)

    def record(self) -> None:
        """Say in the ledger that it is done."""
        self.ledger.record(self.move)

    @property
    def alias(self) -> str:
        """The registry's alias that goes with the label."""
        is_production = self.move.label == self.records.pipeline.serving.label
        return PRODUCTION if is_production else self.move.label

    @property
    def ledger(self) -> Ledger:
        """The history of the label that moves."""
        return Ledger(self.records.pipeline, self.records.store, self.move.label)
