"""Training on TensorFlow: explicit tf.function steps under tf.distribute, one for all stages."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from csi_tf import objectives, stages, workers
from csi_tf.config import Config
from csi_tf.errors import RunFailed
from csi_tf.learner import Arrays, Learner

SUM = tf.distribute.ReduceOp.SUM
# What a step says on the other workers when one of them is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


@cache  # workers meet once in a process, before TensorFlow does anything else
def strategy(devices: str) -> tf.distribute.Strategy:
    """The workers of TF_CONFIG, or all GPUs, or the one device there is."""
    if workers.task() is not None:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if devices != "one" and len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def prepare(config: Config) -> None:
    """The first act of a run: the workers meet, and what several devices cannot do is refused."""
    devices, chosen = config.loop.devices, config.optimiser
    if workers.task() is not None and devices == "one":
        raise ValueError(
            "devices one has no use for the workers of TF_CONFIG: unset it, or let --devices=auto"
            " use them."
        )
    replicas = strategy(devices).num_replicas_in_sync
    if chosen.batch_size % replicas:
        lower = chosen.batch_size // replicas * replicas
        raise ValueError(
            f"a batch of {chosen.batch_size} images cannot be shared out evenly among {replicas}"
            f" devices: choose --batch_size={lower or replicas}, say."
        )
    if chosen.xla and replicas > 1:
        raise ValueError(
            f"xla compiles a step for one device, and there are {replicas}: choose --noxla."
        )


class WholeBatchAdam(keras.optimizers.Adam):
    """Keras' Adam for gradients that are summed over all replicas already.

    A weight is moved by one kernel, where Keras takes some thirty operations, all to be traced.
    """

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        step = tf.cast(self.iterations + 1, tf.float32)
        scalars = (learning_rate, self.beta_1**step, self.beta_2**step)
        weights = [variable.value for variable in trainable_variables]
        tf.distribute.get_replica_context().merge_call(
            self._update_all, args=(weights, list(grads), *scalars)
        )

    def _update_all(self, distribution: Any, weights: Any, grads: Any, *scalars: Any) -> None:
        for weight, gradient in zip(weights, grads, strict=True):
            distribution.extended.update(
                weight, self._update, args=(gradient, *scalars), group=False
            )

    def _update(self, weight: Any, gradient: Any, rate: Any, power_1: Any, power_2: Any) -> None:
        index = self._get_variable_index(weight)
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=power_1,
            beta2_power=power_2,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class TensorFlowLearner(Learner):
    adam = WholeBatchAdam

    def __init__(self, config: Config, stage: str, dataset_size: int, main_steps: int) -> None:
        if config.loop.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.strategy = strategy(config.loop.devices)
        with self.strategy.scope():
            super().__init__(config, stage, dataset_size, main_steps)
        self._compiled: dict[bool, Any] = {}
        # There is nothing for AutoGraph to convert in a step, and it takes long to see that.
        self._evaluate = tf.function(self.scores, reduce_retracing=True, autograph=False)

    @property
    def workers(self) -> tuple[int, int]:
        task = workers.task()
        return (1, 0) if task is None else (task.count, task.index)

    def step(self, batch: Arrays, warming_up: bool) -> dict[str, Any]:
        if warming_up not in self._compiled:

            def distributed(values: Any) -> dict[str, Any]:
                terms = self.strategy.run(self._replica_step, args=(values, warming_up))
                return {
                    name: self.strategy.reduce(SUM, value, axis=None)
                    for name, value in terms.items()
                }

            self._compiled[warming_up] = tf.function(
                distributed, jit_compile=self.config.optimiser.xla or None, autograph=False
            )
        with self._together():
            return self._compiled[warming_up](self._spread(batch))

    def meet(self) -> None:
        self._summed(1)

    def agree(self, digest: int) -> None:
        replicas, total, squares = self._summed(1, digest, digest**2)
        if replicas * squares != total**2:  # they vary
            raise RunFailed(
                "the workers of TF_CONFIG do not start alike: give all of them the same settings,"
                " images and --run_dir, on a disk that all see. One of a network may show a new"
                " file late: then wait a minute, and start all again"
            )

    def _summed(self, *values: int) -> list[int]:
        """Over all replicas, exactly below 2**53."""
        if self.workers[0] == 1:
            return [*values]

        def everyone() -> tf.Tensor:
            own = tf.constant(values, tf.float64)
            return tf.distribute.get_replica_context().all_reduce(SUM, own)

        with self._together():
            found = tf.function(self.strategy.run, autograph=False)(everyone)
        return [int(each) for each in self.strategy.experimental_local_results(found)[0]]

    def evaluate(self, batch: Arrays) -> dict[str, np.ndarray]:
        tensors = {name: tf.convert_to_tensor(value) for name, value in batch.items()}
        return {name: value.numpy() for name, value in self._evaluate(tensors).items()}

    @contextmanager
    def _together(self) -> Iterator[None]:
        """What takes all workers fails in one sentence when one of them is lost."""
        try:
            yield
        except _LOST as error:
            if self.workers[0] == 1:
                raise
            reason = (
                str(error).partition("aborted by: ")[2].partition("\n")[0] or type(error).__name__
            )
            raise RunFailed(
                f"another worker of TF_CONFIG ended or cannot be reached ({reason}); its own output"
                " says why. Start all workers again, and they go on from the last checkpoint"
            ) from error

    def _spread(self, batch: Arrays) -> Any:
        """This worker's batch, cut into one part for each of its devices; prior draws are whole."""
        local = self.strategy.num_replicas_in_sync // self.workers[0]
        if local == 1 and self.workers[0] == 1:
            return {name: tf.convert_to_tensor(value) for name, value in batch.items()}

        def part(context: Any) -> dict[str, tf.Tensor]:
            index = context.replica_id_in_sync_group % local
            return {
                name: tf.convert_to_tensor(
                    value if name == "prior_z" else np.array_split(value, local)[index]
                )
                for name, value in batch.items()
            }

        return self.strategy.experimental_distribute_values_from_function(part)

    def _replica_step(self, batch: dict[str, Any], warming_up: bool) -> dict[str, Any]:
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        # A step on a batch that is not finite must leave no trace. The forward pass itself moves
        # BatchNorm statistics and dropout's counters; the rest moves in `_apply_if` only.
        moving = [v.value for v in self.model.non_trainable_variables]
        before = [tf.identity(v) for v in moving]

        def gather(x: Any) -> Any:
            if replicas == 1:
                return x
            rows = replicas * x.shape[0]
            return tf.ensure_shape(context.all_gather(x, axis=0), [rows, *x.shape[1:]])

        with tf.GradientTape() as tape:
            share, scores, terms = stages.loss(
                self.model,
                self.objective,
                self.stage,
                batch,
                self.dataset_size,
                warming_up,
                gather,
                replicas,
            )
        variables = self.variables[warming_up]
        share, *gradients = context.all_reduce(SUM, [share, *tape.gradient(share, variables)])
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(share) & tf.math.is_finite(norm)
        if clip := self.config.optimiser.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, clip, use_norm=norm)
        updates = [(self.optimiser(warming_up), variables, gradients)]
        if isinstance(self.objective, objectives.Adversarial):
            weights = self.objective.discriminator.trainable_variables
            z, noise = gather(scores.z), gather(tf.identity(batch["discriminator_noise"]))
            with tf.GradientTape() as tape:
                terms["discriminator"] = self.objective.discriminator_loss(z, noise) / replicas
            # The same on all replicas but for rounding, by which their weights must not part.
            gradients = context.all_reduce(SUM, tape.gradient(terms["discriminator"], weights))
            finite &= tf.math.is_finite(tf.linalg.global_norm(gradients))
            updates.append((self.optimisers["discriminator"], weights, gradients))
        _apply_if(finite, updates)
        for variable, old in zip(moving, before, strict=True):
            variable.assign(tf.where(finite, variable, old))
        share_of_one = 1.0 / replicas
        terms["gradient_norm"] = norm * share_of_one
        terms["finite"] = tf.cast(finite, tf.float32) * share_of_one
        return terms


def _apply_if(finite: Any, updates: list[tuple[Any, list[Any], list[Any]]]) -> None:
    """Let each optimiser move its variables by their gradients, on all replicas or on none.

    An optimiser's step makes replicas meet, which they cannot within a branch of their own. So the
    branch is around all of them; it spares copying every weight for a step that may be undone.
    """

    def branch(distribution: tf.distribute.Strategy, finite: Any, gradients: Any) -> None:
        def apply(gradients: Any) -> None:
            for (optimiser, variables, _), values in zip(updates, gradients, strict=True):
                optimiser.apply(values, variables)

        def on_all() -> tf.Tensor:
            distribution.extended.call_for_each_replica(apply, args=(gradients,))
            return tf.constant(True)

        tf.cond(
            distribution.experimental_local_results(finite)[0], on_all, lambda: tf.constant(False)
        )

    gradients = [values for _, _, values in updates]
    tf.distribute.get_replica_context().merge_call(branch, args=(finite, gradients))
