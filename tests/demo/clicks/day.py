"""One day of the click log: what is shown when to whom, and what of it is clicked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from zoneinfo import ZoneInfo

import numpy as np

from tests.demo.clicks.chance import pick, scramble, uniform
from tests.demo.clicks.truth import Behaviour, Impressions, Truth
from tests.demo.clicks.world import DEVICES, SYSTEM_SHARES, UTC_OFFSET_HOURS, Floats, Ints, World

BLOCK_RECORDS = 65_536
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
POSITIONS = 20
LATE_AFTER_MS = 3 * HOUR_MS  # after the day's end, later than any reasonable wait for late events

# Share of the day's traffic by hour: quiet at night, highest in the evening.
TRAFFIC = np.array([
    2.6, 2.1, 1.8, 1.7, 1.8, 2.2, 3.0, 3.8, 4.3, 4.5, 4.6, 4.8,
    5.0, 4.9, 4.7, 4.7, 5.0, 5.4, 5.9, 6.3, 6.4, 5.9, 4.9, 3.7,
])  # fmt: skip
QUANTITY_SHARES = np.array([0.70, 0.16, 0.08, 0.04, 0.02])
USUAL_DEVICES = (0.58, 0.32, 0.10)


class Damage(IntEnum):
    """What is wrong with a record."""

    NEGATIVE_QUANTITY = 0
    MISSING_ITEM = 1
    NOT_JSON = 2
    IMMENSE_PRICE = 3
    NONE = 4


@dataclass(frozen=True)
class Corruption:
    """Which share of the day's records is damaged, and how. The shares are of different records.

    Attributes:
        negative_quantity: ``quantity`` is -1.
        missing_item: the required ``item_id`` is absent.
        not_json: the record is cut off in the middle.
        immense_price: ``price`` is a number that no single precision holds.
    """

    negative_quantity: float = 0.0
    missing_item: float = 0.0
    not_json: float = 0.0
    immense_price: float = 0.0

    def draw(self, rng: np.random.Generator, size: int) -> Ints:
        """The damage of each of ``size`` records, as values of Damage."""
        shares = [self.negative_quantity, self.missing_item, self.not_json, self.immense_price]
        bounds = np.cumsum(shares)
        return np.searchsorted(bounds, rng.random(size), side="right")


@dataclass(frozen=True)
class Block:
    """Some thousand records in the order in which they reach the log; every array has shape (rows,).

    Attributes:
        first: number of the block's first record within the day.
        shown: what was seen.
        arrival: when each record was produced, milliseconds since the epoch, ascending.
        probability: the true probability of the click. It is not in the log.
        clicked: the label, 0 or 1.
        damage: values of Damage.
    """

    first: int
    shown: Impressions
    arrival: Ints
    probability: Floats
    clicked: Ints
    damage: Ints

    def __len__(self) -> int:
        return len(self.clicked)


@dataclass(frozen=True)
class Day:
    """A day of traffic. The same values give the same records, whatever else is generated.

    Attributes:
        date: the calendar day.
        records: how many.
        seed: of this day's chances; the users, the items and their truth come from ``world_seed``.
        devices: shares of mobile, desktop and tablet among the sessions.
        behaviour: which truth the labels are drawn from.
        corruption: damaged records.
        late: share of the records that arrive more than three hours after the day's end.
        world_seed: of the world.
        time_zone: whose calendar day it is.
    """

    date: date
    records: int
    seed: int
    devices: tuple[float, float, float] = USUAL_DEVICES
    behaviour: Behaviour = "usual"
    corruption: Corruption = field(default_factory=Corruption)
    late: float = 0.0
    world_seed: int = 1
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if not np.isclose(sum(self.devices), 1.0):
            raise ValueError(f"the shares of {', '.join(DEVICES)} must add up to 1, got {self.devices}")

    @property
    def world(self) -> World:
        """The users and items."""
        return World.of(self.world_seed)

    @property
    def start_ms(self) -> int:
        """Midnight, milliseconds since the epoch."""
        midnight = datetime(self.date.year, self.date.month, self.date.day, tzinfo=ZoneInfo(self.time_zone))
        return int(midnight.timestamp()) * 1000

    def blocks(self) -> Iterator[Block]:
        """The day's records in the order in which they reach the log, in constant memory."""
        late = round(self.records * self.late)
        punctual = self.records - late
        for first in range(0, punctual, BLOCK_RECORDS):
            yield self._punctual_block(first, min(BLOCK_RECORDS, punctual - first), punctual)
        for first in range(punctual, self.records, BLOCK_RECORDS):
            yield self._late_block(first, min(BLOCK_RECORDS, self.records - first))

    def best_auc(self, start_ms: int | None = None, end_ms: int | None = None) -> float:
        """The AUC of the true probabilities: no model can be expected to exceed it. Takes 16 bytes a record.

        Args:
            start_ms: only events from here on, for example the held-out end of the day.
            end_ms: only events before.
        """
        kept = [_between(block, start_ms, end_ms) for block in self.blocks()]
        return auc(np.concatenate([p for p, _ in kept]), np.concatenate([clicked for _, clicked in kept]))

    def _punctual_block(self, first: int, size: int, total: int) -> Block:
        """Records in the order of the day: each takes its moment from its own slice of the traffic."""
        rng = self._chance(first)
        moment = self._moments((first + np.arange(size) + rng.random(size)) / total)
        arrival = moment + rng.exponential(2000.0, size).astype(np.int64)
        return self._block(rng, first, moment, arrival)

    def _late_block(self, first: int, size: int) -> Block:
        """Records from anywhere in the day that were held up, for example on phones without a network."""
        rng = self._chance(first)
        moment = self._moments(rng.random(size))
        arrival = self.start_ms + DAY_MS + LATE_AFTER_MS + rng.integers(0, 6 * HOUR_MS, size)
        return self._block(rng, first, moment, arrival)

    def _chance(self, first: int) -> np.random.Generator:
        return np.random.default_rng([self.world_seed, self.seed, self.date.toordinal(), first])

    def _moments(self, share: Floats) -> Ints:
        """When the given shares of the day's traffic have passed."""
        passed = np.concatenate([[0.0], np.cumsum(TRAFFIC) / TRAFFIC.sum()])
        offset = np.interp(share, passed, np.arange(25) * HOUR_MS)
        return self.start_ms + np.minimum(offset.astype(np.int64), DAY_MS - 1)

    def _block(self, rng: np.random.Generator, first: int, moment: Ints, arrival: Ints) -> Block:
        order = np.argsort(arrival, kind="stable")
        shown = self._impressions(rng, moment[order])
        probability = Truth.of(self.world_seed, self.behaviour).probability(shown)
        clicked = (rng.random(len(moment)) < probability).astype(np.int64)
        damage = self.corruption.draw(rng, len(moment))
        return Block(first, shown, arrival[order], probability, clicked, damage)

    def _impressions(self, rng: np.random.Generator, moment: Ints) -> Impressions:
        size, users, items = len(moment), self.world.users, self.world.items
        user = np.searchsorted(users.popularity, rng.random(size))
        item = np.searchsorted(items.popularity, rng.random(size))
        session = self._sessions(user, moment)
        device = pick(np.array(self.devices), uniform(session, 1))
        return Impressions(
            event_time=moment,
            user=user,
            item=item,
            session=session,
            device=device,
            system=pick(SYSTEM_SHARES[device], uniform(session, 2)),
            hour=(moment // HOUR_MS + UTC_OFFSET_HOURS[users.country[user]]) % 24,
            price=np.maximum(np.round(items.price[item] * np.exp(rng.normal(0.0, 0.12, size)), 2), 0.01),
            quantity=1 + pick(QUANTITY_SHARES, rng.random(size)),
            position=np.minimum(rng.geometric(0.13, size), POSITIONS),
        )

    def _sessions(self, user: Ints, moment: Ints) -> Ints:
        """A user's impressions within one hour are a session."""
        of_hour = moment // HOUR_MS * len(self.world.users.age) + user
        return (scramble(of_hour.astype(np.uint64)) >> np.uint64(1)).astype(np.int64)


def auc(score: Floats, clicked: Ints) -> float:
    """The chance that a clicked impression scores above one that was not (Mann-Whitney U).

    Equal scores get no half points, which is right for scores as fine as these.

    Raises:
        ValueError: if not both labels occur.
    """
    positive = int(clicked.sum())
    negative = len(clicked) - positive
    if not positive or not negative:
        raise ValueError(f"AUC needs both labels, found {positive} clicked and {negative} not")
    rank = np.empty(len(score))
    rank[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    return float((rank[clicked == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _between(block: Block, start_ms: int | None, end_ms: int | None) -> tuple[Floats, Ints]:
    time = block.shown.event_time
    kept = np.full(len(block), True)
    if start_ms is not None:
        kept &= time >= start_ms
    if end_ms is not None:
        kept &= time < end_ms
    return block.probability[kept], block.clicked[kept]
