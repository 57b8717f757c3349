"""What Kafka's error codes ask a person, or a retry, to do."""

from __future__ import annotations

from confluent_kafka import KafkaError

from ml.errors import Misconfigured, RetrainingError, Unavailable, WindowExpired

REFUSED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
FORBIDDEN = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED})
MISSING = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.TOPIC_EXCEPTION,
    }
)
UNANSWERED = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN})
GONE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})
# The client looks for the coordinator of its group, which we name because we must and never use.
ABOUT_THE_GROUP = frozenset(
    {
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    }
)


def failure_of(error: KafkaError, topic: str, servers: str) -> RetrainingError:
    """The failure that a Kafka error means for a landing, sorted by what to do next.

    Args:
        error: as the client library reported it.
        topic: what was read.
        servers: the bootstrap servers.
    """
    code, said = error.code(), f"Kafka said: {error.str()}"
    if code in REFUSED:
        return Misconfigured(
            f"The brokers at {servers} refused the connection; expected to be let in. {said}. "
            "Check user, password, security.protocol and certificates of the Kafka connection."
        )
    if code in FORBIDDEN:
        return Misconfigured(
            f"The user of the Kafka connection may not read the topic {topic!r} at {servers}. {said}. "
            "Ask for the right to READ and DESCRIBE it; a rule that denies it wins over any that allows it."
        )
    if code in MISSING:
        return Misconfigured(
            f"There is no topic {topic!r} at {servers}; expected the one that landing.topic names. {said}. "
            "Check landing.topic in pipeline.yaml, and that the connection leads to the right cluster."
        )
    if code in GONE:
        return WindowExpired(
            f"Offsets of the topic {topic!r} that the manifest names are no longer there. {said}. "
            "Retention has passed over them, or the topic was made anew. Land the day from a copy of the "
            "topic that still holds them, or what is left of it with --accept-gap REASON."
        )
    return Unavailable(
        f"The brokers at {servers} did not answer about the topic {topic!r}. {said}. Try again."
    )


def failure_of_settings(error: KafkaError, settings: dict[str, str]) -> Misconfigured:
    """The failure of settings that the client library does not take; shows no secret."""
    said = error.str()
    for key, value in settings.items():
        if value and any(word in key for word in ("password", "secret", "key", "token")):
            said = said.replace(value, "***")
    return Misconfigured(
        f"The Kafka connection has settings that librdkafka does not take: {said}. Found the keys "
        f"{', '.join(sorted(settings))}. Correct the connection; 'bootstrap.servers' is the least it needs."
    )
