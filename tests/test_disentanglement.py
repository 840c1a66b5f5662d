"""MIG, SAP, DCI and the FactorVAE score on constructed codes whose scores are known."""

import math

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from csi_tf.data import procedural_faces
from csi_tf.evaluation import disentanglement as scores

ROWS = 4000
# Chance correlations of this many rows have standard deviation .016; the largest of three of them,
# squared, or its information in 20 bins after the correction, stays well below this.
CHANCE = 0.02


def normals(columns, seed=0, rows=ROWS):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def rotated(factors, angle):
    """The first two columns turned, the others as they are."""
    cos, sin = math.cos(angle), math.sin(angle)
    codes = factors.copy()
    codes[:, :2] = factors[:, :2] @ [[cos, sin], [-sin, cos]]
    return codes


def noise(factors, seed=9):
    return normals(factors.shape[1], seed, len(factors))


# MIG


def test_mig_of_a_perfect_code_is_one_in_any_order_and_scale():
    factors = procedural_faces.sample_factors(ROWS, seed=1)[:, :4]
    codes = np.exp(3 * factors[:, [2, 0, 3, 1]])
    found = scores.mig(codes, factors)
    assert found.score == pytest.approx(1, abs=CHANCE)
    np.testing.assert_array_equal(found.latent, [1, 3, 0, 2])


def test_mig_of_half_a_factor_is_the_part_of_its_entropy():
    """Ten levels, of which the code tells pairs apart: log 5 of log 10, by exact counts."""
    level = np.tile(np.arange(10), 400)
    codes = np.stack([level // 2, np.zeros_like(level)], axis=1)
    correction = (np.array([5, 10]) - 1) / (2 * 4000)
    known, whole = np.log([5, 10]) + correction
    assert scores.mig(codes, level[:, None]).score == pytest.approx(known / whole, abs=1e-12)


def test_mig_takes_the_information_of_counts():
    rng = np.random.default_rng(2)
    factor = rng.integers(6, size=ROWS)
    codes = np.stack([(factor + rng.integers(3, size=ROWS)) % 6, rng.integers(6, size=ROWS)], 1)
    plain = [mutual_info_score(column, factor) for column in codes.T]
    # Both latents fill 6 levels; the pairs fill 18 and 36 of their cells.
    corrected = np.add(plain, (2 * 5 + 1 - np.array([18, 36])) / (2 * ROWS))
    entropy = mutual_info_score(factor, factor) + 5 / (2 * ROWS)
    expected = (corrected[0] - corrected[1]) / entropy
    assert scores.mig(codes, factor[:, None]).score == pytest.approx(expected, abs=1e-12)


def test_information_of_noise_is_not_mistaken_for_signal():
    """Counts alone would find 19^2 / 2N = .045 nats in each latent; one of two is compared here."""
    factors = normals(1)
    codes = np.concatenate([noise(factors), np.zeros((ROWS, 1))], axis=1)
    assert abs(scores.mig(codes, factors).score) < CHANCE / 2


def test_a_factor_shared_by_two_latents_has_no_gap():
    factors = normals(3)
    twice = np.concatenate([factors, factors], axis=1)
    assert scores.mig(twice, factors).score == 0
    assert scores.sap(twice, factors).score == 0


def test_mig_falls_as_the_code_turns():
    factors = normals(2)
    found = [scores.mig(rotated(factors, angle), factors).score for angle in (0, 0.3, 0.6)]
    assert found[0] > found[1] + 0.1 > found[2] + 0.2
    assert abs(scores.mig(rotated(factors, math.pi / 4), factors).score) < CHANCE


def test_mig_wants_rows():
    with pytest.raises(ValueError, match="399 rows are too few for MIG with 20 bins; pass 400"):
        scores.mig(normals(2, rows=399), normals(2, rows=399))


# SAP


@pytest.mark.parametrize("angle", [0.0, 0.2, 0.5, math.pi / 4])
def test_sap_of_a_turned_code_is_the_cosine_of_twice_the_angle(angle):
    # Orthonormal columns make it exact: cos^2 - sin^2 for both factors.
    factors = np.linalg.qr(normals(2) - normals(2).mean(0))[0]
    found = scores.sap(rotated(factors, angle), factors)
    assert found.score == pytest.approx(math.cos(2 * angle), abs=1e-9)


def test_sap_of_a_dead_latent_is_no_division_by_zero():
    factors = normals(2)
    codes = np.concatenate([factors, np.full((ROWS, 1), 3.0)], axis=1)
    assert scores.sap(codes, factors).score == pytest.approx(1, abs=CHANCE)
    assert scores.sap(np.zeros((ROWS, 2)), factors).score == 0


# DCI


@pytest.mark.parametrize(
    ("importance", "disentanglement", "completeness"),
    [
        (np.eye(3)[[2, 0, 1]], 1, 1),
        (np.full((3, 3), 1 / 3), 0, 0),
        # Two latents for each of two factors, and one latent for nothing
        (np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]]) / 2, 1, 1 - math.log(2) / math.log(5)),
        # One latent for two factors of four
        ([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], (2 * 0.5 + 1 + 1) / 4, 1),
    ],
)
def test_specialisation_in_closed_form(importance, disentanglement, completeness):
    found = scores.specialisation(importance)
    np.testing.assert_allclose(found, (disentanglement, completeness), atol=1e-12)


