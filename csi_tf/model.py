"""The model of Figure 2: two streams from the context to the distribution of each missing pixel."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from csi_tf import noise
from csi_tf.checks import whole_number
from csi_tf.config import ModelConfig
from csi_tf.decoder import Decoder
from csi_tf.encoder import Encoder
from csi_tf.latents import Latent
from csi_tf.warmup import WarmupHead
from pixel_cnn_pp import ForwardPixelCNN, ReversePixelCNN, checks, mixture, receptive_field

# What the settings call the two forms of conditioning, in the words of the layer library.
_FORMS = {"paper": "linear", "published": "published"}

STAGES = ("stage1", "stage2", "one_stage")


class CSIModel(keras.layers.Layer):
    """Encoder, decoder, forward and reverse PixelCNN, built when made.

    Without `config.reverse` it is the disentangled PixelVAE of stage one; without `config.latents`
    the bidirectional PixelCNN by itself; without both a plain PixelCNN.
    """

    def __init__(self, config: ModelConfig, size: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.size = size
        self.named_latents: tuple[Latent, ...] = ()
        # Draws z of whole pictures, see csi_tf.whole. A function, because Keras would count a layer
        # among the model's own.
        self.draw_whole: Callable[..., np.ndarray] | None = None
        self._make_networks()
        self._build_networks()
        self.built = True

    def _make_networks(self) -> None:
        config, policy = self.config, self.dtype_policy
        blocks, field = config.blocks_and_field()
        pixel_cnn = {
            "blocks": blocks,
            "filters": config.filters,
            "dropout": config.dropout,
            "activation": config.nonlinearity,
            "weight_norm": config.weight_norm,
            "field": field,
            "dtype": policy,
        }
        self.encoder: Any = None
        self.decoder: Any = None
        self.warmup_head: Any = None
        self.reverse: Any = None
        if config.latents:
            table1 = (config.latent_dim, self.size, config.encoder_filters)
            self.encoder = Encoder(*table1, name="encoder", dtype=policy)
            self.decoder = Decoder(*table1, name="decoder", dtype=policy)
            self.warmup_head = WarmupHead(config.mixtures, name="warmup_head", dtype="float32")
        if config.reverse:
            self.reverse = ReversePixelCNN(
                features=config.reverse_features, name="reverse", **pixel_cnn
            )
        self.forward = ForwardPixelCNN(
            mixtures=config.mixtures,
            conditioning_form=_FORMS[config.conditioning],
            name="forward",
            **pixel_cnn,
        )

    def _build_networks(self) -> None:
        def maps(channels: int) -> tuple[None, int, int, int]:
            return None, self.size, self.size, channels

        conditioning = []
        if self.config.conditioning == "published":
            conditioning.append(maps(1))
        if self.encoder is not None:
            self.encoder.build(maps(3), maps(1))
            self.decoder.build((None, self.config.latent_dim))
            self.warmup_head.build(maps(3), maps(self.config.encoder_filters))
            conditioning.append(maps(self.config.encoder_filters))
        if self.reverse is not None:
            self.reverse.build(maps(3), maps(1))
            conditioning.append(maps(self.config.reverse_features))
        self.forward.build(maps(3), tuple(conditioning))

    # Figure 2, left to right.

    def posterior(
        self, images_pm1: Any, context_mask: Any, hole_noise: Any, training: bool = False
    ) -> tuple[Any, Any]:
        """q(z | x_c, m): mean and log-variance, from the observed pixels and noise in the hole."""
        if self.config.hole_fill == "zeros":
            hole_noise = ops.zeros_like(hole_noise)
        filled = images_pm1 * context_mask + hole_noise * (1.0 - context_mask)
        return self._encoder()(filled, context_mask, training=training)

    def decode(self, z: Any, training: bool = False) -> Any:
        """Y^z: spatial maps of the latents."""
        if self.decoder is None:
            raise ValueError("this model has no latents to decode: it was made with latents=False.")
        return self.decoder(self._latents(z), training=training)

    def predict(
        self, images_pm1: Any, context_mask: Any, y_z: Any = None, training: bool = False
    ) -> Any:
        """Raw mixtures of every pixel given those before it, Y^z and Y^r: eq. (3)."""
        conditioning = self.conditioning(images_pm1, context_mask, y_z, training)
        return self.forward(images_pm1, conditioning, training=training)

    def conditioning(
        self, images_pm1: Any, context_mask: Any, y_z: Any = None, training: bool = False
    ) -> tuple[Any, ...] | None:
        """What the forward net is told besides earlier pixels; the same for every pixel drawn."""
        maps = []
        if self.config.conditioning == "published":
            maps.append(context_mask)
        if self.decoder is not None:
            maps.append(y_z)
        if self.reverse is not None:
            context = images_pm1 * context_mask
            maps.append(self.reverse(context, context_mask, training=training))
        return tuple(maps) or None

    # What people call.

    def encode(self, images_pm1: Any, context_mask: Any, seed: int) -> tuple[Any, Any]:
        """Mean and log-variance of q(z | x_c, m), (B, latents) each.

        The noise in the hole depends on the seed, the observed pixels and the mask of each picture.
        """
        self._check(images_pm1, context_mask)
        whole_number(seed, "seed", 0)
        keys = noise.keys(seed, images_pm1, context_mask)
        fill = ops.convert_to_tensor(noise.hole(0, keys, self.size))
        return self.posterior(ops.cast(images_pm1, "float32"), context_mask, fill)

    def log_prob(self, images_pm1: Any, context_mask: Any, z: Any = None) -> Any:
        """(B,) nats: log p(x_t | x_c, z), the target pixels only (eq. (4)); z is (B, latents)."""
        pixels = self.pixel_log_prob(images_pm1, context_mask, z)
        return ops.sum(pixels * (1.0 - context_mask[..., 0]), axis=(1, 2))

    def pixel_log_prob(self, images_pm1: Any, context_mask: Any, z: Any = None) -> Any:
        """(B,H,W) nats of every pixel given those before it, the context and z.

        Without the reverse net their sum is log p(x | z) of stage one. With it, those of observed
        pixels mean nothing: the net has seen them.
        """
        self._check(images_pm1, context_mask)
        images = ops.cast(images_pm1, "float32")
        y_z = None
        if self.decoder is not None:
            latents = self._latents(z, images.shape[0])
            values = checks.concrete(latents)
            if values is not None and not np.isfinite(values).all():
                raise ValueError("z holds NaN or infinity, expected finite numbers.")
            y_z = self.decode(latents)
        return mixture.log_prob(self.predict(images, context_mask, y_z), images)

    def count_trainable(self) -> int:
        """Trainable parameters of the model proper, without the warm-up head."""
        networks = (self.encoder, self.decoder, self.forward, self.reverse)
        return sum(
            math.prod(variable.shape)
            for network in networks
            if network is not None
            for variable in network.trainable_variables
        )

    def _encoder(self) -> Encoder:
        if self.encoder is None:
            raise ValueError("this model has no latents to infer: it was made with latents=False.")
        return self.encoder

    def _latents(self, z: Any, batch: int | None = None) -> Any:
        expected = f"({batch or 'batch'}, {self.config.latent_dim})"
        if z is None:
            raise ValueError(f"z is missing: pass latents of shape {expected}, such as a draw from "
                             "model.encode's normal.")  # fmt: skip
        checks.floats(z, "z", expected, "convert it with np.asarray(z, 'float32')")
        shape = tuple(z.shape)
        if len(shape) != 2 or shape[1] != self.config.latent_dim or batch not in (None, shape[0]):
            raise ValueError(f"z has shape {shape}, expected {expected}.")
        return ops.cast(z, "float32")

    def _check(self, images_pm1: Any, context_mask: Any) -> None:
        checks.images(images_pm1)
        checks.mask(context_mask)
        for name, array, how in (
            ("images_pm1", images_pm1, "crop and resize with csi_tf.data.resize_antialiased"),
            ("context_mask", context_mask, "make one with csi_tf.masks"),
        ):
            if tuple(array.shape[1:3]) != (self.size, self.size):
                raise ValueError(
                    f"{name} is {array.shape[1]}x{array.shape[2]}, and this model is for "
                    f"{self.size}x{self.size}; {how}."
                )
        checks.same_place(images_pm1, context_mask, "images_pm1", "context_mask")


def true_field(config: ModelConfig) -> receptive_field.Field:
    """What the forward PixelCNN sees; the reverse one, which has the same stack, sees it turned."""
    return _true_field(*config.blocks_and_field())


@lru_cache
def _true_field(blocks: int, field: tuple[int, int] | None) -> receptive_field.Field:
    return receptive_field.measure(ForwardPixelCNN(blocks, 4, 1, field=field))


def make(config: ModelConfig, size: int, seed: int, dtype: str = "float32") -> CSIModel:
    """A fresh model whose first weights and dropout follow from the seed alone."""
    keras.utils.set_random_seed(seed)
    return CSIModel(config, size, name="csi", dtype=dtype)


def for_stage(config: ModelConfig, stage: str) -> ModelConfig:
    """The networks a stage has: stage one is the PixelVAE, without the reverse net."""
    if stage not in STAGES:
        raise ValueError(f"the stage is {stage!r}; it must be one of {', '.join(STAGES)}.")
    return replace(config, reverse=False) if stage == "stage1" else config


def posterior_sample(mean: Any, logvar: Any, standard_normal: Any) -> Any:
    """z ~ q: float32 whatever the compute dtype."""
    mean, logvar = ops.cast(mean, "float32"), ops.cast(logvar, "float32")
    return mean + ops.exp(0.5 * logvar) * standard_normal


def named_weights(layer: keras.layers.Layer) -> dict[str, Any]:
    """Every variable of a layer by a name that is the same in every process.

    Keras numbers seed generators by how many the process has made; here they are numbered within
    the layer.
    """
    named: dict[str, Any] = {}
    seeds = 0
    for variable in layer.variables:
        name = variable.path
        if name.endswith("seed_generator_state"):
            name, seeds = f"dropout_seed/{seeds}", seeds + 1
        named[name] = variable
    if len(named) != len(layer.variables):
        raise ValueError("two weights of the model share a name; give its layers names.")
    return named


# Of use in training only: counters of dropout, and what a latent warm-up has in place of PixelCNNs.
_OF_TRAINING = ("dropout_seed/", "warmup_head/")


def exported_weights(model: CSIModel) -> dict[str, Any]:
    """The weights that a model file holds."""
    return of_use(named_weights(model))


def of_use(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Without those of training, which older model files have too."""
    return {name: v for name, v in weights.items() if not name.startswith(_OF_TRAINING)}
