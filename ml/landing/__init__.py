"""Landing: one window of a Kafka topic becomes Parquet files, and what could not be read is kept aside."""

from ml.landing.earlier import find_earlier
from ml.landing.examples import Source, land_examples
from ml.landing.late import EarlierDays
from ml.landing.offsets import resolve_offsets
from ml.landing.survey import Remains, survey_topic
from ml.landing.verdict import check_landed, check_refreshed

__all__ = [
    "EarlierDays",
    "Remains",
    "Source",
    "check_landed",
    "check_refreshed",
    "find_earlier",
    "land_examples",
    "resolve_offsets",
    "survey_topic",
]
