"""What a backfill would be run with, besides its days, and what that decides about a day."""

from __future__ import annotations

from dataclasses import dataclass

from ml.day import Day
from ml.decisions import Decision, Decisions
from ml.identities import find_examples
from ml.landing import Remains


@dataclass(frozen=True)
class Asked:
    """The reasons that the parameters of ``retrain_<pipeline>`` give; empty where there are none.

    Attributes:
        accept_gap: to land days although records of them are gone.
        refresh_landing: to land days anew, with the late events that have come by now.
        refresh_production: to judge against what serves now.
    """

    accept_gap: str = ""
    refresh_landing: str = ""
    refresh_production: str = ""

    def decide(self, day: Day, remains: Remains | None) -> Decision:
        """How the day would be landed: as `ml.steps.land_examples` decides, without deciding anything.

        Args:
            day: which.
            remains: what the topic still holds of it; None if that is not known. A gap is accepted only
                where there is one.
        """
        decided = Decisions.of(day).adding("refresh", self.refresh_landing)
        if remains and not remains.is_whole and not find_examples(day, decided.standing):
            decided = decided.adding("accept_gap", self.accept_gap)
        return decided.standing
