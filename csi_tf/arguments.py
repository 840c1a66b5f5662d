"""What `csi_tf.inpaint` and its kin are given, checked and brought to one form."""

import math
import os
from typing import Any

import numpy as np
from PIL import Image

from csi_tf import checks, masks
from csi_tf import pictures as opening
from csi_tf.data import image_files
from csi_tf.drawing import Rule
from csi_tf.latents import is_number
from csi_tf.model import CSIModel


def pictures(model: CSIModel, images_u8: Any) -> np.ndarray:
    """uint8 (N, H, W, 3) from what `inpaint` takes."""
    check_model(model)
    if isinstance(images_u8, list | tuple):
        if not images_u8:
            raise ValueError("images_u8 is empty; give at least one picture.")
        for each in images_u8:
            if isinstance(each, np.ndarray) and each.ndim != 3:
                raise ValueError(
                    f"images_u8 lists an array of shape {each.shape}; give a list of (H,W,3), or"
                    " one array (N,H,W,3)."
                )
        return np.concatenate([pictures(model, each) for each in images_u8])
    if isinstance(images_u8, str | os.PathLike):
        images = image_files.read_image(images_u8)
    elif isinstance(images_u8, Image.Image):
        images = image_files.to_rgb(opening.upright(images_u8))  # as a file is
    else:
        images = np.asarray(images_u8) if hasattr(images_u8, "__array__") else images_u8
    image_files.check_images(images, "the model")
    if images.ndim > 4 or not len(images):
        raise ValueError(
            f"images_u8 has shape {images.shape}; give (N,H,W,3) with one picture or more."
        )
    if images.shape[-3:-1] != (model.size, model.size):
        whose = f"{images_u8} is" if isinstance(images_u8, str | os.PathLike) else "a picture is"
        raise ValueError(
            f"{whose} {images.shape[-3]}x{images.shape[-2]} pixels, and the model is for"
            f" {model.size}x{model.size}: cut and shrink it with csi_tf.data.center_crop and"
            " csi_tf.data.resize_antialiased."
        )
    return images.reshape(-1, *images.shape[-3:])


def check_model(model: Any) -> None:
    if not isinstance(model, CSIModel):
        hint = (
            f": csi_tf.load({os.fspath(model)!r})" if isinstance(model, str | os.PathLike) else ""
        )
        raise ValueError(f"model is of type {type(model).__name__}; load one first{hint}.")


def context_masks(context_mask: Any, images: np.ndarray) -> np.ndarray:
    """(N, H, W, 1)"""
    count, size = len(images), images.shape[1]
    if isinstance(context_mask, str):
        context_mask = masks.named(context_mask, size)
    elif isinstance(context_mask, list | tuple) and {*map(type, context_mask)} == {str}:
        context_mask = np.stack([masks.named(name, size) for name in context_mask])
    elif isinstance(context_mask, Image.Image | os.PathLike):
        raise ValueError(
            f"a mask in a file is read by csi_tf.masks.from_file(path, {size}), by which white is"
            " the hole."
        )
    mask = masks.check(context_mask, size, count)
    return np.broadcast_to(mask, (count, size, size, 1))


def numbers(num_samples: Any, first_sample: Any = 0) -> np.ndarray:
    count = checks.whole_number(num_samples, "num_samples", 1)
    return checks.whole_number(first_sample, "first_sample", 0) + np.arange(count)


def rule(z: Any, model: CSIModel, seen_mask: np.ndarray, samples: int) -> Rule:
    """How z comes about, before latents are set; seen_mask (N, H, W, 1)."""
    if model.decoder is None and not _is(z, "posterior"):
        raise ValueError("this model has no latents: it was made with latents=False; leave z out.")
    if _is(z, "posterior"):
        return lambda mean, std, normal, *_: mean + std * normal
    if _is(z, "whole"):
        return _whole(model, seen_mask)
    if _is(z, "mean"):
        return lambda mean, *_: mean
    variance = 1.0 if _is(z, "prior") else z
    if isinstance(z, tuple) and len(z) == 2 and _is(z[0], "prior"):
        variance = z[1]
    if is_number(variance) and variance >= 0:
        scale = np.float32(math.sqrt(variance))
        return lambda mean, std, normal, *_: scale * normal
    return _given(z, (len(seen_mask), samples, model.config.latent_dim))


def check_z(z: Any, model: CSIModel) -> None:
    """ValueError if z cannot come about like that, whatever the mask."""
    rule(z, model, np.ones((1, model.size, model.size, 1), np.float32), 1)


def _whole(model: CSIModel, seen_mask: np.ndarray) -> Rule:
    draw = model.draw_whole
    if draw is None:
        raise ValueError(
            "z is 'whole', and nothing was fitted to this model that it could be drawn from: do so"
            " by --mode=whole --model=RUN, or leave z out."
        )

    def rule(
        mean: np.ndarray, std: np.ndarray, normal: np.ndarray, image: np.ndarray, place: np.ndarray
    ) -> np.ndarray:
        mask = seen_mask[image]
        hidden = (mask == 0).any(axis=(1, 2, 3))
        return np.where(hidden[:, None], draw(mean, mask, normal), mean + std * normal)

    return rule


def _given(z: Any, shape: tuple[int, int, int]) -> Rule:
    images, samples, width = shape
    expected = (
        "'posterior', 'whole', 'mean', 'prior', a variance of 0 or more, or finite numbers of shape"
        f" ({width},), ({images}, {width}) or ({images}, {samples}, {width})"
    )
    given = np.asarray(z) if hasattr(z, "__array__") else None
    if given is None or given.dtype.kind not in "iuf":
        raise ValueError(f"z is {z!r}; give {expected}.")
    if given.shape not in (shape[2:], (images, width), shape):
        raise ValueError(f"z has shape {given.shape}; give {expected}.")
    if not np.isfinite(given).all():
        raise ValueError(f"z holds NaN or infinity; give {expected}.")
    whole = np.broadcast_to(given[:, None] if given.ndim == 2 else given, shape)
    return lambda mean, std, normal, image, place: whole[image, place]


def _is(z: Any, word: str) -> bool:
    return isinstance(z, str) and z == word
