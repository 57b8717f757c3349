"""What can go wrong when a candidate meets the model server."""

from __future__ import annotations

from ml.errors import RetrainingError, Unavailable


class NotServable(RetrainingError):
    """The model server cannot serve the candidate as it was trained, so serving was put back as it was.

    Trying again does the same again: a person must look at the model or at the server.
    """


class LoadFailed(NotServable):
    """The model server gave up loading the version."""


class WrongAnswers(NotServable):
    """The loaded version answers otherwise than the model does offline."""


class NotLoaded(Unavailable):
    """A label names a version that the model server has not loaded: who asks by it gets an error.

    It may be loading, after a restart; or it cannot be loaded any more.
    """
