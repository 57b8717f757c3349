"""The reviewed schema as it was on a night: kept with that night's anomalies, compared and put back."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

from ml.artifact import digest_file
from ml.config import Pipeline
from ml.durable import write_atomically
from ml.errors import Misconfigured

# Its comments are no part of what was checked, so the copy is no part of the artifact's digest.
KEPT = Path("measured") / "schema.pbtxt"


def keep_schema(pipeline: Pipeline, anomalies: Path) -> None:
    """Put a copy of the schema, with its comments, beside what it was used for."""
    (anomalies / KEPT).parent.mkdir()
    shutil.copyfile(pipeline.schema_path, anomalies / KEPT)


def compare_schema(pipeline: Pipeline, anomalies: Path) -> list[str]:
    """How the schema has changed since a night.

    Returns:
        The lines of a unified diff from that night's schema to the present one; none if they are equal.
    """
    then, now = _kept(anomalies).read_text(), pipeline.schema_path.read_text()
    lines = difflib.unified_diff(then.splitlines(), now.splitlines(), "that night", "now", lineterm="")
    return list(lines)


def restore_schema(pipeline: Pipeline, anomalies: Path) -> Path | None:
    """Make the schema of a night the present one again; a reader sees the one or the other, never a part.

    Returns:
        Where the present one is now, for its changes may be in no repository; None if it is the same.
    """
    then, present = _kept(anomalies).read_bytes(), pipeline.schema_path
    aside = _put_aside(present) if present.read_bytes() != then else None
    write_atomically(present, then)
    return aside


def _put_aside(schema: Path) -> Path:
    """Copy a schema beside itself, under a name that no other content has."""
    aside = schema.with_name(f"{schema.name}.before-{digest_file(schema)[:8]}")
    write_atomically(aside, schema.read_bytes())
    return aside


def _kept(anomalies: Path) -> Path:
    path = anomalies / KEPT
    if not path.exists():
        raise Misconfigured(
            f"{anomalies} holds no copy of the schema; expected {KEPT}. The night was checked before copies "
            "were kept: look for its schema in the history of the repository."
        )
    return path
