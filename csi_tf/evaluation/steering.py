"""Latents moved through their range under a hole, and what a reader sees in the completions.

Of one picture all completions have the same noise, so that only the latents differ.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from csi_tf import latent_statistics, logs, noise
from csi_tf.data.base import ImageArrays
from csi_tf.errors import RunFailed
from csi_tf.evaluation import control, regressors
from csi_tf.evaluation.control import Control
from csi_tf.evaluation.encoding import encode
from csi_tf.evaluation.regressors import Illegible, Reader
from csi_tf.evaluation.subject import Subject
from csi_tf.latents import Latent
from csi_tf.model import CSIModel
from csi_tf.pixels import levels, pm1
from pixel_cnn_pp import sampling

# Directions beyond the paper cost as much as axes do, of which it has 32. The second are as many as
# take in all that is known of procedural faces; of attributes there may be more.
VARYING, TOLD = 8, 16
# Of a factor that latents hold anything of, a regression on them explains this part beyond chance
# (the adjusted R^2), and more than three standard deviations of what chance explains.
EXPLAINED = 0.07
# Of the two halves of its range, a latent that acts in one direction only does this part in one.
ONE_SIDED = 0.25

# The posterior mean (D,) of a picture -> the ways in which it is to be completed (K, D).
Ways = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Traversal:
    """Readings (L, N, V, F) under one hole, of L latents set to V values in N pictures."""

    reader: Reader
    values: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    control: Control

    def sign(self, latent: int, factor: int) -> float:
        """Whether the factor rises with the latent or falls."""
        return -1.0 if self.control.validation[latent, factor] < 0 else 1.0

    def correlations(self, latent: int, factor: int) -> np.ndarray:
        """(N,) of test pictures, in the direction found on validation pictures."""
        found = control.rank_correlation(self.test[latent], self.reader.resolution)
        return self.sign(latent, factor) * found[:, factor]

    def changes(self, latent: int, factor: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, F) of validation and of test pictures, in standard deviations, over the interval that
        is of use for the factor."""
        sign = self.sign(latent, factor)
        response = sign * self.validation[latent].mean(axis=0)[:, factor]
        first, last = control.useful(response, self.values)
        unit = sign * self.reader.spread
        seen, held_out = (
            (each[latent, :, last] - each[latent, :, first]) / unit
            for each in (self.validation, self.test)
        )
        return seen, held_out

    def one_sided(self, latent: int) -> bool:
        """Whether one half of the range does nothing, or the opposite."""
        factor = self.control.factor[latent]
        response = self.test[latent].mean(axis=0)[:, factor] * self.sign(latent, factor)
        middle = np.interp(np.median(self.values), self.values, response)
        halves = middle - response[0], response[-1] - middle
        return bool(min(halves) < ONE_SIDED * max(halves))

    def strength(self) -> np.ndarray:
        """(L, 2) how well each latent's factor follows on validation pictures, and how far.

        The first to two digits, as factors are chosen.
        """
        rows, factor = np.arange(len(self.validation)), self.control.factor
        follows = np.abs(self.control.validation[rows, factor]).round(2)
        follows[self.control.dead] = 0.0  # it may have a factor that it cannot be for
        reach = np.ptp(self.validation.mean(axis=1), axis=1) / self.reader.spread
        return np.stack([follows, reach[rows, factor]], axis=1)

    def serves(self, meant: Sequence[str | None]) -> np.ndarray:
        """(L,) 2 where the factor that is meant follows alone, 1 where others do, too; else 0."""
        follows = [self.reader.names[f] for f in self.control.factor]
        hit = np.array([a == b for a, b in zip(follows, meant, strict=True)]) & ~self.control.dead
        return hit * (1 + self.control.alone)

    def best(self, count: int, among: int) -> list[int]:
        """The strongest of the first `among` latents."""
        follows, reach = self.strength()[:among].T
        return np.lexsort((reach, follows))[::-1][:count].tolist()


