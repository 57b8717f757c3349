"""Everything that can go wrong, sorted by what to do next.

::

    RetrainingError
    ├── Unavailable          a server or the network did not answer: try again
    ├── Interrupted          a process or a half-done move was lost: try again, it resumes
    ├── Misconfigured        a person must change configuration, connection or credentials
    ├── DataRejected         the data is not fit to train on: a person must look at the data
    │   ├── NoRecords        the window holds no record
    │   ├── WindowExpired    retention has eaten the window, or part of it
    │   ├── TooManyRejects   too many records could not be read as examples
    │   └── AnomaliesFound   the examples break the reviewed schema
    ├── Withheld             not a failure: gate or fence said no, serving is untouched
    ├── Removed              housekeeping took an artifact away: run the step that makes it again
    └── StoreCorrupted       bytes do not match their digest

Airflow learns by these dotted names which failures a retry can help; see
``plugins/retraining/policies.py``. A message says what happened, what was expected, what to do.
"""

from __future__ import annotations

from ml.artifact import Artifact


class RetrainingError(Exception):
    """The root of every failure that the bundle raises on purpose.

    Attributes:
        evidence: what the step had written down before it stopped, if it had.
    """

    def __init__(self, message: str, evidence: Artifact | None = None) -> None:
        super().__init__(message)
        self.evidence = evidence


class Unavailable(RetrainingError):
    """A server or the network did not answer in time. Trying again can help."""


class Interrupted(RetrainingError):
    """A process or a half-done move was lost. Trying again resumes from what is there."""


class Misconfigured(RetrainingError):
    """A person must change configuration, connection or credentials first."""


class DataRejected(RetrainingError):
    """The data is not fit to train on. Trying again reads the same data."""


class NoRecords(DataRejected):
    """The window holds no record."""


class WindowExpired(DataRejected):
    """The topic's retention has eaten the window or part of it."""


class TooManyRejects(DataRejected):
    """More records than allowed could not be read as examples."""


class AnomaliesFound(DataRejected):
    """The examples break the reviewed schema in a way that the pipeline must not train on."""


class Withheld(RetrainingError):
    """Gate or fence said no. Nothing failed, and what is served stays as it was."""


class StoreCorrupted(RetrainingError):
    """Bytes in the store do not match the digest that they were written with."""


class Removed(RetrainingError):
    """Housekeeping has taken the artifact away. The step that made it can make it again."""
