"""--mode=whole: fits what `csi_tf.whole` draws z from, and writes it beside the model."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from csi_tf import checkpoints, data, loading, logs, masks, noise, provenance, randomness
from csi_tf.errors import RunFailed
from csi_tf.evaluation import subject
from csi_tf.evaluation.encoding import encode
from csi_tf.model import CSIModel, named_weights
from csi_tf.modes import Whole
from csi_tf.whole import CELLS, FILE, WholeLatents, encoder_digest, shares

BATCH, RATE, CLIP = 128, 1e-3, 1.0
# To encode a picture takes longer than to learn from it, so only one batch of four is new: all are
# drawn from the latest rows.
REUSE, KEPT = 4, 512 * BATCH
JUDGES = 512  # held-out pictures
Masking = Callable[[int, int, int], np.ndarray]  # count, size, seed


class Seen(NamedTuple):
    """What is guessed, and what it is guessed from."""

    z: np.ndarray  # (B,D), a draw from q given the whole picture
    mean: np.ndarray  # (B,D), of q given the context
    mask: np.ndarray  # (B,8,8,1), its shares


class _Loss(keras.Model):
    """Nats alone hardly move the centre where z is spread far: there it costs little to be off."""

    def __init__(self, law: WholeLatents):
        super().__init__(name="loss")
        self.law = law

    def call(self, seen: Any) -> Any:
        z, mean, mask = seen
        told = self.law(mean, mask)
        return self.law.nats(z, told) + ops.sum(ops.square(z - told.centre), axis=1)


def run(settings: Whole, directory: Path) -> None:
    """--mode=whole"""
    path = loading.find(settings.model)
    if path.resolve().is_relative_to(loading.SHIPPED.resolve()):
        raise ValueError(f"{path} comes along with what --mode=whole writes")
    model = loading.alone(path)  # an earlier fit may be of another version
    if model.encoder is None:
        raise ValueError(f"{path} has no latents to guess: it was trained with --nolatents")
    config = loading.settings(path, checkpoints.read(path)[1])
    source, place = subject.source(settings, config)
    spec = settings.mask or config.masks.mask
    convention = "white_is_hole" if settings.mask else config.masks.mask_convention
    masking = partial(masks.sample, spec, convention=convention)

    def pictures(split: str, limit: int | None) -> np.ndarray:
        return data.arrays(source, split, model.size, data_dir=place, limit=limit).images

    held = pictures(data.held_out_split(source, place), JUDGES)
    train = pictures("train", config.data.limit if source == config.data.dataset else None)
    if config.data.horizontal_flip:
        train = np.concatenate([train, train[:, :, ::-1]])
    with logs.reports("Whole pictures", unit="pictures") as tell:
        whole = encode(model, train, 1.0, settings.seed, tell)
    law = WholeLatents(model.config.latent_dim, settings.seed)
    law.build(None)
    drawn = _batches(model, train, whole.z, masking, settings)
    _fit(law, itertools.islice(drawn, settings.steps), settings.steps)
    arrays = {name: np.asarray(v) for name, v in named_weights(law).items()}
    if not all(np.isfinite(each).all() for each in arrays.values()):
        raise RunFailed("what was fitted is not finite, and was not written: give another --seed")
    held_z = encode(model, held, 1.0, settings.seed).z
    seen = _seen(model, held, held_z, masking, settings.seed, "held-out")
    found = judge(law, seen, settings.seed)
    info = {
        "encoder": encoder_digest(model),
        "command": provenance.command(settings),
        "dataset": provenance.dataset(source),
        "mask": spec,
        "pictures": len(train),
        "held_out": found,
        **provenance.about(),
    }
    checkpoints.write(directory / FILE, checkpoints.export_half(arrays), info)
    print(
        f"{directory / FILE}: of z of {len(held)} held-out whole pictures"
        f" {found['unexplained']:.0%} of the variance cannot be predicted from what is seen under"
        f" {spec}; two draws lie {found['spread']:.2f} times as far apart as from the truth"
    )


def _batches(
    model: CSIModel, images: np.ndarray, z: np.ndarray, masking: Masking, settings: Whole
) -> Iterator[Seen]:
    size = model.config.latent_dim
    kept = Seen(
        *(np.empty((KEPT, *of), np.float32) for of in ((size,), (size,), (CELLS, CELLS, 1)))
    )
    for step in itertools.count():
        generator = np.random.default_rng(randomness.fold(settings.seed, "whole/rows", step))
        new = step // REUSE
        if step % REUSE == 0:
            rows = generator.integers(len(images), size=BATCH)
            seen = _seen(model, images[rows], z[rows], masking, settings.seed, step)
            place = new * BATCH % KEPT
            for old, part in zip(kept, seen, strict=True):
                old[place : place + BATCH] = part
        picks = generator.integers(min((new + 1) * BATCH, KEPT), size=BATCH)
        yield Seen(*(part[picks] for part in kept))


def _seen(
    model: CSIModel, images: np.ndarray, z: np.ndarray, masking: Masking, seed: int, step: int | str
) -> Seen:
    seed = randomness.fold(seed, "whole/masks", step) % 2**31
    mask = masking(len(images), model.size, seed)
    return Seen(z, encode(model, images, mask, seed).mean, np.asarray(shares(mask)))


def _fit(law: WholeLatents, batches: Iterator[Seen], steps: int) -> None:
    network = _Loss(law)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    compiled = keras.backend.backend() == "jax"
    network.compile(
        keras.optimizers.Adam(rate, clipnorm=CLIP),
        lambda _, loss: ops.mean(loss),
        jit_compile=compiled,
    )
    with logs.progress(steps, description="Whole latents") as bar:
        for seen in batches:
            loss = network.train_on_batch(tuple(seen), np.zeros(len(seen.z), np.float32))
            bar.advance(scalars={"loss": loss})


def judge(law: WholeLatents, seen: Seen, seed: int) -> dict[str, float]:
    """The part of the variance of z that is not told, and how far two draws lie apart, over how far
    they lie from the truth: 1 where the law is right."""
    one, other = (
        law.draw(
            seen.mean,
            seen.mask,
            noise.normals(seed, f"whole/judge/{i}", np.arange(len(seen.z)), law.latent_dim),
        )
        for i in range(2)
    )
    told = law(seen.mean, seen.mask)
    away = seen.z - np.asarray(told.centre)
    apart = np.square(one - other).sum()
    off = (np.square(one - seen.z).sum() + np.square(other - seen.z).sum()) / 2
    return {
        "nats": float(np.mean(np.asarray(law.nats(seen.z, told)))),
        "unexplained": float(np.square(away).sum() / np.square(seen.z - seen.z.mean(0)).sum()),
        "spread": float(np.sqrt(apart / off)),
    }
