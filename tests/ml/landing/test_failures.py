from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from ml.errors import Misconfigured, RetrainingError, Unavailable, WindowExpired
from ml.landing.failures import failure_of, failure_of_settings


@pytest.mark.parametrize(
    ("code", "failure", "advice"),
    [
        (KafkaError._AUTHENTICATION, Misconfigured, "Check user, password"),
        (KafkaError._SSL, Misconfigured, "certificates"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Misconfigured, "READ"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, Misconfigured, "landing.topic"),
        (KafkaError._AUTO_OFFSET_RESET, WindowExpired, "no longer there"),
        (KafkaError._TRANSPORT, Unavailable, "Try again"),
        (KafkaError._TIMED_OUT, Unavailable, "Try again"),
        (KafkaError._ALL_BROKERS_DOWN, Unavailable, "Try again"),
    ],
)
def test_an_error_says_what_to_do_next(code: int, failure: type[RetrainingError], advice: str) -> None:
    explained = failure_of(KafkaError(code), "clicks", "kafka:9092")

    assert type(explained) is failure
    assert "'clicks'" in str(explained) or "kafka:9092" in str(explained)
    assert advice in str(explained)


def test_settings_are_explained_without_their_secrets() -> None:
    error = KafkaError(KafkaError._INVALID_ARG, "no such mechanism for hunter2")

    message = str(failure_of_settings(error, {"bootstrap.servers": "b:1", "sasl.password": "hunter2"}))

    assert "hunter2" not in message
    assert "sasl.password" in message
