"""Why users click: the logistic truth that labels are drawn from, so that the best reachable AUC is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy.special import expit, logit

from tests.demo.clicks.world import (
    AGE_MISSING,
    BRANDS_PER_CATEGORY,
    CATEGORIES,
    COUNTRIES,
    DEVICES,
    MEAN_CTR,
    MEDIAN_PRICES,
    SYSTEMS,
    TASTES,
    Floats,
    Ints,
    World,
)

Behaviour = Literal["usual", "reversed"]

BIAS: dict[Behaviour, float] = {"usual": -1.85, "reversed": -1.58}  # about one click in eight
POSITION_WEIGHTS = np.array([-0.42, -0.26, -0.32])  # of log(position), by device: a small screen hides more
TASTE_WEIGHT = 0.15 / np.sqrt(TASTES)


@dataclass(frozen=True)
class Impressions:
    """Items shown to users, one row each; every attribute has shape (rows,).

    Attributes:
        event_time: when it was seen, milliseconds since the epoch.
        user: index of the user.
        item: index of the item.
        session: number of the session; a session keeps its device and system.
        device: index into DEVICES.
        system: index into SYSTEMS.
        hour: local hour of the user, 0 to 23.
        price: the item's price at that moment.
        quantity: how many pieces were offered, 1 to 5.
        position: the place on the page, 1 to 20.
    """

    event_time: Ints
    user: Ints
    item: Ints
    session: Ints
    device: Ints
    system: Ints
    hour: Ints
    price: Floats
    quantity: Ints
    position: Ints


@dataclass(frozen=True)
class Truth:
    """The weights of the logistic model. All are over things that the log shows.

    Almost all can be learnt from some 100 000 records; only how a user's taste meets an item's needs many
    records of both.

    Attributes:
        world: whose users and items these are.
        bias: the intercept.
        user: what is the same for all impressions of a user, shape (USERS,).
        item: likewise, shape (ITEMS,).
        system: shape (systems,).
        device_category: shape (devices, categories).
        country_category: shape (countries, categories).
        age_category: slope over the standardised age, shape (categories,).
        price_category: slope over the standardised logarithm of the price, shape (categories,).
    """

    world: World
    bias: float
    user: Floats
    item: Floats
    system: Floats
    device_category: Floats
    country_category: Floats
    age_category: Floats
    price_category: Floats

    @classmethod
    @cache
    def of(cls, world_seed: int, behaviour: Behaviour) -> Truth:
        """The truth of a world.

        Args:
            world_seed: of the world, from which the weights are drawn as well.
            behaviour: ``usual``; or ``reversed``, where users want on each device what they did not want
                there before, and look for the expensive where they looked for the cheap.
        """
        world = World.of(world_seed)
        rng = np.random.default_rng([world_seed, 3])
        direction = -1.0 if behaviour == "reversed" else 1.0
        categories = len(CATEGORIES)
        return cls(
            world=world,
            bias=BIAS[behaviour],
            user=_user_weights(world, rng),
            item=_item_weights(world, rng),
            system=rng.normal(0.0, 0.1, len(SYSTEMS)),
            device_category=direction * rng.normal(0.0, 0.6, (len(DEVICES), categories)),
            country_category=rng.normal(0.0, 0.3, (len(COUNTRIES), categories)),
            age_category=rng.normal(0.0, 0.25, categories),
            price_category=direction * -np.abs(rng.normal(0.45, 0.25, categories)),
        )

    def probability(self, shown: Impressions) -> Floats:
        """The probability of a click on each impression, shape (rows,)."""
        users, items = self.world.users, self.world.items
        category, age = items.category[shown.item], users.age[shown.user]
        known_age = np.where(age == AGE_MISSING, 0.0, (age - 39) / 13)
        relative_price = np.log(shown.price / MEDIAN_PRICES[category]) / 0.55
        score = self.bias + self.user[shown.user] + self.item[shown.item] + self.system[shown.system]
        score += self.device_category[shown.device, category]
        score += self.country_category[users.country[shown.user], category]
        score += self.age_category[category] * known_age
        score += self.price_category[category] * relative_price
        score += POSITION_WEIGHTS[shown.device] * np.log(shown.position)
        score += 0.2 * np.cos(2 * np.pi * (shown.hour - 20) / 24) + 0.05 * (shown.quantity - 1)
        score += TASTE_WEIGHT * np.einsum("ij,ij->i", users.taste[shown.user], items.taste[shown.item])
        probability: Floats = expit(score)
        return probability


def _user_weights(world: World, rng: np.random.Generator) -> Floats:
    """A user's history, in logits around that of an average user, the country, and being new."""
    users = world.users
    history = np.log((users.clicks + 1) / (users.views + 10)) - np.log(0.1)
    country = rng.normal(0.0, 0.15, len(COUNTRIES))
    weights: Floats = 0.7 * history + country[users.country] - 0.25 * (users.returning == 0)
    return weights


def _item_weights(world: World, rng: np.random.Generator) -> Floats:
    """An item's history, in logits around that of an average item, its category and its brand."""
    items = world.items
    history = logit(items.ctr) - logit(MEAN_CTR)
    category = rng.normal(0.0, 0.25, len(CATEGORIES))
    brand = rng.normal(0.0, 0.25, len(CATEGORIES) * BRANDS_PER_CATEGORY)
    weights: Floats = 0.8 * history + category[items.category] + brand[items.brand]
    return weights
