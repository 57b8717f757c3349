"""Failures as TensorFlow Serving names them: one canonical code and a message."""

from __future__ import annotations

import grpc

CODES_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class StatusError(Exception):
    """A request, a reload or a load that failed.

    Attributes:
        code: the canonical code; gRPC sends it as it is, REST as an HTTP status.
        message: what happened, in TensorFlow Serving's words where clients may match on them.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @classmethod
    def of(cls, error: Exception) -> StatusError:
        """The status of any exception; those of TensorFlow carry their own code."""
        if isinstance(error, cls):
            return error
        number = getattr(error, "error_code", None)
        code = CODES_BY_NUMBER.get(number, grpc.StatusCode.INTERNAL)
        return cls(code, getattr(error, "message", None) or f"{type(error).__name__}: {error}")

    @property
    def number(self) -> int:
        """The code as protos write it."""
        return int(self.code.value[0])


def invalid_argument(message: str) -> StatusError:
    """The caller sent something wrong."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> StatusError:
    """The server is not in the state that the request needs."""
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def not_found(message: str) -> StatusError:
    """No such model or version."""
    return StatusError(grpc.StatusCode.NOT_FOUND, message)