def reader(subject: Subject, context_mask: np.ndarray | None = None) -> Reader:
    """Of factors or else attributes, of what a hole shows or of whole pictures."""
    of_factors = subject.train.factors is not None
    make = regressors.factor_reader if of_factors else regressors.attribute_reader
    (known, names), (judged, _) = map(labels, (subject.train, subject.validation))
    varying = np.flatnonzero((np.ptp(known, axis=0) > 0) & (np.ptp(judged, axis=0) > 0))
    if not len(varying):
        raise Illegible(
            f"nothing that is known of the pictures differs among {len(known)} training and among"
            f" {len(judged)} validation pictures; raise --train_images"
        )
    return make(
        (subject.train.images, known[:, varying]),
        (subject.validation.images, judged[:, varying]),
        [names[i] for i in varying],
        context_mask,
    )


def traverse(
    subject: Subject,
    hole: str,
    reader: Reader,
    measured: Sequence[Latent],
    values: np.ndarray,
    known: Collection[str],
) -> Traversal:
    """`known` are the factors that the latents hold anything of."""
    count = subject.settings.control_images
    vectors = np.array([each.direction for each in measured])

    def ways(mean: np.ndarray) -> np.ndarray:
        """z + (a - z.v) v for each latent and each value."""
        steps = values - (vectors @ mean)[:, None]
        return (mean + steps[..., None] * vectors[:, None]).reshape(-1, len(mean))

    def moved(arrays: ImageArrays, name: str) -> np.ndarray:
        what = f"{hole}, {name} pictures"
        found = readings(subject, arrays.images[:count], hole, reader, ways, what)
        return np.moveaxis(found.reshape(len(found), len(measured), len(values), -1), 0, 1)

    validation, test = moved(subject.validation, "validation"), moved(subject.test, "test")
    scale = reader.names, reader.resolution, reader.spread, reader.related
    held = [name in known for name in reader.names]
    found = control.measure(validation, test, values, *scale, held)
    return Traversal(reader, values, validation, test, found)


def readings(
    subject: Subject, images_u8: np.ndarray, hole: str, reader: Reader, ways: Ways, what: str
) -> np.ndarray:
    """(N, K, F) of pictures completed with z in each of K ways."""
    mask = subject.context_mask(hole, 1)
    seed, batch = subject.seed("control"), subject.settings.batch
    means = encode(subject.model, images_u8, mask, seed).mean
    found = []
    with logs.reports(what, unit="pictures") as report:
        for done, (image, mean) in enumerate(zip(images_u8, means, strict=True), 1):
            drawn = completions(subject.model, image[None], mask, ways(mean), seed, batch)
            found.append(reader(drawn))
            report(done, len(images_u8))
    return np.stack(found)


