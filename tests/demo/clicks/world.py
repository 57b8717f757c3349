"""The shop that the click log comes from: its users and items, the same on every day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

USERS = 200_000
ITEMS = 50_000
BRANDS_PER_CATEGORY = 25
TASTES = 4

CATEGORIES = (
    "electronics", "computers", "phones", "audio", "cameras", "fashion", "shoes", "jewellery", "beauty",
    "health", "sports", "outdoor", "toys", "baby", "books", "garden", "furniture", "kitchen",
    "groceries", "pets",
)  # fmt: skip
MEDIAN_PRICES = np.array(
    [120, 450, 300, 80, 260, 35, 60, 90, 20, 25, 40, 70, 22, 30, 14, 45, 180, 38, 6, 18], float
)
COUNTRIES = ("DE", "US", "GB", "FR", "ES", "PL", "BR", "IN", "JP")
COUNTRY_SHARES = np.array([0.24, 0.20, 0.13, 0.12, 0.08, 0.07, 0.06, 0.06, 0.04])
UTC_OFFSET_HOURS = np.array([1, -5, 0, 1, 1, 1, -3, 5, 9])
USER_TYPES = ("new", "returning")
DEVICES = ("mobile", "desktop", "tablet")
SYSTEMS = ("android", "ios", "windows", "macos", "linux")
SYSTEM_SHARES = np.array(  # of each device, one row a device
    [[0.64, 0.36, 0.0, 0.0, 0.0], [0.0, 0.0, 0.66, 0.26, 0.08], [0.45, 0.50, 0.05, 0.0, 0.0]]
)

AGE_MISSING = -1
MEAN_CTR = 0.09

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Users:
    """One row a user.

    Attributes:
        popularity: cumulative share of the traffic, shape (USERS,).
        country: index into COUNTRIES.
        age: 16 to 90, or AGE_MISSING for about 15 %.
        views: items that the user saw before.
        clicks: items that the user clicked before; at most ``views``.
        returning: index into USER_TYPES.
        taste: shape (USERS, TASTES).
    """

    popularity: Floats
    country: Ints
    age: Ints
    views: Ints
    clicks: Ints
    returning: Ints
    taste: Floats


@dataclass(frozen=True)
class Items:
    """One row an item.

    Attributes:
        popularity: cumulative share of the traffic, shape (ITEMS,).
        category: index into CATEGORIES.
        brand: 0 to 499; brand // BRANDS_PER_CATEGORY is the category.
        ctr: click-through rate so far, with four decimals.
        price: list price.
        taste: shape (ITEMS, TASTES).
    """

    popularity: Floats
    category: Ints
    brand: Ints
    ctr: Floats
    price: Floats
    taste: Floats


@dataclass(frozen=True)
class World:
    """Who and what the shop consists of."""

    seed: int
    users: Users
    items: Items

    @classmethod
    @cache
    def of(cls, seed: int) -> World:
        """The world with this seed, made once a process."""
        users, items = (np.random.default_rng([seed, part]) for part in (1, 2))
        return cls(seed, _users(users), _items(items))


def _users(rng: np.random.Generator) -> Users:
    returning = (rng.random(USERS) < 0.75).astype(np.int64)
    typical_views = np.where(returning == 1, np.exp(rng.normal(4.0, 0.9, USERS)), 2.0)
    views = np.maximum(rng.poisson(typical_views), returning * 5)
    click_rate = rng.beta(1.6, 14.4, USERS)
    age = np.clip(np.rint(rng.gamma(9.0, 4.3, USERS)), 16, 90).astype(np.int64)
    return Users(
        popularity=_zipf(rng, USERS, exponent=0.55),
        country=rng.choice(len(COUNTRIES), USERS, p=COUNTRY_SHARES),
        age=np.where(rng.random(USERS) < 0.15, AGE_MISSING, age),
        views=views,
        clicks=rng.binomial(views, click_rate),
        returning=returning,
        taste=rng.normal(size=(USERS, TASTES)),
    )


def _items(rng: np.random.Generator) -> Items:
    category = rng.choice(len(CATEGORIES), ITEMS, p=_shares(len(CATEGORIES), exponent=0.5))
    brand = rng.choice(BRANDS_PER_CATEGORY, ITEMS, p=_shares(BRANDS_PER_CATEGORY, exponent=0.8))
    return Items(
        popularity=_zipf(rng, ITEMS, exponent=0.85),
        category=category,
        brand=category * BRANDS_PER_CATEGORY + brand,
        ctr=np.round(expit(rng.normal(logit(MEAN_CTR), 0.5, ITEMS)), 4),
        price=MEDIAN_PRICES[category] * np.exp(rng.normal(0.0, 0.55, ITEMS)),
        taste=rng.normal(size=(ITEMS, TASTES)),
    )


def _zipf(rng: np.random.Generator, size: int, exponent: float) -> Floats:
    """Cumulative shares of Zipf's law over a random order of ``size`` things."""
    cumulative: Floats = np.cumsum(rng.permutation(_shares(size, exponent)))
    cumulative[-1] = 1.0
    return cumulative


def _shares(size: int, exponent: float) -> Floats:
    weights: Floats = np.arange(1, size + 1) ** -exponent
    weights /= weights.sum()
    return weights
