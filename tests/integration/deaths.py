"""The effects of each move of a label, in their order; a test kills the move right before each of them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.ml.release.mishaps import EFFECTS, Witness

CONFIG, RELOAD = "ml.release.model_config.write_atomically", "ml.release.rpc.RpcServer.reload"
LINE, HEAD = "ml.release.chain.Chain.append", "ml.release.chain.write_atomically"
ROUTE, SEAL = "ml.release.router.write_atomically", "ml.store.sync_tree"
TAG, ALIAS = "mlflow.MlflowClient.set_model_version_tag", "mlflow.MlflowClient.set_registered_model_alias"
RUN_TAG, HEAD_TAG = "mlflow.MlflowClient.set_tag", "mlflow.MlflowClient.set_registered_model_tag"
STAGE = ("ml.release.staging.sync_tree", "ml.release.staging.sync")
APPLY, SAY = (CONFIG, RELOAD), (LINE, HEAD)
FOLLOW = (TAG, RUN_TAG, TAG, HEAD_TAG, ALIAS)
# The version that is left is tagged besides.
FOLLOW_BACK = (TAG, RUN_TAG, TAG, TAG, RUN_TAG, HEAD_TAG, ALIAS)
NOTE = (TAG, RUN_TAG, TAG, HEAD_TAG)
END = (ROUTE, "mlflow.MlflowClient.delete_registered_model_alias")
# A process that is killed before a file is synced leaves the same as one that is killed after it.
SYNC = "ml.release.chain.sync"
PUBLISH = (
    "ml.release.versions.write_atomically",
    *STAGE,
    *APPLY,
    "ml.release.known_answers.write_atomically",
    *(*SAY, *APPLY, *FOLLOW, *SAY),
)
# All that each move changes, in this order.
MOVES = {
    "push": (*PUBLISH, SEAL),
    "start": (*PUBLISH, ROUTE, SEAL),
    "promote": (*STAGE, *APPLY, *SAY, *APPLY, *FOLLOW, *SAY, *END, *APPLY),
    "withdraw": (ROUTE, *SAY, *END, *NOTE, *APPLY),
    "rollback": (ROUTE, *STAGE, *APPLY, *SAY, *APPLY, *FOLLOW_BACK, *SAY),
}


@dataclass(frozen=True)
class Point:
    """Where a move is killed: right before one of its effects."""

    move: str
    number: int

    @property
    def effect(self) -> str:
        return MOVES[self.move][self.number]

    @property
    def call(self) -> int:
        """The how-manieth of its kind the effect is."""
        return MOVES[self.move][: self.number + 1].count(self.effect)

    def __str__(self) -> str:
        owner, name = self.effect.rsplit(".", 1)
        return f"{self.move}-{self.number:02d}-{owner.rsplit('.', 1)[-1]}.{name}"


def points_of(*moves: str) -> list[Point]:
    """All points of these moves, move by move."""
    return [Point(move, number) for move in moves for number in range(len(MOVES[move]))]


def effects(witness: Witness) -> list[str]:
    """What was seen of a move, as MOVES has it."""
    return [effect for effect in witness.seen if effect in EFFECTS and effect != SYNC]
