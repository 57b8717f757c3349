from __future__ import annotations

import gc
import weakref

import pytest

from ml.landing.garbage import RECORDS_UNSEARCHED, rare_searches


class Interrupted(Exception):
    pass


class Knot:
    """An object that refers to itself, so that only a search frees it."""

    itself: Knot


def test_searches_are_rare_inside_the_block_and_as_before_after_it() -> None:
    before = gc.get_threshold()

    with rare_searches():
        assert gc.get_threshold() == (RECORDS_UNSEARCHED, *before[1:])

    assert gc.get_threshold() == before


def test_searches_are_as_before_after_a_failure() -> None:
    before = gc.get_threshold()

    with pytest.raises(Interrupted), rare_searches():
        raise Interrupted

    assert gc.get_threshold() == before


def test_garbage_is_still_found_inside_the_block() -> None:
    with rare_searches():
        knot = Knot()
        knot.itself = knot
        found = weakref.ref(knot)
        del knot
        kept = [[] for _ in range(RECORDS_UNSEARCHED + 1_000)]

        assert found() is None
    assert kept
