"""The training loop of one worker, under MultiWorkerMirroredStrategy whatever the number of workers."""

from __future__ import annotations

import math

import tensorflow as tf
import tf_keras

from ml.errors import Misconfigured
from ml.features.transform import Encoded, Transform
from ml.training.batch import Batch
from ml.training.batches import batches_from
from ml.training.history import History
from ml.training.model import WideAndDeep
from ml.training.plan import Plan
from ml.training.progress import Progress

CURVE_POINTS = 100
CHECKPOINTS_KEPT = 2


class Trainer:
    """One worker's part of a training.

    Every worker goes on from the chief's last checkpoint if there is one. Weights, optimizers, history
    and the order of the rows are then as they were, and so is every later step.

    Args:
        plan: what is trained, on what.
        rank: of this worker; 0 is the chief.
        strategy: made before anything else of TensorFlow is used.
    """

    def __init__(self, plan: Plan, rank: int, strategy: tf.distribute.Strategy) -> None:
        self.plan = plan
        self._rank = rank
        self._strategy = strategy
        self._transform = Transform(plan.feature_spec)
        with strategy.scope():
            self.model = WideAndDeep(plan.feature_spec, plan.training, prior=plan.log_odds)
            self._wide_optimizer, self._deep_optimizer = _optimizers(plan)
        self.history = History(plan.steps_per_epoch, stretch=math.ceil(plan.steps / CURVE_POINTS))
        self._checkpoints = self._restore()
        self._learn = tf.function(self._learn_batches, self._signature(), autograph=False)

    def train(self, progress: Progress) -> None:
        """Train what is left of the epochs.

        Raises:
            Misconfigured: if the loss is no longer a number.
        """
        progress.begin(self.history.step)
        saved_at = self.history.step
        for batches in batches_from(saved_at, self.plan, self._transform, self._rank):
            self._train_on(batches, progress)
            if self.history.step - saved_at >= self.plan.training.checkpoint_steps:
                saved_at = self.history.step
                self._save()
                progress.saved(saved_at)

    def meet(self) -> None:
        """Wait until every worker is here, so that none leaves while another still counts on it."""
        self._strategy.run(tf.function(_sum_of_ones, autograph=False))

    def _train_on(self, batches: Batch, progress: Progress) -> None:
        loss, scores = (result.numpy() for result in self._learn(batches))
        if not math.isfinite(loss):
            raise Misconfigured(
                f"after step {self.history.step} the loss is {loss}; expected a number. The weights have run "
                "away: lower training.learning_rate or training.wide_learning_rate."
            )
        real = batches.weights > 0
        steps = len(batches.labels) // self.plan.worker_batch_size
        point = self.history.add(steps, batches.labels[real], scores[real], float(loss))
        progress.report(self.history.step, point)

    def _learn_batches(self, batches: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Take a step for each batch in ``batches``: the sum of the losses, and scores [n] before learning.

        A loop of several steps in one call: starting a step from Python costs a fifth of the step.
        """
        size = self.plan.worker_batch_size
        count = tf.shape(batches.labels)[0] // size

        def step(place: tf.Tensor, total: tf.Tensor, scores: tf.TensorArray) -> tuple[tf.Tensor, ...]:
            batch = batches.take(slice(place * size, (place + 1) * size))
            loss, logits = self._strategy.run(self._step, args=(batch,))
            return place + 1, total + loss, scores.write(place, tf.sigmoid(logits))

        start = (0, 0.0, tf.TensorArray(tf.float32, size=count, element_shape=[size]))
        _, loss, scores = tf.while_loop(lambda place, *_: place < count, step, start, parallel_iterations=1)
        return loss, scores.concat()

    def _step(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = self.model(batch.encoded, dropout_seed=self._dropout_seed())
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=batch.labels, logits=logits)
            loss = tf.reduce_sum(losses * batch.weights)
            mean = loss / self.plan.training.batch_size
        wide, deep = self.model.wide_variables, self.model.deep_variables
        of_wide, of_deep = tape.gradient(mean, (wide, deep))
        self._wide_optimizer.apply_gradients(zip(of_wide, wide, strict=True))
        self._deep_optimizer.apply_gradients(zip(of_deep, deep, strict=True))
        return loss, logits

    def _dropout_seed(self) -> tf.Tensor:
        step = self._deep_optimizer.iterations * self.plan.training.workers + self._rank
        return tf.stack([tf.constant(self.plan.seed, tf.int64), step])

    def _signature(self) -> list[Batch]:
        spec = self.plan.feature_spec
        encoded = Encoded(
            wide=tf.TensorSpec([None, len(spec.wide_sizes)], tf.int32),
            deep=tf.TensorSpec([None, len(spec.embedded)], tf.int32),
            numbers=tf.TensorSpec([None, 2 * len(spec.standardised)], tf.float32),
        )
        return [Batch(encoded, tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.float32))]

    def _restore(self) -> tf.train.CheckpointManager:
        state = tf.train.Checkpoint(
            model=self.model, wide=self._wide_optimizer, deep=self._deep_optimizer, history=self.history
        )
        manager = tf.train.CheckpointManager(state, str(self.plan.checkpoints), CHECKPOINTS_KEPT)
        manager.restore_or_initialize()
        return manager

    def _save(self) -> None:
        if self._rank == 0:
            self._checkpoints.save(checkpoint_number=self.history.step)


def _optimizers(plan: Plan) -> tuple[tf_keras.optimizers.legacy.Optimizer, ...]:
    """FTRL and Adam, Adam's rate falling to nothing so that the last steps average the noise out.

    The legacy ones, because they update only the rows of a table that a batch has touched.
    """
    training = plan.training
    wide = tf_keras.optimizers.legacy.Ftrl(
        training.wide_learning_rate,
        l1_regularization_strength=training.l1,
        l2_regularization_strength=training.l2,
    )
    falling = tf_keras.optimizers.schedules.PolynomialDecay(training.learning_rate, plan.steps, 0.0)
    return wide, tf_keras.optimizers.legacy.Adam(falling)


def _sum_of_ones() -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))
