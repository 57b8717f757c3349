"""Reading the statistics of a landed day. This needs no TFDV, whose import takes seconds."""

from __future__ import annotations

from pathlib import Path

from tensorflow_metadata.proto.v0 import statistics_pb2

STATISTICS = "statistics.pb"


def read_statistics(statistics: Path) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics in an artifact's directory."""
    content = (statistics / STATISTICS).read_bytes()
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(content)
