from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ml.training.launcher import Lost
from ml.training.plan import Plan
from ml.training.worker import train

ROOT = Path(__file__).parents[3]


def test_a_worker_that_comes_back_when_all_is_done_leaves_the_results_alone(plan: Plan) -> None:
    plan.results.mkdir(parents=True)
    (plan.results / "weights.npz").write_bytes(b"learnt")

    train(plan)

    assert (plan.results / "weights.npz").read_bytes() == b"learnt"


def test_a_worker_without_its_parent_ends_before_it_reads_anything() -> None:
    command = [sys.executable, "-m", "ml.training.child", "train", "no-plan.json", str(os.getppid())]

    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert child.returncode == 1
    assert child.stderr.strip() == "the process that started this one has ended"


def test_a_loss_is_told_by_exit_code_or_signal() -> None:
    assert str(Lost(rank=0, code=3)) == "worker 0 ended with exit code 3"
    assert str(Lost(rank=1, code=-9)) == "worker 1 ended with SIGKILL"


def test_whoever_starts_a_training_loads_no_tensorflow() -> None:
    code = "import sys, ml.training.candidate; print('tensorflow' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "False"
