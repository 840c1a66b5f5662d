"""What a training run holds and its backends share: model, objective, optimisers, their state."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import keras
import numpy as np

from csi_tf import checkpoints, logs, objectives, stages, workers
from csi_tf import model as models
from csi_tf.config import Config

Arrays = dict[str, np.ndarray]


CLEARLY = 0.75  # of float32's time


class Learner:
    """Subclasses add `step(batch, warming_up)` and `evaluate(batch)` on one backend.

    `warmup` and `main` are optimisers of their own: the networks they move differ, and Adam's bias
    correction counts from a network's first step.
    """

    adam: type = keras.optimizers.Adam

    def __init__(self, config: Config, stage: str, dataset_size: int, main_steps: int) -> None:
        self.config, self.stage, self.dataset_size = config, stage, dataset_size
        precision = config.optimiser.precision
        network = models.for_stage(config.model, stage)
        self.model = models.make(network, config.data.image_size, config.run.seed, precision)
        self.objective: objectives.Objective | None = None
        if stages.uses_latents(config.model, stage):
            self.objective = objectives.make(
                config.objective, config.model.latent_dim, config.run.seed
            )
        self.variables = {
            False: stages.trained_variables(self.model, stage),
            True: stages.trained_variables(self.model, stage, warming_up=True)
            if self.warms_up
            else [],
        }
        self.optimisers = {"main": self._adam(main_steps)}
        self.optimisers["main"].build(self.variables[False])
        if self.warms_up:
            self.optimisers["warmup"] = self._adam(config.optimiser.latent_warmup_steps)
            self.optimisers["warmup"].build(self.variables[True])
        if isinstance(self.objective, objectives.Adversarial):
            discriminator = self.adam(**objectives.DISCRIMINATOR_ADAM)
            discriminator.build(self.objective.discriminator.trainable_variables)
            self.optimisers["discriminator"] = discriminator

    @property
    def warms_up(self) -> bool:
        return self.config.optimiser.latent_warmup_steps > 0 and stages.uses_latents(
            self.config.model, self.stage
        )

    @property
    def workers(self) -> tuple[int, int]:
        """(number of workers, number of this one)."""
        return 1, 0

    def meet(self) -> None:
        """Wait until all workers are here; RunFailed if one of them never will be."""

    def agree(self, digest: int) -> None:
        """RunFailed unless all workers have the same 16 bits."""

    def optimiser(self, warming_up: bool) -> Any:
        return self.optimisers["warmup" if warming_up else "main"]

    def step(self, batch: Arrays, warming_up: bool) -> dict[str, Any]:
        """One update; scalars to log, `finite` among them.

        It is 0 where the loss or its gradient was not finite; such a step leaves no trace.
        """
        raise NotImplementedError

    def evaluate(self, batch: Arrays) -> dict[str, np.ndarray]:
        """Per image: nats, values, and nats_shuffled, mean, logvar, z where there are latents."""
        raise NotImplementedError

    def scores(self, batch: dict[str, Any]) -> dict[str, Any]:
        own = stages.score(self.model, self.stage, batch, training=False)
        found = {"nats": own.nats, "values": own.values}
        if own.z is not None:
            other = stages.score(self.model, self.stage, batch, training=False, shuffled=True)
            found |= {"nats_shuffled": other.nats}
            found |= {"mean": own.mean, "logvar": own.logvar, "z": own.z}
        return found

    def named_variables(self) -> dict[str, Any]:
        """Everything that a checkpoint must hold, by a name that is the same in every process."""
        named = {f"model/{k}": v for k, v in models.named_weights(self.model).items()}
        if isinstance(self.objective, objectives.Adversarial):
            weights = self.objective.discriminator.variables
            named |= {f"discriminator/{i}": v for i, v in enumerate(weights)}
        for name, optimiser in self.optimisers.items():
            named |= {f"{name}_adam/{i}": v for i, v in enumerate(optimiser.variables)}
        return named

    def state(self) -> Arrays:
        return {name: np.asarray(v.numpy()) for name, v in self.named_variables().items()}

    def load(self, arrays: Arrays) -> None:
        named = self.named_variables()
        # Backends keep steps and seeds in integers of their own.
        arrays = {
            name: array.astype(named[name].dtype)
            if name in named and array.dtype.kind in "iu"
            else array
            for name, array in arrays.items()
        }
        checkpoints.match(arrays, named)
        for name, variable in named.items():
            variable.assign(arrays[name])

    def weights(self) -> Arrays:
        """The model's weights to export: averaged where --ema is on."""
        with self.averaged():
            named = models.exported_weights(self.model)
            return {name: np.asarray(variable.numpy()) for name, variable in named.items()}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Evaluate with the moving average of the weights, if there is one."""
        main = self.optimisers["main"]
        if not main.use_ema or int(main.iterations.numpy()) == 0:
            yield
            return
        variables = self.variables[False]
        trained = [variable.numpy() for variable in variables]
        averages = main._model_variables_moving_average
        try:
            for variable, average in zip(variables, averages, strict=True):
                variable.assign(average.numpy())
            yield
        finally:
            for variable, value in zip(variables, trained, strict=True):
                variable.assign(value)

    def _adam(self, steps: int) -> Any:
        chosen = self.config.optimiser
        rate: Any = getattr(chosen, chosen.rate_of(self.stage))
        warmup = min(chosen.warmup_steps, steps // 2)  # or a short run never gets to the rate
        if chosen.decay == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(
                0.0 if warmup else rate,
                max(steps - warmup, 1),
                warmup_target=rate if warmup else None,
                warmup_steps=warmup,
            )
        elif warmup:
            rate = keras.optimizers.schedules.PolynomialDecay(0.0, warmup, rate)
        average = {"use_ema": True, "ema_momentum": chosen.ema} if chosen.ema else {}
        return self.adam(rate, **average)


def fastest_precision() -> Literal["float32", "mixed_bfloat16"]:
    """bfloat16 where it convolves clearly faster here: half the time in hardware, else the same.

    Where it is emulated the two may take the same here, and a whole training step much longer.
    """
    kinds = get_args(Literal["float32", "mixed_bfloat16"])
    layers = [keras.layers.Conv2D(64, 3, dtype=policy) for policy in kinds]
    images = keras.ops.ones((16, 32, 32, 64))
    times: list[list[float]] = [[], []]
    for _ in range(5):  # in turn, so that another program slows down both
        for layer, seconds in zip(layers, times, strict=True):
            start = time.perf_counter()
            np.asarray(keras.ops.cast(layer(images)[0, 0, 0], "float32"))
            seconds.append(time.perf_counter() - start)
    plain, half = map(min, times)
    return "mixed_bfloat16" if half < CLEARLY * plain else "float32"


def prepare(config: Config) -> None:
    """What a training run must do before anything else."""
    if keras.backend.backend() == "tensorflow":
        from csi_tf import tensorflow_learner

        tensorflow_learner.prepare(config)
    elif workers.task() is not None:
        raise ValueError(
            "the workers of TF_CONFIG train on TensorFlow only: unset it, or set"
            " KERAS_BACKEND=tensorflow."
        )
    elif config.loop.deterministic:
        logs.say("deterministic is TensorFlow's: on a GPU JAX repeats itself to the bit with")
        logs.say("XLA_FLAGS=--xla_gpu_deterministic_ops=true, on a CPU always")


def make(config: Config, stage: str, dataset_size: int, main_steps: int) -> Learner:
    """The learner of the backend in use."""
    if keras.backend.backend() == "jax":
        from csi_tf.jax_learner import JaxLearner

        return JaxLearner(config, stage, dataset_size, main_steps)
    from csi_tf.tensorflow_learner import TensorFlowLearner

    return TensorFlowLearner(config, stage, dataset_size, main_steps)
