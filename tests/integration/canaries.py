"""A small real world for rollouts: the pipeline of `tests.integration.publishing`, with a canary."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from ml import release
from ml.config import Canary, Pipeline, Realised, Rollout
from ml.connections import ServingConnection
from ml.release.rest import RestServer
from ml.release.rollback import roll_back
from ml.release.rollout.promotion import Verdict, promote_canary
from ml.release.rollout.tracks import Tracks, canary_of
from ml.release.rollout.trial import find_trial
from ml.release.rollout.withdrawal import withdraw_canary
from ml.release.wish import Wish
from ml.store import Draft
from tests.integration.publishing import Place
from tests.integration.release_world import command_line

# Latency is none of these tests' business: the machine is everybody's.
LIMITS = Rollout(
    min_requests=60, error_difference=0.2, latency_quantile=0.5, latency_ratio=50, score_shift=0.7
)
REALISED = Realised(request="request_id", min_rows=100)


@dataclass(frozen=True)
class CanaryPlace(Place):
    """A pipeline with a canary.

    Attributes:
        canary: the canary's own model server; None if stable's server has both labels.
        limits: how it is judged.
    """

    _: KW_ONLY
    canary: ServingConnection | None = None
    limits: Rollout = LIMITS

    @property
    def pipeline(self) -> Pipeline:
        plain = super().pipeline
        servers = "two" if self.canary else "one"
        canary = Canary(share=0.5, servers=servers, rollout=self.limits, realised=REALISED)
        return plain.model_copy(update={"serving": plain.serving.model_copy(update={"canary": canary})})

    @property
    def tracks(self) -> Tracks:
        return Tracks.of(self.pipeline, self.serving, self.canary)

    def push_with(self, push: release.Push, draft: Draft) -> None:
        release.push_canary(self.pipeline, push, self.tracks, self.mlflow, self.store, draft)

    def on_canary(self) -> int | None:
        """What the canary's users are answered by."""
        with RestServer(self.tracks.canary, self.model) as server:
            return server.labelled_version("canary")

    def promote(self, version: int, reason: str = "it is as good") -> None:
        """Let all users have it, as compared with what it is on trial beside."""
        trial = find_trial(self.records)
        verdict = Verdict(version, trial and trial.stable, Wish(str(version), reason, "rollout"))
        promote_canary(verdict, self.records, self.tracks, self.mlflow)

    def withdraw(self, version: int, reason: str = "it fails") -> bool:
        """Take it back from the canary's users."""
        wish = Wish(str(version), reason, "rollout")
        return withdraw_canary(version, wish, self.records, self.tracks, self.mlflow)

    def go_back(self, version: int, reason: str = "clicks fell") -> None:
        """Let all users be answered by a version that has served before."""
        roll_back(Wish(str(version), reason, "ada"), self.records, self.serving, self.mlflow)


def canary_command_line(place: CanaryPlace) -> dict[str, str]:
    """What makes ``python -m ml … --pipeline clicks`` mean a place with a canary; see `command_line`."""
    canary = canary_of(place.pipeline)
    second = {"RETRAIN_SERVING_CANARY": place.canary.model_dump_json()} if place.canary else {}
    return {
        **command_line(place),
        "RETRAIN_CLICKS__SERVING__CANARY__SHARE": str(canary.share),
        "RETRAIN_CLICKS__SERVING__CANARY__SERVERS": canary.servers,
        **second,
    }
