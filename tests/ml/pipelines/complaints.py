"""Breaking a pipeline folder, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.errors import Misconfigured
from ml.pipelines import load_pipeline


def edit(folder: Path, old: str, new: str, file: str = "pipeline.yaml") -> None:
    """Replace one passage of a file, which must be there."""
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def complaint(name: str = "views") -> str:
    """What is wrong with a pipeline."""
    with pytest.raises(Misconfigured) as caught:
        load_pipeline(name)
    return str(caught.value)
