"""Training on TensorFlow: explicit tf.function steps under tf.distribute, one for all stages."""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from csi_tf import objectives, stages
from csi_tf.config import Config
from csi_tf.learner import Arrays, Learner


def strategy(devices: str) -> tf.distribute.Strategy:
    """The workers of TF_CONFIG, or all GPUs, or the one device there is."""
    if devices == "one":
        return tf.distribute.get_strategy()
    if os.environ.get("TF_CONFIG"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


class TensorFlowLearner(Learner):
    def __init__(self, config: Config, stage: str, dataset_size: int, main_steps: int) -> None:
        if config.loop.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.strategy = strategy(config.loop.devices)
        with self.strategy.scope():
            super().__init__(config, stage, dataset_size, main_steps)
        self._compiled: dict[bool, Any] = {}
        self._evaluate = tf.function(self.scores, reduce_retracing=True)

    @property
    def workers(self) -> tuple[int, int]:
        """(number of workers, number of this one)."""
        resolver = self.strategy.cluster_resolver
        if resolver is None or not resolver.cluster_spec().as_dict().get("worker"):
            return 1, 0
        return resolver.cluster_spec().num_tasks("worker"), resolver.task_id

    @property
    def undoes_bad_steps(self) -> bool:
        return self.strategy.num_replicas_in_sync == 1

    def step(self, batch: Arrays, warming_up: bool) -> dict[str, Any]:
        if warming_up not in self._compiled:

            def distributed(values: Any) -> dict[str, Any]:
                terms = self.strategy.run(self._replica_step, args=(values, warming_up))
                return {
                    name: self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
                    for name, value in terms.items()
                }

            self._compiled[warming_up] = tf.function(
                distributed, jit_compile=self.config.optimiser.xla or None
            )
        return self._compiled[warming_up](self._spread(batch))

    def evaluate(self, batch: Arrays) -> dict[str, np.ndarray]:
        tensors = {name: tf.convert_to_tensor(value) for name, value in batch.items()}
        return {name: value.numpy() for name, value in self._evaluate(tensors).items()}

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
        alone = replicas == 1
        optimiser, variables = self.optimiser(warming_up), self.variables[warming_up]
        # A step on a batch that is not finite must leave no trace. The forward pass itself moves
        # BatchNorm statistics and dropout's counters; the rest moves in `update` only.
        moving = [v.value for v in self.model.non_trainable_variables] if alone else []
        before = [tf.identity(v) for v in moving]

        def gather(x: Any) -> Any:
            if alone:
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
        gradients = tape.gradient(share, variables)
        if not alone:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            share = context.all_reduce(tf.distribute.ReduceOp.SUM, share)
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(share) & tf.math.is_finite(norm)
        if self.config.optimiser.clip_norm:
            gradients, _ = tf.clip_by_global_norm(
                gradients, self.config.optimiser.clip_norm, use_norm=norm
            )

        def update() -> tf.Tensor:
            # The optimiser adds up the gradients of the replicas, which are all the same by now.
            optimiser.apply([g / replicas for g in gradients], variables)
            if isinstance(self.objective, objectives.Adversarial):
                return self._discriminator_step(scores.z, batch, replicas, gather)
            return tf.zeros(())

        if alone:
            told = tf.cond(finite, update, lambda: tf.zeros(()))
            for variable, old in zip(moving, before, strict=True):
                variable.assign(tf.where(finite, variable, old))
        else:  # replicas cannot meet inside a branch; there, a run that is stopped resumes instead
            told = update()
        if isinstance(self.objective, objectives.Adversarial):
            terms["discriminator"] = told
        share_of_one = 1.0 / replicas
        terms["gradient_norm"] = norm * share_of_one
        terms["finite"] = tf.cast(finite, tf.float32) * share_of_one
        return terms

    def _discriminator_step(
        self, z: Any, batch: dict[str, Any], replicas: int, gather: Any
    ) -> tf.Tensor:
        objective, optimiser = self.objective, self.optimisers["discriminator"]
        assert isinstance(objective, objectives.Adversarial)
        weights = objective.discriminator.trainable_variables
        z, noise = gather(z), gather(tf.identity(batch["discriminator_noise"]))
        with tf.GradientTape() as tape:
            loss = objective.discriminator_loss(z, noise) / replicas
        optimiser.apply(tape.gradient(loss, weights), weights)
        return loss
