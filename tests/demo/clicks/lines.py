"""A block of the log as JSON lines, put together in bulk from fragments that are rendered once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tests.demo.clicks.day import POSITIONS, Block, Damage, Day
from tests.demo.clicks.world import (
    AGE_MISSING,
    BRANDS_PER_CATEGORY,
    CATEGORIES,
    COUNTRIES,
    DEVICES,
    SYSTEMS,
    USER_TYPES,
    Ints,
    World,
)

TWO_DIGITS = pa.array([f"{number:02d}" for number in range(100)])


@dataclass(frozen=True)
class Fragments:
    """Pieces of a record that only depend on one thing, each ending in a comma.

    Attributes:
        users: what is known of each user.
        items: what is known of each item, and then the same again without ``item_id``.
        clients: device and system, by device * len(SYSTEMS) + system.
        hours: by hour.
        positions: by position.
        quantities: by quantity + 1, so that -1 has its place.
    """

    users: pa.StringArray
    items: pa.StringArray
    clients: pa.StringArray
    hours: pa.StringArray
    positions: pa.StringArray
    quantities: pa.StringArray

    @classmethod
    @cache
    def of(cls, world_seed: int) -> Fragments:
        """The fragments of a world, rendered once a process."""
        world = World.of(world_seed)
        items = _items(world)
        return cls(
            users=_fragments(_users(world)),
            items=_fragments([*items, *({**item, "item_id": None} for item in items)]),
            clients=_fragments(
                [{"device": device, "os": system} for device in DEVICES for system in SYSTEMS]
            ),
            hours=_fragments([{"hour": hour} for hour in range(24)]),
            positions=_fragments([{"position": position} for position in range(POSITIONS + 1)]),
            quantities=_fragments([{"quantity": quantity} for quantity in range(-1, 6)]),
        )


def render(day: Day, block: Block) -> list[bytes]:
    """The values of the block's records as they stand in the log, in its order."""
    values: list[bytes] = _lines(day, block).cast(pa.binary()).to_pylist()
    for row in np.flatnonzero(block.damage == Damage.NOT_JSON):
        values[row] = values[row][: len(values[row]) // 2]
    for row in np.flatnonzero(block.damage == Damage.IMMENSE_PRICE):
        values[row] = values[row].replace(b'"price":', b'"price":1' + b"0" * 39)
    return values


def user_ids(users: Ints) -> list[str]:
    """The names of users by their indices."""
    return [f"u{user:06d}" for user in users]


def _lines(day: Day, block: Block) -> pa.StringArray:
    fragments, shown = Fragments.of(day.world_seed), block.shown
    nameless = np.where(block.damage == Damage.MISSING_ITEM, len(fragments.items) // 2, 0)
    quantity = np.where(block.damage == Damage.NEGATIVE_QUANTITY, -1, shown.quantity)
    cents = np.rint(shown.price * 100).astype(np.int64)
    pieces = (
        f'{{"event_id":"{day.date:%Y%m%d}-{day.seed}-',
        _texts(block.first + np.arange(len(block))),
        '","event_time":',
        _texts(shown.event_time),
        ',"session_id":"s',
        _texts(shown.session),
        '",',
        fragments.users.take(pa.array(shown.user)),
        fragments.items.take(pa.array(shown.item + nameless)),
        fragments.clients.take(pa.array(shown.device * len(SYSTEMS) + shown.system)),
        fragments.hours.take(pa.array(shown.hour)),
        fragments.positions.take(pa.array(shown.position)),
        fragments.quantities.take(pa.array(quantity + 1)),
        '"price":',
        _texts(cents // 100),
        ".",
        TWO_DIGITS.take(pa.array(cents % 100)),
        ',"clicked":',
        _texts(block.clicked),
        "}",
    )
    return pc.binary_join_element_wise(*pieces, "")  # the last argument is the separator


def _users(world: World) -> list[dict[str, object]]:
    users = world.users
    return [
        {
            "user_id": user_id,
            "country": COUNTRIES[country],
            "user_type": USER_TYPES[returning],
            "user_clicks": clicks,
            "user_views": views,
            "age": None if age == AGE_MISSING else age,
        }
        for user_id, country, returning, clicks, views, age in zip(
            user_ids(np.arange(len(users.age))),
            users.country.tolist(),
            users.returning.tolist(),
            users.clicks.tolist(),
            users.views.tolist(),
            users.age.tolist(),
            strict=True,
        )
    ]


def _items(world: World) -> list[dict[str, object]]:
    items = world.items
    return [
        {
            "item_id": f"i{item:05d}",
            "category": CATEGORIES[category],
            "brand": f"{CATEGORIES[category]}-{brand % BRANDS_PER_CATEGORY:02d}",
            "item_ctr": ctr,
        }
        for item, (category, brand, ctr) in enumerate(
            zip(items.category.tolist(), items.brand.tolist(), items.ctr.tolist(), strict=True)
        )
    ]


def _fragments(objects: Sequence[Mapping[str, object]]) -> pa.StringArray:
    """Each object as JSON without braces, with a comma at the end, and without what is None."""
    return pa.array([_fragment(each) for each in objects])


def _fragment(fields: Mapping[str, object]) -> str:
    known = {name: value for name, value in fields.items() if value is not None}
    return orjson.dumps(known)[1:-1].decode() + ","


def _texts(numbers: Ints) -> pa.StringArray:
    return pa.array(numbers).cast(pa.string())