def test_dci_orders_perfect_entangled_and_noise():
    train, held_out = normals(3, 1, 400), normals(3, 2, 400)
    encoders = (
        lambda f: f[:, [1, 2, 0]],
        lambda f: rotated(f, math.pi / 4),
        noise,
    )
    perfect, entangled, dead = (
        scores.dci(encode(train), train, encode(held_out), held_out, trees=40)
        for encode in encoders
    )
    # Steps of 40 trees approximate a line, so R^2 is below 1; other columns get chance splits.
    assert perfect.informativeness > 0.9
    assert min(perfect.disentanglement, perfect.completeness) > 0.95
    np.testing.assert_array_equal(perfect.importance.argmax(axis=0), [2, 0, 1])
    # Two of the three factors are spread evenly over two latents: 1 - log 2 / log 3 = .37 each.
    assert entangled.disentanglement == pytest.approx((1 + 2 * 0.37) / 3, abs=0.1)
    assert entangled.informativeness > 0.7
    assert dead.informativeness < 0.05
    assert dead.disentanglement < 0.2


# FactorVAE


def factor_vae(encode, active=None, groups=200):
    factors = procedural_faces.sample_factors(groups * 32, seed=4)[:, :6]
    held_one, held = scores.hold_one(factors, 32, seed=1)
    codes = encode(held_one.reshape(-1, 6)).reshape(groups, 32, -1)
    return scores.factor_vae(codes, held, encode(factors).std(0), active)


def test_groups_share_one_factor_and_nothing_else():
    factors = procedural_faces.sample_factors(8 * 50, seed=3)
    groups, held = scores.hold_one(factors, 8, seed=0)
    shared = (groups == groups[:, :1]).all(axis=1)
    np.testing.assert_array_equal(shared, np.eye(factors.shape[1], dtype=bool)[held])
    np.testing.assert_array_equal(groups[:, 0], factors[::8])
    assert len(set(held)) > 10  # of 18, in 50 draws


def test_factor_vae_of_a_perfect_code_is_one():
    assert factor_vae(lambda f: f[:, ::-1] * [1, 9, -1, 5, 0.1, 2]) == 1
    # Noise of a tenth of each latent's scale, which is all that varies where its factor is held
    scale = np.array([1, 9, 0.1, 5, 0.5, 2])
    assert factor_vae(lambda f: (f / f.std(0) + 0.1 * noise(f)) * scale) == 1
    # A latent that never moves varies least of all, and must not get every vote.
    assert factor_vae(lambda f: np.concatenate([f, np.zeros((len(f), 1))], axis=1)) == 1


def test_factor_vae_leaves_latents_out_that_are_not_active():
    """A mean that trembles with a factor, far below its posterior's width, counts like any."""

    def encode(factors):
        tremble = 1e-5 * (factors[:, :1] + np.random.default_rng(0).normal(size=(len(factors), 1)))
        return np.concatenate([factors[:, 1:], tremble], axis=1)

    active = np.array([True] * 5 + [False])
    assert factor_vae(encode) > factor_vae(encode, active)
    # The five that are left cannot tell the sixth factor: nearly 5/6, a few groups more or less.
    assert factor_vae(encode, active) == pytest.approx(5 / 6, abs=0.12)


def test_factor_vae_of_noise_and_of_nothing_is_chance():
    # Of 100 scored groups a sixth, with standard deviation .037, and a bit for the commonest.
    for encode in (noise, np.zeros_like):
        assert factor_vae(encode) == pytest.approx(1 / 6, abs=0.13)


def test_factor_vae_of_factors_mixed_in_pairs_is_a_half():
    """Either latent of a pair says that one of two factors was held, and not which."""
    mixing = np.kron(np.eye(3), [[1, 1], [1, -1]])
    scale = procedural_faces.sample_factors(1000)[:, :6].std(0)
    # Of 100 scored groups, with standard deviation .05; the latents' majorities are no better.
    assert factor_vae(lambda f: f / scale @ mixing) == pytest.approx(0.5, abs=0.15)


# Mistakes


@pytest.mark.parametrize("score", [scores.mig, scores.sap])
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.ones((5, 2)), np.ones((4, 2)), "of the same pictures"),
        (np.ones((5, 1)), np.ones((5, 2)), "two or more latents"),
        (np.full((5, 2), np.nan), np.eye(5), "codes has numbers that are not finite"),
        (np.eye(5), np.ones((5, 1)), "factor 0 is the same in every row"),
    ],
)
def test_mistakes(score, codes, factors, message):
    with pytest.raises(ValueError, match=message):
        score(codes, factors)


def test_mistakes_of_groups_and_importances():
    with pytest.raises(ValueError, match="multiple of the 3 rows"):
        scores.hold_one(np.ones((4, 2)), 3, seed=0)
    with pytest.raises(ValueError, match="with two or more groups"):
        scores.factor_vae(np.ones((1, 3, 2)), [0], [1, 1])
    with pytest.raises(ValueError, match="numbers of 0 or more"):
        scores.specialisation([[1, -1], [0, 1]])
