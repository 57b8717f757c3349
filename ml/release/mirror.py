"""Telling the registry what the ledger says of a version, where MLflow need not answer.

A decision that moves no label is mirrored all the same: else a ledger that was replaced by a copy from before
a withdrawal would pass for the whole one, and the version could come back to users.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ml.connections import MlflowConnection
from ml.errors import RetrainingError
from ml.release.history import Line
from ml.release.registry import Registry

log = logging.getLogger(__name__)


def mirror_decision(line: Line, model: str, mlflow: MlflowConnection) -> bool:
    """Have the registry say what was decided about a version, if MLflow answers. It may be repeated.

    Args:
        line: the ledger's line that says so, of a withdrawal or a readmission.
        model: the registered model.
        mlflow: where the registry is.

    Returns:
        Whether the registry says so.
    """
    otherwise = f"MLflow has not heard of line {line['line']} of the ledger; with the next move it follows"
    return tell_registry(lambda registry: registry.note(line), model, mlflow, otherwise)


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
        with open_mlflow(mlflow, patient=False) as client:
            tell(Registry(client, model))
    except RetrainingError as error:
        log.warning("%s: %s", otherwise, error)
        return False
    return True
