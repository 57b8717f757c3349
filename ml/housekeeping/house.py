"""One pipeline's housekeeping from the first look to the last byte."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.housekeeping.holdings import read_holdings
from ml.housekeeping.plan import Outgoing, Plan, read_plan
from ml.housekeeping.removing import Sweep, empty_trash, remove_artifacts
from ml.housekeeping.roots import find_evidence, find_roots, versions_in_use
from ml.release import Records
from ml.release.production import publication_lock
from ml.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class House:
    """What is kept in order.

    Attributes:
        pipeline: the settings.
        store: its artifacts, and those of other pipelines, which are none of ours.
        servers: the model server of the stable track, then the others.
        mlflow: where the aliases are.
    """

    pipeline: Pipeline
    store: Store
    servers: tuple[ServingConnection, ...]
    mlflow: MlflowConnection

    @property
    def records(self) -> Records:
        """Numbers and ledger."""
        return Records(self.pipeline, self.store)


def plan_housekeeping(house: House, now: datetime) -> Plan:
    """Say what may go and why. Nothing is changed.

    Raises:
        Unavailable: if a model server or MLflow does not answer: nobody knows what must stay.
        Misconfigured: if users are served by a version that was not published from this store.
        StoreCorrupted: if the ledger or a manifest cannot be read.
    """
    from ml.release.old_versions import aliased_digests, survey_versions

    holdings = read_holdings(house.store, house.pipeline.name)
    in_use = versions_in_use(house.pipeline, holdings, now)
    survey = survey_versions(house.records, house.servers, in_use)
    aliases = aliased_digests(house.pipeline.serving.model, house.mlflow)
    roots = find_roots(house.records, holdings, survey.kept, aliases)
    keep = house.pipeline.serving.keep_versions
    why = f"neither served, labelled nor golden, and not one of the last {keep} (serving.keep_versions)"
    return replace(
        read_plan(house.pipeline, house.store, roots, find_evidence(house.records), now),
        versions=tuple(
            Outgoing(f"version {number}", survey.on_disk[number], why) for number in survey.outgoing
        ),
        kept_versions={number: ", ".join(reasons) for number, reasons in sorted(survey.kept.items())},
    )


def housekeep(house: House, now: datetime) -> tuple[Plan, Sweep]:
    """Plan, and do it. A housekeeping that was lost on the way is finished by the next.

    Raises:
        Unavailable: as in `plan_housekeeping`, or if a server does not let go of a version.
        Misconfigured: as in `plan_housekeeping`.
        StoreCorrupted: as in `plan_housekeeping`.
    """
    from ml.release.old_versions import remove_versions

    with house.store.lock(f"{house.pipeline.name}/housekeeping"):
        empty_trash(house.store, house.pipeline.name)
        lines = _lines(house)
        plan = plan_housekeeping(house, now)
        in_use = versions_in_use(house.pipeline, plan.holdings, now)
        gone = remove_versions(house.records, house.servers, in_use)
        sweep = remove_artifacts(house.store, plan, lambda: _unmoved(house, lines))
    return plan, _with_versions(sweep, plan, gone)


@contextmanager
def _unmoved(house: House, lines: int) -> Iterator[bool]:
    """Keep versions from being moved for the time of the block, and say whether none was since the plan."""
    with house.store.lock(publication_lock(house.servers[0])):
        yield _lines(house) == lines


def _lines(house: House) -> int:
    """Where the ledger ends: it grows before anything that is served changes."""
    path = house.records.ledger.path
    return path.stat().st_size if path.exists() else 0


def _with_versions(sweep: Sweep, plan: Plan, gone: Mapping[int, int]) -> Sweep:
    names = {f"version {number}" for number in gone}
    removed = [one for one in plan.versions if one.name in names]
    spared = {one.name: "it is in service again" for one in plan.versions if one.name not in names}
    return Sweep([*removed, *sweep.removed], {**spared, **sweep.spared})
