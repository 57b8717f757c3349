"""One worker's training, in a process of its own with ``TF_CONFIG`` in its environment."""

from __future__ import annotations

import json
import os
import resource
import shutil
from dataclasses import asdict

import numpy as np
import tensorflow as tf
import tf_keras

from ml.training.plan import Plan, write_json
from ml.training.progress import Progress
from ml.training.trainer import Trainer


def train(plan: Plan) -> None:
    """Train this worker's share; the chief writes the results.

    There is nothing to do if they are there already: then another worker was lost after the last step.

    Raises:
        Misconfigured: if the weights run away.
    """
    if plan.results.exists():
        return
    rank = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
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
    """Write the weights, the history and what is known of them; all of it is there or nothing is."""
    partial = plan.results.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    np.savez(partial / "weights.npz", *trainer.model.get_weights())
    write_json(partial / "history.json", asdict(trainer.history.curves))
    facts = {"weights_digest": trainer.model.digest(), "parameters": trainer.model.count_params()}
    write_json(partial / "facts.json", facts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_json(partial / "measurements.json", {**progress.measurements(), "chief_peak_mib": peak // 1024})
    partial.rename(plan.results)
