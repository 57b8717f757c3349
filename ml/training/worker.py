"""One worker process: ``python -m ml.training.worker PLAN PARENT``, with ``TF_CONFIG`` in its environment.

It ends with its parent, however that ends. Exit codes tell the launcher what to do next: 0 is done,
`MISCONFIGURED` is not worth another try (the reason is in the plan's failure file), and anything else is
a lost worker.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.artifact import canonical_json
from ml.durable import write_atomically
from ml.errors import Misconfigured
from ml.training.plan import Plan

if TYPE_CHECKING:
    from ml.training.progress import Progress
    from ml.training.trainer import Trainer

PR_SET_PDEATHSIG = 1
MISCONFIGURED = 78


def main(plan_path: str, parent: str) -> int:
    """Train this worker's share; the chief leaves the results."""
    end_with(int(parent))
    log_to_parent()
    plan = Plan.model_validate_json(Path(plan_path).read_bytes())
    try:
        train(plan, rank=json.loads(os.environ["TF_CONFIG"])["task"]["index"])
    except Misconfigured as error:
        write_atomically(plan.failure, str(error).encode())
        return MISCONFIGURED
    return 0


def log_to_parent() -> None:
    """Send our own log lines, and nobody else's, to standard output."""
    ours = logging.getLogger("ml")
    ours.addHandler(logging.StreamHandler(sys.stdout))
    ours.setLevel(logging.INFO)


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, and end now if it has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that started this worker has ended")


def train(plan: Plan, rank: int) -> None:
    """Train, and write the results if this is the chief.

    Raises:
        Misconfigured: if the settings make the weights run away.
    """
    import tensorflow as tf
    import tf_keras

    from ml.training.progress import Progress
    from ml.training.trainer import Trainer

    is_chief = rank == 0
    tf_keras.utils.set_random_seed(plan.seed)
    tf.config.experimental.enable_op_determinism()
    trainer = Trainer(plan, rank, tf.distribute.MultiWorkerMirroredStrategy())
    tensorboard = plan.measured / "tensorboard" if is_chief else None
    progress = Progress(plan.steps, plan.training.batch_size, tensorboard)
    trainer.train(progress)
    if is_chief:
        write_results(plan, trainer, progress)
    trainer.meet()


def write_results(plan: Plan, trainer: Trainer, progress: Progress) -> None:
    """Write the SavedModel, the history and what is known of them; all of it or nothing is there."""
    from ml.training.export import export

    partial = plan.results.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    export(plan, trainer.model, partial / "saved_model")
    write_json(partial / "history.json", asdict(trainer.history.curves))
    write_json(
        partial / "facts.json",
        {"weights_digest": trainer.model.digest(), "parameters": trainer.model.count_params()},
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_json(partial / "measurements.json", {**progress.measurements(), "chief_peak_mib": peak // 1024})
    partial.rename(plan.results)


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON."""
    path.write_text(canonical_json(value) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
