"""The write-once store of artifacts: one directory each, with a manifest beside the bytes.

``<root>/<pipeline>/<kind>/<day>-<key>/`` holds the files and ``manifest.json``. The key is the digest
of what the artifact is made of (its `Identity`), so the same inputs lead to the same place. A writer
fills a ``.partial`` sibling and renames it when every byte is on disk, so whatever has its final name
is complete. The kernel drops a dead writer's lock, and the next one starts afresh.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import Timeout

from ml.artifact import Artifact, canonical_json, digest_file
from ml.code_version import code_version
from ml.durable import deleted_if_full, sync, sync_tree
from ml.errors import Misconfigured, StoreCorrupted
from ml.locks import locked
from ml.manifest import MANIFEST, SCHEME, Identity, Manifest
from ml.removal import find_removal, removed

log = logging.getLogger(__name__)

PARTIAL = ".partial"


@dataclass
class Draft:
    """An artifact while it is being written. Nobody reads it until it is whole.

    Attributes:
        path: the directory to write files into; below ``measured/`` goes what no second writing repeats.
        facts: see `Manifest.facts`.
        measurements: see `Manifest.measurements`.
        caveats: see `Manifest.caveats`; those of the inputs are there from the beginning.
    """

    path: Path
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    measurements: dict[str, Any] = field(default_factory=dict)
    caveats: list[str] = field(default_factory=list)

    def write_json(self, value: Any, name: str | None = None) -> None:
        """Write canonical JSON to ``name``, by default ``<kind>.json``."""
        file = self.path / (name or f"{self.kind}.json")
        file.parent.mkdir(exist_ok=True)
        file.write_text(canonical_json(value) + "\n")


class Store:
    """Artifacts below one directory on a local or shared POSIX filesystem."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @classmethod
    def from_environment(cls) -> Store:
        """The store below ``RETRAIN_HOME`` (default ``./var``)."""
        return cls(Path(os.environ.get("RETRAIN_HOME", "var")) / "store")

    def produce(self, identity: Identity, write: Callable[[Draft], None]) -> Artifact:
        """Return the artifact of this identity, writing it if it is not there.

        Args:
            identity: what it is made of.
            write: fills the draft; called at most once, and not at all if the artifact exists.
        """
        with self.lock(identity.uri.removeprefix(SCHEME)):
            if existing := self.find(identity):
                log.info("%s is there already and is used as it is", existing["uri"])
                # Housekeeping goes by when an artifact was last used, and this is the mark of it.
                os.utime(self._path(existing["uri"]))
                return existing
            return self._write(identity, write)

    def find(self, identity: Identity) -> Artifact | None:
        """The artifact of this identity if it has been written."""
        manifest = Manifest.find(self._path(identity.uri))
        return manifest.artifact if manifest else None

    def open(self, artifact: Artifact) -> Path:
        """The artifact's directory, after every file in it has been checked.

        Raises:
            Removed: if housekeeping has taken it away.
            StoreCorrupted: if a file is missing or differs, or it is not the artifact asked for.
        """
        path = self._path(artifact["uri"])
        for name, expected in self.manifest(artifact).files.items():
            _verify(path / name, expected)
        return path

    def manifest(self, artifact: Artifact) -> Manifest:
        """The manifest of an artifact, after its digest has been checked.

        Raises:
            Removed: if housekeeping has taken the artifact away.
            StoreCorrupted: if it is missing or is not the manifest of this artifact.
        """
        if removal := find_removal(self.root, artifact["uri"]):
            raise removed(artifact["uri"], removal)
        path = self._path(artifact["uri"]) / MANIFEST
        manifest = Manifest.read(path)
        if not manifest.computed_digest() == manifest.digest == artifact["digest"]:
            raise StoreCorrupted(
                f"{path} has digest {manifest.digest} and its content leads to {manifest.computed_digest()}; "
                f"expected {artifact['digest']} for both. Something changed it after it was written: "
                "restore it from a copy, or delete the directory and run the step that made it again."
            )
        return manifest

    def read_json(self, artifact: Artifact, name: str | None = None) -> Any:
        """The content of one JSON file of an artifact, by default ``<kind>.json``."""
        return json.loads((self.open(artifact) / (name or f"{artifact['kind']}.json")).read_bytes())

    def manifests(self, pipeline: str, kind: str, day: str = "") -> list[Manifest]:
        """The manifests of one kind, of one day or of all, the newest last; their files are not verified.

        Raises:
            StoreCorrupted: if one of them cannot be read.
        """
        paths = (self.root / pipeline / kind).glob(f"{day}*/{MANIFEST}")
        found = [Manifest.find(path.parent) for path in paths if path.parent.suffix != PARTIAL]
        return sorted(filter(None, found), key=lambda manifest: manifest.created_at)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock that no other process holds; the kernel releases it with its holder."""
        with self.lock_if_free(name) as free:
            if free:
                yield
                return
        log.info("another process is at work on %s; waiting until it is done", name)
        with locked(self._lock_path(name)):
            yield

    @contextmanager
    def lock_if_free(self, name: str) -> Iterator[bool]:
        """Hold the same lock if nobody else does, and say whether; never wait for it."""
        with ExitStack() as held:
            try:
                held.enter_context(locked(self._lock_path(name), seconds=0))
            except Timeout:
                yield False
                return
            yield True

    def _lock_path(self, name: str) -> Path:
        path = self.root / ".locks" / (name.replace("/", "~") + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write(self, identity: Identity, write: Callable[[Draft], None]) -> Artifact:
        path = self._path(identity.uri)
        partial = path.with_name(path.name + PARTIAL)
        if partial.exists():
            log.info("an earlier try stopped before it was done; starting again")
            shutil.rmtree(partial)
        with deleted_if_full(partial):
            partial.mkdir(parents=True)
            manifest = self._fill(partial, identity, write)
            sync_tree(partial)
        partial.rename(path)
        sync(path.parent)
        return manifest.artifact

    def _fill(self, partial: Path, identity: Identity, write: Callable[[Draft], None]) -> Manifest:
        draft = Draft(partial, identity.kind, caveats=self._caveats_of(identity))
        started = time.monotonic()
        write(draft)
        measured = draft.measurements
        measured.setdefault("seconds", round(time.monotonic() - started, 3))
        measured.setdefault("peak_mib", _peak_memory())
        log.info(
            "%s made in %.1f s, this process took up to %d MiB",
            identity.kind, measured["seconds"], measured["peak_mib"],
        )  # fmt: skip
        return _seal(identity, draft)

    def _caveats_of(self, identity: Identity) -> list[str]:
        """The caveats of everything that an artifact is made from, each once."""
        inputs = [artifact for artifact in identity.inputs.values() if artifact]
        return sorted({caveat for artifact in inputs for caveat in self.manifest(artifact).caveats})

    def _path(self, uri: str) -> Path:
        if not uri.startswith(SCHEME):
            raise Misconfigured(
                f"the artifact address {uri!r} was expected to begin with {SCHEME!r}. "
                "Pass an artifact as a step returned it."
            )
        return self.root / uri.removeprefix(SCHEME)


def _peak_memory() -> int:
    """The most memory that this process has had resident, in MiB.

    Not ``getrusage``: a program inherits the figure of the process that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def _seal(identity: Identity, draft: Draft) -> Manifest:
    unsigned = Manifest(
        identity=identity,
        digest="",
        files={name: _fingerprint(draft.path / name) for name in _file_names(draft.path)},
        facts=draft.facts,
        measurements=draft.measurements,
        code=code_version(),
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        caveats=draft.caveats,
    )
    manifest = replace(unsigned, digest=unsigned.computed_digest())
    (draft.path / MANIFEST).write_text(json.dumps(manifest.as_json(), indent=2, sort_keys=True) + "\n")
    return manifest


def _file_names(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"sha256": digest_file(path), "size": path.stat().st_size}


def _verify(path: Path, expected: dict[str, Any]) -> None:
    found = _fingerprint(path) if path.is_file() else None
    if found != expected:
        raise StoreCorrupted(
            f"{path} is {found or 'missing'}; its manifest expects {expected}. Something changed it after "
            "it was written: restore it from a copy, or delete the artifact's directory and run the step "
            "that made it again."
        )
