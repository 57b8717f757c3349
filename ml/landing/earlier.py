"""How far the days before a night were read, by whichever settings they were landed."""

from __future__ import annotations

from ml.artifact import Artifact
from ml.day import Day
from ml.errors import Removed, StoreCorrupted
from ml.identities import find_examples, identify_offsets
from ml.landing.late import EarlierDay
from ml.landing.ranges import OffsetManifest
from ml.removal import Address


def find_earlier(day: Day) -> EarlierDay:
    """Look a day's landings up in the store.

    The one that a night would use holds for the day. Where there is none, the last one does, whatever it was
    made by: a setting that has changed since is no reason to forget the events that came late. Where one is
    damaged or just gone, tonight's landing goes on without these counts: it needs no other day.
    """
    try:
        return _look_up(day)
    except (StoreCorrupted, Removed) as error:
        return EarlierDay(day.window, unreadable=f"its landings cannot be read: {error}")


def _look_up(day: Day) -> EarlierDay:
    landings = [_read(day, offsets) for offsets in _landed_offsets(day)]
    if not landings:
        return EarlierDay(day.window)
    standing = _standing(day)
    counted = [landing for landing in landings if not landing.decision.refresh]
    return EarlierDay(
        window=day.window,
        landed=_read(day, standing) if standing else landings[-1],
        counted=counted[-1] if counted else None,
    )


def _landed_offsets(day: Day) -> list[Artifact]:
    """The offsets of all the day's examples, those that were landed last at the end."""
    place = Address.of(identify_offsets(day).uri)
    found = [one.identity for one in day.store.manifests(place.pipeline, "examples", place.day)]
    inputs = [identity.inputs["offsets"] for identity in found if identity.window == day.window]
    return [offsets for offsets in inputs if offsets]


def _standing(day: Day) -> Artifact | None:
    """The offsets of the examples that a night would use; None if it would have to land the day."""
    examples = find_examples(day)
    return day.store.manifest(examples).identity.inputs["offsets"] if examples else None


def _read(day: Day, offsets: Artifact) -> OffsetManifest:
    return OffsetManifest.read(day.store.open(offsets))
