"""Hotel searches drawn from a known truth, for a pipeline that shares nothing with the clicks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Producer

from ml.artifact import Window
from tests.demo.clicks import auc

TIME_ZONE = "Europe/Berlin"
DESTINATIONS, HOTELS_EACH = 30, 10
CHANNELS = np.array(["app", "web", "partner"])
CHANNEL_WEIGHTS = np.array([0.5, 0.0, -0.9])
DELAY_MS = 1_500

Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class SearchDay:
    """One calendar day in Berlin.

    Attributes:
        day: the day; it may have 23 or 25 hours.
        records: how many offers are shown.
        seed: of its chances. The hotels and the truth are the same on all days.
    """

    day: date
    records: int
    seed: int

    @property
    def window(self) -> Window:
        return Window.of_day(self.day, TIME_ZONE)

    def columns(self) -> dict[str, Column]:
        """What is logged, and the true ``probability`` of a booking, which is not."""
        random, size = np.random.default_rng(self.seed), self.records
        hotel = random.integers(0, DESTINATIONS * HOTELS_EACH, size)
        channel = random.choice(len(CHANNELS), size, p=[0.45, 0.35, 0.2])
        shown = {
            "searched_at": np.sort(random.integers(self.window.start_ms, self.window.end_ms, size)),
            "destination_id": 1 + hotel // HOTELS_EACH,
            "hotel_id": 1000 + hotel,
            "guests": random.choice([1, 2, 3, 4, 5], size, p=[0.2, 0.5, 0.1, 0.15, 0.05]),
            "channel": CHANNELS[channel],
            "nightly_rate": np.round(random.lognormal(4.6, 0.5, size), 2),
            "review_score": _with_gaps(random, np.round(random.normal(8.0, 0.9, size).clip(1, 10), 1), 0.2),
            "centre_km": _with_gaps(random, np.round(random.exponential(3.0, size), 2), 0.1),
            "lead_days": random.geometric(0.04, size) - 1,
        }
        probability = _truth(shown, CHANNEL_WEIGHTS[channel])
        booked = (random.random(size) < probability).astype(np.int64)
        return {**shown, "booked": booked, "probability": probability}

    def best_auc(self, window: Window) -> float:
        """What no model could exceed on the offers shown in a window."""
        columns = self.columns()
        times = columns["searched_at"]
        shown = (window.start_ms <= times) & (times < window.end_ms)
        return auc(columns["probability"][shown], columns["booked"][shown])

    def produce(self, bootstrap: str, topic: str, partitions: int) -> None:
        """Write the day into an existing topic; a gap is null there."""
        columns = self.columns()
        del columns["probability"]
        producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 20})
        for row in range(self.records):
            shown = {name: values[row].item() for name, values in columns.items()}
            value = orjson.dumps({"search_id": f"{self.day}-{row}", **shown})  # NaN becomes null
            moment = int(columns["searched_at"][row]) + DELAY_MS
            producer.produce(topic, value, partition=row % partitions, timestamp=moment)
            producer.poll(0)
        assert producer.flush(60) == 0


def _truth(shown: dict[str, Column], channel: Column) -> Column:
    world = np.random.default_rng(2)
    destination, hotel = world.normal(0, 0.5, DESTINATIONS), world.normal(0, 0.5, DESTINATIONS * HOTELS_EACH)
    score = -0.9 + destination[shown["destination_id"] - 1] + hotel[shown["hotel_id"] - 1000] + channel
    score += np.where(np.isnan(shown["review_score"]), -0.5, 0.7 * (shown["review_score"] - 8.0))
    score += np.where(np.isnan(shown["centre_km"]), 0.0, -0.5 * np.log1p(shown["centre_km"]))
    score += -0.9 * (np.log(shown["nightly_rate"]) - 4.6) - 0.2 * np.log1p(shown["lead_days"])
    return np.asarray(1 / (1 + np.exp(-score)))


def _with_gaps(random: np.random.Generator, values: Column, share: float) -> Column:
    return np.where(random.random(len(values)) < share, np.nan, values)
