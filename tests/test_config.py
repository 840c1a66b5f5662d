"""Settings: checked when made, and the same after a trip through JSON."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace
from typing import get_type_hints

import pytest

from csi_tf.config import (
    Config,
    DataConfig,
    LoopConfig,
    MaskConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    RunConfig,
)

CONFIG = Config(RunConfig("data"))
OTHER = Config(
    RunConfig("summary", "somewhere/else", 7, "cpu"),
    DataConfig("npz:a, b.npz", 64, "data", True, 10),
    MaskConfig("rectangle:0.6,brush:0.4", "black_is_hole"),
    ModelConfig(
        latent_dim=16,
        encoder_filters=8,
        filters=48,
        receptive_field="9x9",
        field_mode="exact",
        mixtures=5,
        dropout=0.1,
        reverse=False,
        reverse_features=20,
        conditioning="published",
        hole_fill="zeros",
        weight_norm=True,
        nonlinearity="concat_elu",
        full_image_encoder=True,
    ),
    ObjectiveConfig("beta_tcvae", 5, 1e5 / 3, 256, "published"),
    OptimiserConfig(1e-3, 5e-4, 32, 3, 1000, 10, "cosine", 1.0, 0.999, 5, "mixed_bfloat16", True),
    LoopConfig("some/run", "published", 1, 2, 3, 4, 5, 6, "skip", "one", True),
)


WARM = Config(
    RunConfig("stage1"), loop=LoopConfig(warm_start="some/model", warm_start_parts="pixelcnn")
)


def test_other_differs_everywhere():
    """What the round trips below are worth depends on it."""
    for group in fields(Config):
        kind = get_type_hints(Config)[group.name]
        for setting in fields(kind):
            same = getattr(getattr(CONFIG, group.name), setting.name)
            # full_image_encoder needs latents, and the others are for some modes only
            if setting.name in ("warm_start", "warm_start_parts"):
                assert getattr(WARM.loop, setting.name) != same, setting.name
            elif setting.name not in ("latents", "smoke", "only", "test_images"):
                assert getattr(getattr(OTHER, group.name), setting.name) != same, setting.name


@pytest.mark.parametrize("config", [CONFIG, OTHER, WARM], ids=["defaults", "other", "warm"])
def test_json_round_trip(config):
    assert Config.from_json(config.to_json()) == config


def test_json_may_leave_settings_out():
    assert Config.from_json('{"run": {"mode": "data"}}') == CONFIG


def test_defaults_are_the_papers():
    model, objective, optimiser = CONFIG.model, CONFIG.objective, CONFIG.optimiser
    assert (model.latent_dim, model.filters, model.mixtures, model.dropout) == (32, 100, 10, 0.5)
    assert model.blocks_and_field() == (5, None)
    assert (objective.objective, objective.mmd_weight) == ("info_vae_mmd", 2e6)
    assert (optimiser.learning_rate, optimiser.batch_size) == (1e-4, 64)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modle": {}}, ["'modle'", "run, data, masks, model"]),
        ({"model": {"filtres": 3}}, ["'filtres'", "filters, receptive_field"]),
        ({"model": 3}, ["model", "object"]),
        ({"model": {"filters": "48"}}, ["filters", "whole number", "'48'"]),
        ({"model": {"filters": 48.0}}, ["filters", "whole number"]),
        ({"model": {"filters": True}}, ["filters", "whole number", "true"]),
        ({"model": {"filters": None}}, ["filters", "whole number"]),
        ({"model": {"filters": 0}}, ["filters", "at least 1"]),
        ({"model": {"reverse": 1}}, ["reverse", "true or false"]),
        ({"model": {"dropout": 1.0}}, ["dropout", "below 1"]),
        ({"model": {"hole_fill": "grey"}}, ["hole_fill", "noise, zeros", "'grey'"]),
        ({"model": {"receptive_field": "7x14"}}, ["receptive_field", "7x15", "7x14"]),
        ({"objective": {"mmd_weight": float("nan")}}, ["mmd_weight", "finite"]),
        ({"objective": {"objective": "vae", "beta": 5}}, ["beta", "vae", "beta_tcvae"]),
        ({"optimiser": {"learning_rate": 0}}, ["learning_rate", "above 0"]),
        ({"model": {"latents": False, "full_image_encoder": True}}, ["full_image_encoder"]),
        *(
            ({"run": {"mode": mode}, "loop": {"stage1": "a/run"}}, ["stage1", mode, "leave it out"])
            for mode in ("train", "stage1", "one_stage")
        ),
        (
            {"run": {"mode": "reproduce"}, "model": {"latents": False}},
            ["reproduce", "leave out --nolatents"],
        ),
        ({"data": {"image_size": 8}}, ["image_size", "16"]),
        ({"data": {"dataset": "two\nlines"}}, ["dataset", "single line"]),
        ({"run": {"mode": "trian"}}, ["mode", "data", "trian"]),
        ({"run": {}}, ["mode"]),
        ({"run": {"mode": "data", "seed": -1}}, ["seed"]),
    ],
    ids=str,
)
def test_from_json_rejects(changes, words):
    groups = {"run": {"mode": "data"}} | changes
    with pytest.raises(ValueError, match=r"^.+$") as caught:  # one line
        Config.from_json(json.dumps(groups))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}"])
def test_from_json_rejects_what_is_no_configuration(text):
    with pytest.raises(ValueError, match=r"JSON|needs the group run"):
        Config.from_json(text)


def test_whole_numbers_stand_in_for_floats():
    dropout = ModelConfig(dropout=0).dropout
    assert isinstance(dropout, float)


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        CONFIG.model.filters = 3


def test_replace_checks_again():
    with pytest.raises(ValueError, match="filters"):
        replace(CONFIG.model, filters=-1)


def test_exact_fields_have_odd_columns():
    exact = ModelConfig(receptive_field="7x15", field_mode="exact")
    assert exact.blocks_and_field() == (5, (7, 15))
    with pytest.raises(ValueError, match="odd"):
        ModelConfig(receptive_field="7x14", field_mode="exact")


def test_import_is_light():
    """The NumPy route starts without TensorFlow."""
    code = (
        "import sys, csi_tf, csi_tf.config; print(csi_tf.__version__, csi_tf.masks.NAMES[0]);"
        "sys.exit(bool({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "center"
