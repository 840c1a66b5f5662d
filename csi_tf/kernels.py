"""The one module that knows TensorFlow Probability: the kernel of the MMD.

TFP is used where it runs. Its JAX half follows JAX at a distance and may fail to import, so other
backends get the same formula in keras.ops; a test holds the two equal.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops


def gaussian(a: Any, b: Any, width: float) -> Any:
    """(rows of a, rows of b) matrix of exp(-|a - b|^2 / width^2)."""
    backend = keras.backend.backend()
    return (from_tfp if backend == "tensorflow" else from_keras)(a, b, width)


def from_tfp(a: Any, b: Any, width: float) -> Any:
    from tensorflow_probability import math as tfp_math

    # TFP divides by twice the squared length scale. It multiplies matrices, which on GPUs keeps ten
    # bits of float32 by default (TF32), so float64 is what leaves float32's own: on a CPU for a
    # hundredth of a step of the cpu preset.
    scale = np.float64(width / math.sqrt(2.0))
    kernel = tfp_math.psd_kernels.ExponentiatedQuadratic(length_scale=scale)
    return ops.cast(kernel.matrix(*(ops.cast(each, "float64") for each in (a, b))), "float32")


def from_keras(a: Any, b: Any, width: float) -> Any:
    return ops.exp(-ops.sum(ops.square(a[:, None] - b[None]), axis=-1) / width**2)
