"""Settings small enough to train in a test, and training that is done soon."""

import functools
from contextlib import contextmanager
from unittest import mock

from csi_tf.config import (
    Config,
    DataConfig,
    LoopConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    RunConfig,
)

MODEL = {
    "latent_dim": 4,
    "encoder_filters": 4,
    "filters": 6,
    "receptive_field": "3x5",
    "mixtures": 2,
    "reverse_features": 5,
}


def config(mode="stage1", *, data=None, model=None, objective=None, optimiser=None, loop=None):
    return Config(
        RunConfig(mode),
        DataConfig(**{"limit": 64, "image_size": 16} | (data or {})),
        model=ModelConfig(**MODEL | (model or {})),
        objective=ObjectiveConfig(**objective or {}),
        optimiser=OptimiserConfig(
            **{"batch_size": 8, "learning_rate": 1e-3, "train_steps": 4} | (optimiser or {})
        ),
        # Panels cost more than all the rest.
        loop=LoopConfig(
            **{"validation_images": 16, "log_every": 1, "panel_every": 0} | (loop or {})
        ),
    )


def flags(config) -> list[str]:
    """The same settings as a command line."""
    from flags.build import flagfile_text

    lines = flagfile_text(config).splitlines()
    return [line for line in lines if line.startswith("--")]


@contextmanager
def eagerly():
    """Steps of training run as Python: a few are done sooner than compiled.

    Nothing else does. Drawing, say, takes a step for every pixel.
    """
    import tensorflow as tf  # not above: programs that train on JAX have none

    from csi_tf.tensorflow_learner import TensorFlowLearner

    def as_python(method):
        @functools.wraps(method)
        def call(*arguments):
            tf.config.run_functions_eagerly(True)
            try:
                return method(*arguments)
            finally:
                tf.config.run_functions_eagerly(False)

        return call

    methods = {name: as_python(getattr(TensorFlowLearner, name)) for name in ("step", "evaluate")}
    with mock.patch.multiple(TensorFlowLearner, **methods):
        yield
