"""Telling the registry what the ledger says of a version, where MLflow need not answer.

A decision that moves no label is mirrored all the same: else a ledger that was replaced by a copy from before
a withdrawal would pass for the whole one, and the version could come back to users. What the registry has not
heard, because MLflow did not answer, it is told by whoever reaches it next: a night, the watch, `reconcile
--settle`, or another move. Of several roll-backs it hears of each, and so of every version that was left. A
golden version, whose label nothing else is compared with, gets its alias with that; the alias of the users'
label follows only what really serves (`ml.release.production`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from operator import itemgetter

from ml.connections import MlflowConnection
from ml.errors import RetrainingError
from ml.release.history import GOLDEN, Line
from ml.release.ledger import Ledger
from ml.release.registry import NOTED, Registry

log = logging.getLogger(__name__)


def unheard(ledger: Ledger, registry: Registry) -> list[Line]:
    """The moves and decisions that the registry has not heard of, the oldest first.

    Among them is the last naming of a golden version, if its alias stayed behind and the model is registered.

    Args:
        ledger: all of it counts.
        registry: knows which line it has followed last.
    """
    head = registry.head()
    later = ledger.entries()[head[0] if head else 0 :]
    named = ledger.of(GOLDEN).left_behind
    missed: list[Line] = [line for line in later if _is_missed(line) and line != named]
    if named and registry.find(named["model"]):
        missed.append(named)
    return sorted(missed, key=itemgetter("line"))


def catch_up(ledger: Ledger, registry: Registry) -> list[Line]:
    """Have the registry say what it has not heard of, and log it. Under the publication lock only.

    Returns:
        The lines that it was told.
    """
    missed, named = unheard(ledger, registry), ledger.of(GOLDEN).left_behind
    for line in missed:
        if line == named:
            registry.follow(line, GOLDEN)
            ledger.of(GOLDEN).finish(line)
        else:
            registry.hear(line)
        log.warning("MLflow has heard now of line %d of the ledger: %s", line["line"], describe(line))
    return missed


def _is_missed(line: Line) -> bool:
    """Whether the registry has to be told of a line that is later than all that it has followed."""
    if line["event"] == "noted":
        return line["action"] in NOTED
    return line["event"] == "moved" and not line["alias"]


def describe(line: Line) -> str:
    """A move or a decision in a few words."""
    whose = "of" if line["event"] == "noted" else "to"
    return f"{line['action']} {whose} {line['to']}, {line['time'][:19]} by {line['who']}"


def mirror_decision(line: Line, ledger: Ledger, model: str, mlflow: MlflowConnection) -> bool:
    """Have the registry say what was decided about a version, if MLflow answers. It may be repeated.

    Args:
        line: the ledger's line that says so, of a withdrawal or a readmission.
        ledger: which may have earlier ones that MLflow did not answer for.
        model: the registered model.
        mlflow: where the registry is.

    Returns:
        Whether the registry says so.
    """

    def tell(registry: Registry) -> None:
        if line not in catch_up(ledger, registry):
            registry.note(line)

    otherwise = (
        f"MLflow has not heard of line {line['line']} of the ledger; the next night or the watch tells it"
    )
    return tell_registry(tell, model, mlflow, otherwise)


def tell_registry(
    tell: Callable[[Registry], None], model: str, mlflow: MlflowConnection, otherwise: str
) -> bool:
    """Tell the registry what it should know, and go on without it if MLflow does not answer.

    Args:
        tell: does so.
        model: the registered model.
        mlflow: where the registry is.
        otherwise: what is logged, with the reason, if it was not told.

    Returns:
        Whether it was told.
    """
    from ml.release.tracking import open_mlflow

    try:
        with open_mlflow(mlflow, "none") as client:
            tell(Registry(client, model))
    except RetrainingError as error:
        log.warning("%s: %s", otherwise, error)
        return False
    return True
