"""Whether a topic removes records from between others, which only its settings tell."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from ml.connections import KafkaConnection
from ml.landing.failures import FORBIDDEN, failure_of

log = logging.getLogger(__name__)

POLICY = "cleanup.policy"
COMPACT = "compact"
REQUEST_SECONDS = 15.0
UNTOLD = FORBIDDEN | {KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.UNSUPPORTED_VERSION}


def is_compacted(connection: KafkaConnection, topic: str) -> bool:
    """Whether the topic's cleanup policy holds ``compact``, alone or with ``delete``.

    A user who may read a topic may not always ask for its settings. Then the log says what could not be
    checked, and the topic is taken for what an event log is: not compacted.

    Raises:
        Unavailable: if no broker answers in time.
    """
    settings = connection.plain()
    client = AdminClient({**settings, "log_level": 0})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    asked = client.describe_configs([resource], request_timeout=REQUEST_SECONDS)
    try:
        (answer,) = [future.result() for future in asked.values()]
    except KafkaException as error:
        if error.args[0].code() not in UNTOLD:
            raise failure_of(error.args[0], topic, settings["bootstrap.servers"]) from error
        log.warning(
            "cannot tell whether the topic %s is compacted: %s. The right to DESCRIBE_CONFIGS would show it",
            topic,
            error.args[0].str(),
        )
        return False
    return POLICY in answer and COMPACT in (answer[POLICY].value or "")
