"""Settings small enough to train in a test."""

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
