"""--mode=summary says what the model is, layer by layer."""

import re

import keras
import pytest
import tiny

from csi_tf import model as models
from csi_tf import summary
from csi_tf.config import ModelConfig
from csi_tf.decoder import Decoder
from csi_tf.encoder import Encoder


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("changes", [{}, {"conditioning": "published"}, {"reverse": False}])
def test_the_rows_add_up_to_the_model(size, changes):
    config = ModelConfig(**tiny.MODEL | changes)
    rows = [f(config, size) for f in (summary.encoder, summary.decoder, summary.pixel_cnns)]
    found = sum(row.parameters for part in rows for row in part)
    assert found == models.CSIModel(config, size).count_trainable()


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_shapes_are_those_that_come_out(size):
    config = ModelConfig(**tiny.MODEL)

    def shapes(network, *input_shape):
        x = keras.ops.zeros((1, *input_shape))
        for convolution in network.body[::2]:
            x = convolution(x)
            yield " x ".join(map(str, x.shape[1:]))

    _, *rows, _, _ = summary.encoder(config, size)
    assert [row.output for row in rows] == list(shapes(Encoder(4, size, 4), size, size, 4))
    _, _, *rows = summary.decoder(config, size)
    assert [row.output for row in rows] == list(shapes(Decoder(4, size, 4), 1, 1, 64))


def test_the_table_of_the_paper():
    """Layer by layer as printed, but for its last row, which is a slip (docs/deviations.md)."""
    names = [row.name for row in summary.encoder(ModelConfig(), 32)]
    assert names == [
        "image and mask",
        "1x1 conv. 32, BatchNorm, ELU",
        "4x4 conv. 64, stride 2, BatchNorm, ELU",
        "4x4 conv. 128, stride 2, BatchNorm, ELU",
        "4x4 conv. 256, stride 2, BatchNorm, ELU",
        "4x4 conv. 512, valid, BatchNorm, ELU",
        "FC 32, BatchNorm: mean",
        "FC 32, BatchNorm: log-variance",
    ]
    names = [row.name for row in summary.decoder(ModelConfig(), 32)]
    assert names == [
        "latents",
        "FC 512, BatchNorm, ELU",
        "4x4 deconv. 256, valid, BatchNorm, ELU",
        "4x4 deconv. 128, stride 2, BatchNorm, ELU",
        "4x4 deconv. 64, stride 2, BatchNorm, ELU",
        "4x4 deconv. 32, stride 2, BatchNorm, ELU",
    ]


@pytest.mark.parametrize("latents", [True, False])
def test_what_is_printed_is_kept(tmp_path, capsys, monkeypatch, latents):
    monkeypatch.setenv("FORCE_COLOR", "1")  # which is not for files
    monkeypatch.setenv("TERM", "xterm")
    config = tiny.config("summary", model={"latents": latents})
    summary.write(config, tmp_path)
    kept = (tmp_path / "summary.txt").read_text()
    assert "\x1b" not in kept
    count = models.CSIModel(config.model, 16).count_trainable()
    for text in (kept, re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)):
        assert f"All networks: {count:,} trainable parameters" in text
        assert ("8 x 8 x 8" in text) == latents, "an encoder that halves 16 pixels"
