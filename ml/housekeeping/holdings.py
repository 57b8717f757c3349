"""What the store holds of one pipeline: each artifact, when it was last used, and what it refers to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from graphlib import TopologicalSorter
from pathlib import Path

from ml.artifact import Window
from ml.errors import StoreCorrupted
from ml.manifest import MANIFEST, SCHEME, Manifest
from ml.removal import Address
from ml.store import PARTIAL, Store

NIGHTS, WHAT_IFS = "*/*", "what_if/*/*/*"


@dataclass(frozen=True)
class Holding:
    """One artifact in the store.

    Attributes:
        uri: its address.
        path: its directory.
        window: its day.
        last_used: when a run last made it, or found it there and used it.
        bytes: of its files.
        digest: its own.
        refers_to: the addresses of what it needs to be understood.
        version: the number that it was published under, if it is a ``pushed_model`` or a ``production``.
    """

    uri: str
    path: Path
    window: Window
    last_used: datetime
    bytes: int
    digest: str
    refers_to: tuple[str, ...] = ()
    version: int | None = None

    @property
    def address(self) -> Address:
        """Pipeline, what-if, kind and day."""
        return Address.of(self.uri)

    @classmethod
    def read(cls, path: Path, root: Path) -> Holding:
        """Read it from its manifest.

        Raises:
            StoreCorrupted: if the manifest cannot be read: nobody knows what it refers to.
        """
        manifest = Manifest.read(path / MANIFEST)
        return cls(
            uri=f"{SCHEME}{path.relative_to(root)}",
            path=path,
            window=manifest.identity.window,
            last_used=max(datetime.fromisoformat(manifest.created_at), marked_use(path)),
            bytes=sum(file["size"] for file in manifest.files.values()),
            digest=manifest.digest,
            refers_to=tuple(_references(manifest, path)),
            version=manifest.facts.get("version"),
        )


def read_holdings(store: Store, pipeline: str) -> dict[str, Holding]:
    """Every artifact of a pipeline by its address, those of what-ifs among them.

    Raises:
        StoreCorrupted: if one of the manifests cannot be read.
    """
    directories = sorted(path.parent for path in _below(store.root / pipeline, MANIFEST))
    found = [_read(path, store.root) for path in directories if path.suffix != PARTIAL]
    return {holding.uri: holding for holding in found if holding}


def find_partials(store: Store, pipeline: str) -> list[Path]:
    """The directories of artifacts that are being written, or whose writer was lost."""
    return sorted(path for path in _below(store.root / pipeline, "") if path.suffix == PARTIAL)


def reachable(uris: Iterable[str], holdings: Mapping[str, Holding]) -> set[str]:
    """These artifacts and all that they refer to, as far as the store has it."""
    found: set[str] = set()
    waiting = [uri for uri in uris if uri in holdings]
    while waiting:
        uri = waiting.pop()
        if uri not in found:
            found.add(uri)
            waiting += [other for other in holdings[uri].refers_to if other in holdings]
    return found


def referrers_first(holdings: Mapping[str, Holding]) -> list[Holding]:
    """The same, ordered so that none comes after something that it refers to."""
    graph = {
        uri: sorted(set(holding.refers_to) & holdings.keys()) for uri, holding in sorted(holdings.items())
    }
    return [holdings[uri] for uri in reversed([*TopologicalSorter(graph).static_order()])]


def marked_use(path: Path) -> datetime:
    """When `ml.store.Store.produce` last left its mark on an artifact's directory."""
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)


def _below(directory: Path, name: str) -> Iterator[Path]:
    for pattern in (NIGHTS, WHAT_IFS):
        yield from directory.glob(f"{pattern}/{name}" if name else pattern)


def _read(path: Path, root: Path) -> Holding | None:
    try:
        return Holding.read(path, root)
    except (StoreCorrupted, FileNotFoundError):
        # Somebody may have deleted it by hand since the listing.
        if path.exists():
            raise
        return None


def _references(manifest: Manifest, path: Path) -> Iterator[str]:
    """Its inputs; of ``production`` the model and its statistics, which stand in the file.

    Not the publication that ``production`` names too: from publication to publication one would come to the
    first night of all, and nothing could ever go.
    """
    yield from (artifact["uri"] for artifact in manifest.identity.inputs.values() if artifact)
    if manifest.identity.kind == "production":
        content = json.loads((path / "production.json").read_bytes())
        yield from (part["uri"] for part in [content["model"], *content["statistics"]] if part)