def completions(
    model: CSIModel,
    image_u8: np.ndarray,
    mask: np.ndarray,
    z: np.ndarray,
    seed: int,
    batch: int,
) -> np.ndarray:
    """uint8 (K, H, W, 3): one picture (1, H, W, 3) completed with each z (K, D), truncated at 1.

    `csi_tf.inpaint` would also score what it draws, which takes about as long as drawing it.
    """
    image = pm1(image_u8)
    told = model.conditioning(image, mask) or ()  # with None in place of what z says
    key = noise.keys(seed, image, mask)[0]
    # Equal batches, the last one filled up: another size would be compiled anew.
    share = -(-len(z) // -(-len(z) // batch))
    pictures = []
    for start in range(0, len(z), share):
        part = np.take(z, np.arange(start, start + share), axis=0, mode="clip")
        y_z = model.decode(part.astype(np.float32))
        maps = tuple(y_z if each is None else np.repeat(each, share, axis=0) for each in told)
        known, holes = np.repeat(image, share, axis=0), np.repeat(mask, share, axis=0)
        drawn = sampling.sample(model.forward, known, holes, maps, np.full(share, key), 1.0)
        if not np.isfinite(drawn).all():
            raise RunFailed(
                "the model predicts NaN or infinity: its weights are damaged; evaluate another"
                " checkpoint."
            )
        pictures.append(levels(drawn))
    return np.concatenate(pictures)[: len(z)]


def codes(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Means and draws (N, D) of the posteriors of training pictures, 0 where a latent is idle.

    What an idle latent holds is noise, and as wide as anything.
    """
    images = subject.train.images[: subject.settings.encoded_images]
    found = encode(subject.model, images, 1.0, subject.seed("control"))
    active = found.mean.var(axis=0) > latent_statistics.ACTIVE_VARIANCE
    return np.where(active, found.mean, 0.0), np.where(active, found.z, 0.0)


def regressions(
    subject: Subject, legible: Sequence[str], mean: np.ndarray
) -> list[tuple[Latent, str, float]]:
    """Of factors that posterior means tell, most first: direction, factor and part explained."""
    (pictures, dimensions), active = mean.shape, int(mean.any(axis=0).sum())
    if not active:
        return []
    if pictures < dimensions + 2:
        raise ValueError(
            f"what {dimensions} latents hold cannot be told from {pictures} pictures: raise"
            " --encoded_images, and --train_images if it is as low."
        )
    free = pictures - active - 1
    values, names = labels(subject.train)
    wanted = [n for n in legible if np.ptp(values[:pictures, names.index(n)]) > 0]
    truth = values[:pictures, [names.index(n) for n in wanted]]
    fitted = control.regression_directions(mean, truth, wanted)
    least = max(EXPLAINED, control.CHANCE * math.sqrt(2 * active / (free * (pictures + 1))))
    found = []
    for each, name, column in zip(fitted, wanted, truth.T, strict=True):
        explained = np.corrcoef(mean @ each.direction, column)[0, 1] ** 2
        adjusted = float(1 - (1 - explained) * (pictures - 1) / free)
        if adjusted >= least:
            found.append((each, name, adjusted))
    return sorted(found, key=lambda each: -each[2])


def directions(z: np.ndarray, told: Sequence[tuple[Latent, str, float]]) -> list[Latent]:
    """Beyond the paper: those of most variance, and regressions of what is told best."""
    count = min(int(z.any(axis=0).sum()), VARYING)
    varying = control.principal_directions(z, count) if count else []
    return [*varying, *(latent for latent, _, _ in told[:TOLD])]


def labels(arrays: ImageArrays) -> tuple[np.ndarray, tuple[str, ...]]:
    """Factors, or where they are unknown attributes, (N, F) and their names."""
    if arrays.factors is not None:
        return arrays.factors, arrays.factor_names
    assert arrays.attributes is not None
    return arrays.attributes, arrays.attribute_names


def joined(
    found: Mapping[str, Traversal], meant: Sequence[str | None]
) -> tuple[Control, list[str]]:
    """Each latent as measured under the hole where it is strongest, and the name of that hole.

    Of a direction that was fitted to a factor, named in `meant`, it is a hole where that factor is
    what follows, and where it can be one where nothing else does.
    """
    parts = list(found.values())
    names = tuple(dict.fromkeys(name for each in parts for name in each.reader.names))
    columns = [[names.index(name) for name in each.reader.names] for each in parts]
    follows, reach = np.moveaxis(np.array([each.strength() for each in parts]), -1, 0)
    place = np.lexsort((reach, follows, [each.serves(meant) for each in parts]), axis=0)[-1]  # (L,)

    def picked(name: str) -> np.ndarray:
        return np.array([getattr(parts[p].control, name)[row] for row, p in enumerate(place)])

    def wide(name: str) -> np.ndarray:
        """With 0 for what cannot be read under the hole."""
        rows = np.zeros((len(place), len(names)))
        for row, p in enumerate(place):
            rows[row, columns[p]] = getattr(parts[p].control, name)[row]
        return rows

    related = np.eye(len(names), dtype=bool)
    for each, where in zip(parts, columns, strict=True):
        related[np.ix_(where, where)] |= each.control.related

    merged = Control(
        names=names,
        factor=np.array([columns[p][i] for p, i in zip(place, picked("factor"), strict=True)]),
        correlation=wide("correlation"),
        margin=picked("margin"),
        interval=picked("interval"),
        effect=wide("effect"),
        moved=wide("moved"),
        outside=picked("outside"),
        dead=picked("dead"),
        validation=wide("validation"),
        validation_margin=picked("validation_margin"),
        validation_moved=wide("validation_moved"),
        related=related,
    )
    return merged, [list(found)[p] for p in place]
