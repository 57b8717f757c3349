"""Apache Kafka itself, in KRaft mode, on this machine: for the tests and for ``make demo BROKER=kafka``."""

from tests.demo.kafka.cluster import Kafka, running_kafka
from tests.demo.kafka.jars import KafkaMissing, what_is_missing
from tests.demo.kafka.node import Node

__all__ = ["Kafka", "KafkaMissing", "Node", "running_kafka", "what_is_missing"]
