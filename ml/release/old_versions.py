"""Versions on a model server's disk: which of them stay, and how the others go without a failed request.

| action | after it | if the process is lost after it |
|---|---|---|
| unload | the config names the version no more | the next housekeeping goes on |
| await_unloaded | every server says itself that the version has ended | the same |
| unstage: rename | no server can find the directory | the next push or housekeeping deletes it |
| unstage: delete | it is gone | nothing is left to do |

The ledger, the version's record and its golden requests stay: what is known of a version, and what was
decided about it, outlives its files. MLflow keeps the logged model.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay
from tenacity.wait import wait_exponential

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Unavailable
from ml.release.golden_version import kept_versions
from ml.release.history import rolled_back
from ml.release.production import Records, publication_locks
from ml.release.server import ModelServer
from ml.release.staging import forget_lost_tries, unstage

ENDED = "END"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VersionSurvey:
    """What is on the disks, and why it stays.

    Attributes:
        on_disk: version → bytes.
        kept: version → every reason, of all that stay, on disk or not.
    """

    on_disk: dict[int, int] = field(default_factory=dict)
    kept: dict[int, list[str]] = field(default_factory=dict)

    @property
    def outgoing(self) -> list[int]:
        """The versions that may go, the oldest first."""
        return sorted(self.on_disk.keys() - self.kept.keys())


def survey_versions(
    records: Records, servers: Sequence[ServingConnection], in_use: Collection[int]
) -> VersionSurvey:
    """Say which versions stay and why.

    Args:
        records: numbers and ledger.
        servers: the model server of the stable track, then the others.
        in_use: versions that runs have named which may be going on.

    Raises:
        Unavailable: if a server does not answer.
        Misconfigured: if users are served by a version that was not published from this store.
    """
    with _opened(records, servers) as opened:
        return _survey(records, opened, in_use)


def remove_versions(
    records: Records, servers: Sequence[ServingConnection], in_use: Collection[int]
) -> dict[int, int]:
    """Unload and delete every version that nothing keeps, under the publication lock.

    Returns:
        Version → bytes, of those that went.

    Raises:
        Unavailable: if a server does not answer, or does not let go of a version; its files stay then.
        Misconfigured: as in `survey_versions`.
    """
    with ExitStack() as locks:
        locks.enter_context(publication_locks(records.store, servers))
        opened = locks.enter_context(_opened(records, servers))
        survey = _survey(records, opened, in_use)
        for server in opened:
            forget_lost_tries(server.directory(0).parent)
        _unload(records, opened, survey.outgoing)
        for version in survey.outgoing:
            log.info("version %d is unloaded everywhere; its directory goes", version)
            for server in opened:
                unstage(server.directory(version))
    return {version: survey.on_disk[version] for version in survey.outgoing}


def aliased_digests(model: str, mlflow: MlflowConnection) -> dict[str, str]:
    """Alias → digest of the model that it points at, of all aliases of a registered model.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    from ml.release.registry import Registry
    from ml.release.tracking import open_mlflow

    with open_mlflow(mlflow) as client:
        return Registry(client, model).aliased_digests()


@contextmanager
def _opened(records: Records, servers: Sequence[ServingConnection]) -> Iterator[list[ModelServer]]:
    with ExitStack() as stack:
        model = records.pipeline.serving.model
        yield [stack.enter_context(ModelServer(server, model)) for server in servers]


def _survey(records: Records, servers: Sequence[ModelServer], in_use: Collection[int]) -> VersionSurvey:
    records.served(servers[0].rest)
    survey = VersionSurvey(kept=kept_versions(records))
    for server in servers:
        for version, size in _directories(server.directory(0).parent):
            survey.on_disk[version] = survey.on_disk.get(version, 0) + size
        for version, reason in _named(records, server):
            _keep(survey, version, reason)
    for version in in_use:
        _keep(survey, version, "named by a run that may be going on")
    for version in survey.on_disk:
        if records.versions.find(version) is None:
            _keep(survey, version, "not published from this store")
    for version in _last(records, survey):
        _keep(survey, version, f"one of the last {records.pipeline.serving.keep_versions}")
    return survey


def _named(records: Records, server: ModelServer) -> Iterator[tuple[int, str]]:
    """What a server's labels name, by its config file, which may be ahead, and by its own word."""
    labels = server.entry().labels
    for label in sorted({*labels, records.pipeline.serving.label}):
        for version in {labels.get(label), server.rest.labelled_version(label)} - {None}:
            if version is not None:
                yield version, f"labelled {label}"


def _last(records: Records, survey: VersionSurvey) -> list[int]:
    """The newest versions. Those that were rolled back stay among them, but do not count."""
    published = [version for version in survey.on_disk if records.versions.find(version)]
    condemned = rolled_back(records.ledger.entries())
    counted = sorted((version for version in published if version not in condemned), reverse=True)
    count = records.pipeline.serving.keep_versions
    oldest = counted[count - 1] if len(counted) >= count else 0
    return [version for version in published if version >= oldest]


def _keep(survey: VersionSurvey, version: int, reason: str) -> None:
    reasons = survey.kept.setdefault(version, [])
    if reason not in reasons:
        reasons.append(reason)


def _directories(parent: Path) -> Iterator[tuple[int, int]]:
    for path in parent.glob("[0-9]*"):
        if path.name.isdecimal():
            yield int(path.name), sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _unload(records: Records, servers: Sequence[ModelServer], versions: Sequence[int]) -> None:
    setting = records.pipeline.serving
    for server in servers:
        entry, served = server.entry(), server.rest.labelled_version(setting.label)
        # What the file does not name any more may be loaded: one that was lost had not told the server yet.
        outgoing = set(versions) & {*entry.versions, *_loaded(server)}
        for version in outgoing:
            entry = entry.without(version, setting.label, served)
        if outgoing:
            server.apply(entry, setting.ready_seconds)
    for server in servers:
        _await_unloaded(server, set(versions), setting.ready_seconds)


def _loaded(server: ModelServer) -> dict[int, str]:
    """Version → state, of all that have not ended by the server's own word."""
    return {version: state.name for version, state in server.rest.states().items() if state.name != ENDED}


def _await_unloaded(server: ModelServer, versions: set[int], seconds: float) -> None:
    """Wait until a server says of itself that the versions have ended, or knows nothing of them."""

    def loaded() -> list[str]:
        states = _loaded(server)
        return [f"{version} {states[version]}" for version in sorted(versions & states.keys())]

    retrying = Retrying(
        stop=stop_after_delay(seconds), wait=wait_exponential(0.05, max=1.0), retry=retry_if_result(bool)
    )
    try:
        retrying(loaded)
    except RetryError as error:
        raise Unavailable(
            f"the model server still has {', '.join(loaded())} of {server.model} after {seconds:g} s, "
            "although its config names them no more. Expected it to unload them; until it has, their files "
            "stay. Is another server behind the REST address than the one that reads the config file?"
        ) from error
