"""A Git repository that an Airflow follows, with this work tree as it is for its first commit."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

WORK_TREE = Path(__file__).parents[2]
BRANCH = "nightly"


class Origin:
    """The repository.

    Args:
        path: where to make it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch", BRANCH)
        self.git("--work-tree", str(WORK_TREE), "add", "--all")
        self.git("commit", "--quiet", "--message", "Begin")
        self.git("reset", "--quiet", "--hard")

    @property
    def newest(self) -> str:
        """The newest commit."""
        return self.git("rev-parse", "HEAD")

    @property
    def bundle(self) -> dict[str, Any]:
        """The DAG bundle that follows it, as Airflow is told of it."""
        return {
            "name": "retraining",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {"repo_url": str(self.path), "tracking_ref": BRANCH},
        }

    def break_landing(self) -> None:
        """Commit code with which no day can be landed, and another seed."""
        with (self.path / "ml" / "landing" / "__init__.py").open("a") as code:
            code.write('\nraise ImportError("this commit is newer than the run")\n')
        settings = self.path / "ml" / "pipelines" / "clicks" / "pipeline.yaml"
        settings.write_text(settings.read_text().replace("seed: 20260101", "seed: 1"))
        self.git("commit", "--quiet", "--all", "--message", "Break landing")

    def mend_landing(self) -> None:
        """Commit what there was before."""
        self.git("revert", "--no-edit", "HEAD")

    def git(self, *arguments: str) -> str:
        """What git answers."""
        author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        command = ["git", "-C", str(self.path), *author, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
