"""What an artifact is made of, and what is known of it beside its bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml.artifact import Artifact, Window, digest_of
from ml.errors import StoreCorrupted

MANIFEST = "manifest.json"
MEASURED = "measured/"
SCHEME = "store:"
KEY_LENGTH = 16
# The step that makes each kind of artifact; a kind that is not here has no step of its own.
STEP_OF = {
    "offsets": "land_examples",
    "examples": "land_examples",
    "statistics": "compute_statistics",
    "anomalies": "validate_examples",
    "drift_report": "measure_drift",
    "training_window": "gather_window",
    "model": "train_candidate",
    "evaluation": "evaluate_candidate",
    "blessing": "decide_blessing",
    "production": "resolve_production",
    "pushed_model": "push_model",
}


@dataclass(frozen=True)
class Identity:
    """What an artifact is made of. The same identity always has the same URI.

    Attributes:
        kind: the artifact's kind.
        pipeline: the pipeline's name.
        window: the day that it belongs to.
        inputs: the artifacts that it is made from, by role; None where there is none.
        config: the settings that the step reads, and no others.
        revision: raised by a person when the step's behaviour changes, so that old results are not
            taken for new ones. The git commit is recorded but is no part of the identity: a new
            comment must not retrain a model.
        variant: ``name`` and ``code`` of the what-if that made it; empty for what normal nights make.
    """

    kind: str
    pipeline: str
    window: Window
    inputs: Mapping[str, Artifact | None]
    config: Mapping[str, Any]
    revision: int = 1
    variant: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The digest of all the above, shortened to name a directory."""
        return digest_of(self.content())[:KEY_LENGTH]

    def content(self) -> dict[str, Any]:
        """The same as JSON, with the inputs' digests for the inputs."""
        return {
            "kind": self.kind,
            "pipeline": self.pipeline,
            "window": self.window.as_json(),
            "inputs": {role: artifact and artifact["digest"] for role, artifact in self.inputs.items()},
            "config": dict(self.config),
            "revision": self.revision,
            **({"variant": dict(self.variant)} if self.variant else {}),
        }

    @property
    def uri(self) -> str:
        """Where the artifact is or will be.

        The day is that of the window's middle: east of Greenwich a day begins on the day before in UTC.
        """
        middle = self.window.start + (self.window.end - self.window.start) / 2
        beside = f"what_if/{self.variant['name']}/" if self.variant else ""
        return f"{SCHEME}{self.pipeline}/{beside}{self.kind}/{middle:%Y-%m-%d}-{self.key}"


@dataclass(frozen=True)
class Manifest:
    """What is known of an artifact beside its bytes.

    Attributes:
        identity: what it is made of.
        digest: SHA-256 over the identity, the files, the facts and, if there are any, the caveats.
        facts: exact and repeatable findings (counts, digests); part of the artifact's digest.
        measurements: what differs from one writing to the next (seconds, rates); no part of it.
        files: relative path → {"sha256", "size"}, the size in bytes. All are verified on reading; those
            below ``measured/`` (logs with clocks in them) are no part of the digest.
        code: the git commit that wrote it and whether the work tree was dirty.
        caveats: what a person accepted and a reader must know, in sentences: its own, and those of all that
            it is made from.
    """

    identity: Identity
    digest: str
    files: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    measurements: dict[str, Any]
    code: dict[str, Any]
    created_at: str
    caveats: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read ``manifest.json``.

        Raises:
            StoreCorrupted: if it is missing or is not a manifest.
        """
        try:
            content = json.loads(path.read_bytes())
            identity = content.pop("identity")
            window = Window.parse(**identity.pop("window"))
            return cls(identity=Identity(window=window, **identity), **content)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreCorrupted(
                f"{path} is not a readable manifest ({error}). Every artifact has one, written last. "
                f"Delete the directory {path.parent} and run the step that made it again."
            ) from error

    @classmethod
    def find(cls, directory: Path) -> Manifest | None:
        """The manifest in an artifact's directory; None if there is no such directory.

        Raises:
            StoreCorrupted: if it cannot be read although the directory is there.
        """
        try:
            return cls.read(directory / MANIFEST)
        except StoreCorrupted:
            # Housekeeping may take a directory away between a look at its parent and a look into it.
            if directory.exists():
                raise
            return None

    @property
    def artifact(self) -> Artifact:
        """The artifact that this is the manifest of."""
        return Artifact(kind=self.identity.kind, uri=self.identity.uri, digest=self.digest)

    @property
    def known(self) -> dict[str, Any]:
        """Facts and measurements together, for messages and metrics."""
        return {**self.measurements, **self.facts}

    def as_json(self) -> dict[str, Any]:
        """What ``manifest.json`` holds."""
        identity = {**vars(self.identity), "window": self.identity.window.as_json()}
        if not self.identity.variant:
            del identity["variant"]
        return {**vars(self), "identity": identity}

    def computed_digest(self) -> str:
        """The digest that the manifest's own content leads to."""
        repeatable = {
            name: file["sha256"] for name, file in self.files.items() if not name.startswith(MEASURED)
        }
        content = {**self.identity.content(), "files": repeatable, "facts": self.facts}
        return digest_of({**content, "caveats": self.caveats} if self.caveats else content)
