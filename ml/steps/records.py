"""The release records of a pipeline by its name, for the steps that are about published versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.pipelines import load_pipeline
from ml.store import Store

if TYPE_CHECKING:
    from ml.release import Records


def records_of(pipeline: str) -> Records:
    """What this process's store knows of the pipeline's publications."""
    from ml.release import Records

    return Records(load_pipeline(pipeline), Store.from_environment())
