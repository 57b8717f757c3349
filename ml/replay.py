"""Some nights run again without Airflow, one after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ml.artifact import Window
from ml.errors import Misconfigured, RetrainingError, Withheld
from ml.walk import Walk

log = logging.getLogger(__name__)


@dataclass
class Replay:
    """What came of some nights.

    Attributes:
        nights: their run keys, in the order in which they were walked.
        failed: run key → why the night was not logged. The last of the nights is here if it stopped the rest.
    """

    nights: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def replay_nights(pipeline: str, windows: Sequence[Window], replay: Replay) -> None:
    """Walk the nights of these days; one that fails does not keep the others from being walked.

    What a night has made before is used as it is, so an interrupted replay goes on where it was.

    Args:
        pipeline: the pipeline's name.
        windows: the days, in the order in which they are walked.
        replay: filled as the nights end, so that what was done is known whatever stops the rest.

    Raises:
        Misconfigured: at once, because every further night would end the same way. So does whatever nobody
            expects: it is a fault of the code.
    """
    started = time.monotonic()
    for number, walk in enumerate(_walks(pipeline, windows), 1):
        log.info("night %d of %d: %s", number, len(windows), walk.run_key)
        replay.nights.append(walk.run_key)
        outcome = _finish(walk, replay)
        left = timedelta(seconds=round((time.monotonic() - started) / number * (len(windows) - number)))
        log.info("night %d of %d: %s; about %s to go", number, len(windows), outcome, left)


def _walks(pipeline: str, windows: Iterable[Window]) -> Iterable[Walk]:
    return (Walk(pipeline, window) for window in windows)


def _finish(walk: Walk, replay: Replay) -> str:
    try:
        return f"published, {walk.push_model['uri']}"
    except Withheld as withheld:
        return str(withheld)
    except BaseException as error:
        replay.failed[walk.run_key] = f"{type(error).__name__}: {error}"
        if isinstance(error, Misconfigured) or not isinstance(error, RetrainingError | OSError):
            raise
        return replay.failed[walk.run_key]
