"""Completions with z ~ N(0, 3I): noise in the last corner of the hole is seen, and only there."""

from types import SimpleNamespace

import numpy as np
import pytest

from csi_tf import masks
from csi_tf.data import procedural_faces
from csi_tf.evaluation.parts import wide_z
from csi_tf.evaluation.parts.wide_z import corner_noise, corner_steps
from csi_tf.evaluation.report import Report

SIZE = 32


@pytest.fixture(scope="module")
def faces():
    return procedural_faces.generate("test", SIZE, stop=12)["images"]


def noisy(images, rows, columns):
    made = np.repeat(images[:, None], 3, axis=1)
    part = made[..., rows, columns, :]
    part[...] = np.random.default_rng(0).integers(0, 256, part.shape)
    return made


def ratio(images, completions, mask):
    context = np.broadcast_to(masks.named(mask, SIZE), (len(images), SIZE, SIZE, 1))
    return corner_noise(corner_steps(images, completions, context))


def test_real_images_have_none(faces):
    assert ratio(faces, faces[:, None], "center") == pytest.approx(1)


def test_noise_in_the_last_corner_is_seen(faces):
    """The hole is 8:24 both ways, and its last quarter 16:24."""
    assert ratio(faces, noisy(faces, slice(16, 24), slice(16, 24)), "center") > 3


def test_noise_all_over_the_hole_is_not_of_the_corner(faces):
    """Real faces are not equally rough in both quarters, so this is not 1."""
    everywhere = ratio(faces, noisy(faces, slice(8, 24), slice(8, 24)), "center")
    in_the_corner = ratio(faces, noisy(faces, slice(16, 24), slice(16, 24)), "center")
    assert everywhere < in_the_corner / 2


def test_noise_in_another_corner_is_not_counted(faces):
    assert ratio(faces, noisy(faces, slice(16, 24), slice(8, 16)), "center") == pytest.approx(1)


def test_holes_too_small_to_have_quarters_are_passed_over(faces):
    context = np.ones((len(faces), SIZE, SIZE, 1), np.float32)
    context[:, 4:7, 4:7] = 0
    assert len(corner_steps(faces, faces[:, None], context)) == 0


def test_completions_with_set_and_with_inferred_z_are_told_apart(faces, monkeypatch):
    corner = slice(16, 24)
    set_ = SimpleNamespace(images=noisy(faces, corner, corner))
    inferred = SimpleNamespace(images=np.repeat(faces[:, None], 2, axis=1))
    monkeypatch.setattr(wide_z, "inpaint", lambda *_, **how: set_ if how["z"] == 3 else None)
    subject = SimpleNamespace(
        model=None,
        pictures=faces,
        settings=SimpleNamespace(mask_names=("center",), num_samples=3, batch=1),
        context_mask=lambda name, count: np.stack([masks.named(name, SIZE)] * count),
        seed=lambda part: 0,
        completions=lambda name: inferred,
    )
    report = Report()
    wide_z.measure(subject, report)
    assert report.measures["wide_z/center/corner_noise"].estimate > 3
    assert report.measures["wide_z/center/corner_noise_inferred"].estimate == pytest.approx(1)
