"""Rehearsing the way back to the golden version, on a model server that answers nobody.

What was never tried does not work at 2 a.m. The rehearsal loads the golden version from its files, asks it
its golden requests, moves the label, and takes everything away again. Its record says when it last worked.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ml.artifact import canonical_json
from ml.connections import ServingConnection
from ml.durable import write_atomically
from ml.errors import Misconfigured, RetrainingError
from ml.release.history import golden_version
from ml.release.model_config import Entry
from ml.release.production import Records, publication_lock
from ml.release.server import ModelServer
from ml.release.staging import forget_lost_tries, stage, unstage, verify
from ml.release.versions import Version

log = logging.getLogger(__name__)


def rehearse_golden(
    records: Records, serving: ServingConnection, scratch: ServingConnection
) -> dict[str, Any]:
    """Go back to the golden version on the scratch server, and record how that went.

    Args:
        records: say which version is golden and what it must answer.
        serving: the model server that users are answered by; only its files are looked at.
        scratch: another model server, of which everything is taken away again.

    Returns:
        ``{"at", "version", "passed", "seconds", "difference", "problem"}``.

    Raises:
        Misconfigured: if no version is golden, or the scratch server is the users' own.
        RetrainingError, OSError: what went wrong, after it was recorded.
    """
    version = _golden(records)
    _check_apart(serving, scratch)
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    record = {"at": at, "version": version.number, "seconds": None, "difference": None}
    try:
        verify(records.store, version.model, _directory(serving, records, version))
        seconds, difference = _rehearse(records, scratch, version)
    except (RetrainingError, OSError) as error:
        _write(records, {**record, "passed": False, "problem": str(error)})
        raise
    record |= {"seconds": seconds, "difference": difference, "passed": True, "problem": ""}
    _write(records, record)
    return record


def read_rehearsal(records: Records) -> dict[str, Any] | None:
    """The record of the last rehearsal of the version that is golden now; None if there was none.

    What a rehearsal of an earlier golden version came to says nothing of the way back to this one.

    Raises:
        StoreCorrupted: if the ledger, which says what is golden, is not as it was written.
    """
    path = _path(records)
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_bytes())
    return record if record["version"] == golden_version(records.ledger.entries()) else None


def _rehearse(records: Records, scratch: ServingConnection, version: Version) -> tuple[float, float | None]:
    """Seconds from the first change to the moved label, and the largest difference of an answer."""
    setting, number = records.pipeline.serving, version.number
    with records.store.lock(publication_lock(scratch)), ModelServer(scratch, setting.model) as server:
        try:
            stage(records.store, version.model, server.directory(number))
            before = server.rest.states().get(number)
            started = time.monotonic()
            loading = server.entry().offering(number, setting.label, None)
            server.apply(loading, setting.ready_seconds)
            server.rest.await_available(number, setting.ready_seconds, before)
            difference = records.known_answers.ask(number, server.rest)
            server.apply(loading.labelled(number, setting.label), setting.ready_seconds)
            _check_label(server, setting.label, number)
            return round(time.monotonic() - started, 3), difference
        finally:
            # What is half copied goes first: the config needs the room on a disk that is full.
            forget_lost_tries(server.directory(number).parent)
            _clear(server, setting.ready_seconds)
            unstage(server.directory(number))


def _clear(server: ModelServer, seconds: float) -> None:
    entry = server.entry()
    server.apply(Entry(entry.name, entry.base_path, (), {}), seconds)


def _check_label(server: ModelServer, label: str, number: int) -> None:
    if (found := server.rest.labelled_version(label)) != number:
        raise Misconfigured(
            f"on the scratch server the label {label} names {found} after it was moved to {number}. Do its "
            "REST and gRPC addresses belong to one server?"
        )


def _golden(records: Records) -> Version:
    number = golden_version(records.ledger.entries())
    version = None if number is None else records.versions.find(number)
    if version is None:
        raise Misconfigured(
            f"{records.pipeline.name} has no golden version to rehearse with. Name one that you trust: "
            f'python -m ml golden set --pipeline {records.pipeline.name} --version N --reason "…"'
        )
    return version


def _check_apart(serving: ServingConnection, scratch: ServingConnection) -> None:
    shared = [
        name
        for name in ("rest", "grpc", "models_dir", "config_file")
        if getattr(serving, name) == getattr(scratch, name)
    ]
    if shared:
        raise Misconfigured(
            f"the scratch connection has the same {' and '.join(shared)} as the users' model server, from "
            "which the rehearsal would take every version. Give it a model server of its own."
        )


def _directory(serving: ServingConnection, records: Records, version: Version) -> Path:
    return serving.models_dir / records.pipeline.serving.model / str(version.number)


def _write(records: Records, record: dict[str, Any]) -> None:
    log.info("rehearsal of version %s: %s", record["version"], record["problem"] or "passed")
    write_atomically(_path(records), canonical_json(record).encode())


def _path(records: Records) -> Path:
    return records.store.root / records.pipeline.name / "release" / "rehearsal.json"
