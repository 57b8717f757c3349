"""Everything that a night has left in the store, read once for its MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.artifact import Artifact
from ml.manifest import Manifest
from ml.store import Store


@dataclass(frozen=True)
class Findings:
    """What a night has made; a kind that it did not come to is absent from all four.

    Attributes:
        artifacts: kind → artifact.
        manifests: kind → manifest.
        directories: kind → where its files are, verified.
        contents: kind → the JSON of ``<kind>.json``, for kinds that have one.
    """

    artifacts: Mapping[str, Artifact]
    manifests: Mapping[str, Manifest]
    directories: Mapping[str, Path]
    contents: Mapping[str, Any]

    @classmethod
    def read(cls, store: Store, artifacts: Mapping[str, Artifact | None]) -> Findings:
        """Open what is there; ``artifacts`` has None for what is not.

        Raises:
            StoreCorrupted: if bytes differ from their digest.
        """
        present = {artifact["kind"]: artifact for artifact in artifacts.values() if artifact}
        manifests = {kind: store.manifest(artifact) for kind, artifact in present.items()}
        contents = {
            kind: store.read_json(artifact)
            for kind, artifact in present.items()
            if f"{kind}.json" in manifests[kind].files
        }
        if "history.json" in (manifests["model"].files if "model" in manifests else {}):
            contents["history"] = store.read_json(present["model"], "history.json")
        return cls(present, manifests, {kind: store.open(item) for kind, item in present.items()}, contents)

    def facts(self, kind: str) -> Mapping[str, Any]:
        """The facts in an artifact's manifest; none if there is no such artifact."""
        return self.manifests[kind].facts if kind in self.manifests else {}
