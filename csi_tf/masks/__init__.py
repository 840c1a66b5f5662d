"""Masks: which pixels are observed.

Inside the library a mask is a `context_mask`: float32, (H,W,1) or (B,H,W,1), 1 = context
(observed), 0 = hole (to be painted). Files follow the custom of other tools, white = hole, unless
told otherwise. `named` gives fixed boxes, `sample` random masks, `from_file` reads pictures.
"""

from csi_tf.masks.boxes import NAMES, box, named
from csi_tf.masks.checks import check
from csi_tf.masks.distributions import DISTRIBUTIONS
from csi_tf.masks.files import CONVENTIONS, from_file, to_file, to_image
from csi_tf.masks.mixtures import Component, Mixture, parse, sample, sampler

__all__ = [
    "CONVENTIONS",
    "DISTRIBUTIONS",
    "NAMES",
    "Component",
    "Mixture",
    "box",
    "check",
    "from_file",
    "named",
    "parse",
    "sample",
    "sampler",
    "to_file",
    "to_image",
]
