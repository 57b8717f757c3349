"""Everything that a night has left in the store, read once for its MLflow run."""

from __future__ import annotations

import json
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
        contents: kind → the JSON of ``<kind>.json``, for kinds that have one; and ``history``, the model's
            learning curves.
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
        directories = {kind: store.open(artifact) for kind, artifact in present.items()}
        files = {kind: directory / f"{kind}.json" for kind, directory in directories.items()}
        if "model" in directories:
            files["history"] = directories["model"] / "history.json"
        return cls(
            artifacts=present,
            manifests={kind: store.manifest(artifact) for kind, artifact in present.items()},
            directories=directories,
            contents={kind: json.loads(file.read_bytes()) for kind, file in files.items() if file.exists()},
        )

    @property
    def caveats(self) -> list[str]:
        """What a person accepted about the data of the night, in sentences, each once."""
        return sorted({caveat for manifest in self.manifests.values() for caveat in manifest.caveats})

    @property
    def late_by_day(self) -> Mapping[str, int | None]:
        """Earlier day → its events that have come since it was landed, None if nobody could count them.

        Empty if nobody counted any.
        """
        examples = self.manifests.get("examples")
        late: Mapping[str, int | None] = examples.measurements.get("late_by_day", {}) if examples else {}
        return late

    def facts(self, kind: str) -> Mapping[str, Any]:
        """The facts in an artifact's manifest; none if there is no such artifact."""
        return self.manifests[kind].facts if kind in self.manifests else {}

    def known(self, kind: str) -> Mapping[str, Any]:
        """Facts and measurements in an artifact's manifest; none if there is no such artifact."""
        return self.manifests[kind].known if kind in self.manifests else {}
