"""Table 2: what is added to the reconstruction loss, in nats per image, to shape the latents.

Every objective has the same interface. Arrays are those of the whole batch: where several replicas
share a step, gather mean, logvar and z first, because TC, PD and MMD belong to a set of images and
not to any one of them. All of it runs in graph mode and under jit, on TensorFlow and on JAX.
"""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from csi_tf import latent_statistics, randomness
from csi_tf.config import DEFAULT_BETA, ObjectiveConfig

# The optimiser's settings and the activation are those of Kim & Mnih (2018). Their six layers of
# 1000 units would cost a step on a CPU as much as a PixelCNN does; 32 latents ask for less.
DISCRIMINATOR_ADAM = {"learning_rate": 1e-4, "beta_1": 0.5, "beta_2": 0.9}
DISCRIMINATOR_UNITS = (256, 256, 256)

# Makhzani et al. (2016) take turns instead of weighing. Near the prior the non-saturating loss
# passes on half the slope of KL(q(z) || p(z)), which charges a latent's variance for being off by v
# v^2 / 4 nats where 2e6 MMD charges 5.4 v^2: forty times the loss pulls about as hard.
AAE_WEIGHT = 40.0


class Objective:
    """The interface."""

    def regulariser(
        self, mean: Any, logvar: Any, z: Any, prior_z: Any, dataset_size: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Scalar to add to the reconstruction, nats per image, and the terms to log.

        mean, logvar and z are (B, d), prior_z is (mmd_prior_draws, d) standard normal draws and
        dataset_size the number of training images.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class KL(Objective):
    """beta (MI + TC + PD), in closed form: the VAE and the beta-VAE."""

    beta: float

    def regulariser(
        self, mean: Any, logvar: Any, z: Any, prior_z: Any, dataset_size: Any
    ) -> tuple[Any, dict[str, Any]]:
        kl = ops.mean(latent_statistics.gaussian_kl(mean, logvar))
        return self.beta * kl, {"kl": kl}


@dataclass(frozen=True)
class TotalCorrelation(Objective):
    """mi_weight MI + beta TC + PD by eq. (5): beta-TCVAE, and without MI Info-beta-TCVAE."""

    mi_weight: float
    beta: float
    estimator: str = "corrected"

    def regulariser(
        self, mean: Any, logvar: Any, z: Any, prior_z: Any, dataset_size: Any
    ) -> tuple[Any, dict[str, Any]]:
        parts = latent_statistics.decomposition(mean, logvar, z, dataset_size, self.estimator)
        return self.mi_weight * parts.mi + self.beta * parts.tc + parts.pd, parts._asdict()


@dataclass(frozen=True)
class InfoVAEMMD(Objective):
    """weight * MMD^2(q(z), p(z)), which stands in for TC + PD: the paper's choice."""

    weight: float

    def regulariser(
        self, mean: Any, logvar: Any, z: Any, prior_z: Any, dataset_size: Any
    ) -> tuple[Any, dict[str, Any]]:
        mmd = latent_statistics.mmd(z, prior_z)
        return self.weight * mmd, {"mmd": mmd}


@dataclass(frozen=True)
class Adversarial(Objective):
    """A discriminator estimates log q(z) - log reference(z), in alternation with the encoder.

    The regulariser is for the encoder's variables only; `discriminator_loss` for the
    discriminator's, by an optimiser of its own (DISCRIMINATOR_ADAM). Its weights belong in
    checkpoints with the model's.
    """

    discriminator: keras.Model

    def reference(self, z: Any, noise: Any) -> Any:
        """Draws that z is told from, made of (B, d) standard normal noise."""
        raise NotImplementedError

    def discriminator_loss(self, z: Any, noise: Any) -> Any:
        """Scalar cross-entropy, log 2 when the two cannot be told apart. No gradient enters z."""
        z = ops.stop_gradient(ops.cast(z, "float32"))
        of_z = ops.softplus(-self.logits(z))
        of_reference = ops.softplus(self.logits(self.reference(z, noise)))
        return 0.5 * (ops.mean(of_z) + ops.mean(of_reference))

    def logits(self, z: Any) -> Any:
        """(B,) estimates of log q(z) - log reference(z)."""
        return self.discriminator(z)[:, 0]


@dataclass(frozen=True)
class FactorVAE(Adversarial):
    """KL + (beta - 1) TC, the TC being the mean log-ratio of z to z with dimensions shuffled."""

    beta: float

    def regulariser(
        self, mean: Any, logvar: Any, z: Any, prior_z: Any, dataset_size: Any
    ) -> tuple[Any, dict[str, Any]]:
        kl = ops.mean(latent_statistics.gaussian_kl(mean, logvar))
        tc = ops.mean(self.logits(z))
        return kl + (self.beta - 1.0) * tc, {"kl": kl, "tc_discriminator": tc}

    def reference(self, z: Any, noise: Any) -> Any:
        # Ranks of independent noise are a fresh permutation of the images for each dimension.
        return ops.take_along_axis(z, ops.argsort(noise, axis=0), axis=0)


@dataclass(frozen=True)
class AAE(Adversarial):
    """weight times the non-saturating loss of an encoder that passes z off as prior draws.

    The mean log-ratio that is logged estimates KL(q(z) || p(z)) = TC + PD.
    """

    weight: float = AAE_WEIGHT

    def regulariser(
        self, mean: Any, logvar: Any, z: Any, prior_z: Any, dataset_size: Any
    ) -> tuple[Any, dict[str, Any]]:
        logits = self.logits(z)
        fooling = ops.mean(ops.softplus(logits))
        terms = {"adversarial": fooling, "tc_plus_pd_discriminator": ops.mean(logits)}
        return self.weight * fooling, terms

    def reference(self, z: Any, noise: Any) -> Any:
        return ops.cast(noise, "float32")


def make(config: ObjectiveConfig, latent_dim: int, seed: int = 0) -> Objective:
    """The objective that the settings name; the seed is for a discriminator's first weights."""
    name = config.objective
    beta = DEFAULT_BETA.get(name, 1.0) if config.beta is None else config.beta
    if name in ("vae", "beta_vae"):
        return KL(beta)
    if name in ("beta_tcvae", "info_beta_tcvae"):
        return TotalCorrelation(float(name == "beta_tcvae"), beta, config.estimator)
    if name == "info_vae_mmd":
        return InfoVAEMMD(config.mmd_weight)
    if name == "factor_vae":
        return FactorVAE(discriminator(latent_dim, seed), beta)
    return AAE(discriminator(latent_dim, seed))


def discriminator(latent_dim: int, seed: int) -> keras.Model:
    """A small MLP: (B, d) latents -> (B, 1) logits, float32 whatever the policy."""
    layers: list[Any] = [keras.Input((latent_dim,), dtype="float32")]
    for i, units in enumerate((*DISCRIMINATOR_UNITS, 1)):
        hidden = i < len(DISCRIMINATOR_UNITS)
        start = keras.initializers.HeNormal(randomness.fold(seed, "discriminator", i) % 2**31)
        layers.append(
            keras.layers.Dense(
                units,
                activation="leaky_relu" if hidden else None,
                # Logits start at 0: before it has learnt anything it has no say.
                kernel_initializer=start if hidden else "zeros",
                dtype="float32",
            )
        )
    return keras.Sequential(layers, name="latent_discriminator")
