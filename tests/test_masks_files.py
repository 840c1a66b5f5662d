"""Masks as pictures: every kind of file an editor or a script may write."""

import numpy as np
import pytest
from PIL import Image

from csi_tf import masks


def white_box():
    """A hole of rows 2..5 and columns 1..3 on 8x8, as booleans."""
    white = np.zeros((8, 8), bool)
    white[2:6, 1:4] = True
    return white


def grey(levels):
    return Image.fromarray(np.asarray(levels))


def rgba(rgb, alpha):
    rgb = np.broadcast_to(rgb, (8, 8, 3)).astype(np.uint8)
    return Image.fromarray(np.dstack([rgb, alpha.astype(np.uint8)]))


def photograph():
    return np.arange(192).reshape(8, 8, 3) + 30


def palette(white):
    image = Image.fromarray(white.astype(np.uint8)).convert("P")
    image.putpalette([10, 10, 10, 240, 230, 220])
    return image


W = white_box()
ZOO = {
    "bits.png": grey(W * np.uint8(255)).convert("1"),
    "grey.png": grey(W * np.uint8(255)),
    "half.png": grey(np.where(W, 128, 127).astype(np.uint8)),
    "label.png": grey(W.astype(np.uint8)),  # 0 and 1: looks black
    "grey_alpha.png": grey(W * np.uint8(255)).convert("LA"),
    "rgb.png": grey(W * np.uint8(255)).convert("RGB"),
    "rgb_label.bmp": grey(W.astype(np.uint8)).convert("RGB"),
    "red.png": Image.fromarray((W[..., None] * np.array([255, 0, 0])).astype(np.uint8)),
    "opaque.png": grey(W * np.uint8(255)).convert("RGBA"),
    "palette.png": palette(W),
    "palette.gif": palette(W),
    "sixteen.png": grey(W.astype(np.uint16) * 65535),
    "sixteen_half.png": grey(np.where(W, 32768, 32767).astype(np.uint16)),
    "sixteen_label.png": grey(W.astype(np.uint16)),
    "sixteen_small.tif": grey(W.astype(np.uint16) * 255),
    "wide.tif": grey(W.astype(np.int32) * 65535),
    "float.tif": grey(W.astype(np.float32)),
    "float255.tif": grey(W.astype(np.float32) * 255),
    "cmyk.tif": grey(W * np.uint8(255)).convert("CMYK"),
    # alpha that varies: paint on an empty layer, in light or dark, thick or thin
    "white_paint.png": rgba(255, W * 255),
    "red_paint.png": rgba([230, 20, 20], W * 255),
    "thin_paint.png": rgba(255, W * 100),
    "black_around.png": rgba(0, ~W * 255),
    "grey_alpha_paint.png": Image.fromarray(np.dstack([W * np.uint8(255)] * 2)),
    "black_and_white.png": rgba(W[..., None] * 255, (W | (np.arange(8) < 6)) * 255),
    # a photograph with the hole erased, as editors and image services make them
    "erased.png": rgba(photograph(), ~W * 255),
}


@pytest.mark.parametrize("name", ZOO)
def test_pictures_of_every_kind_are_read(name, tmp_path):
    ZOO[name].save(tmp_path / name)
    mask = masks.from_file(tmp_path / name, 8)
    assert mask.shape == (8, 8, 1)
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask[..., 0] == 0, W)


def test_a_palette_with_a_transparent_entry(tmp_path):
    path = tmp_path / "mask.png"
    palette(W).save(path, transparency=0)  # the light entry painted on nothing
    np.testing.assert_array_equal(masks.from_file(path, 8)[..., 0] == 0, W)


@pytest.mark.parametrize(
    ("name", "hole"),
    [
        ("grey.png", ~W),
        ("label.png", ~W),
        ("white_paint.png", ~W),
        ("black_around.png", ~W),
        # transparent is context whenever both tones are painted, and hole in a photograph
        ("black_and_white.png", (np.arange(8) < 6) & ~W),
        ("erased.png", W),
    ],
)
def test_black_is_hole(name, hole, tmp_path):
    ZOO[name].save(tmp_path / name)
    mask = masks.from_file(tmp_path / name, 8, convention="black_is_hole")
    np.testing.assert_array_equal(mask[..., 0] == 0, hole)


@pytest.mark.parametrize("convention", masks.CONVENTIONS)
@pytest.mark.parametrize("colour", [0, 255])
def test_nothing_painted_is_no_hole(colour, convention, tmp_path):
    """Editors keep an empty layer as transparent black or as transparent white."""
    path = tmp_path / "empty.png"
    rgba(colour, np.zeros((8, 8))).save(path)
    assert masks.from_file(path, 8, convention).all()


def test_other_sizes_are_resized_by_nearest(tmp_path):
    path = tmp_path / "mask.png"
    noise = np.random.default_rng(0).random((8, 8)) < 0.5
    grey(noise.repeat(7, 0).repeat(7, 1) * np.uint8(255)).save(path)
    np.testing.assert_array_equal(masks.from_file(path, 8)[..., 0] == 0, noise)
    big = masks.from_file(path, 32)[..., 0] == 0
    np.testing.assert_array_equal(big, noise.repeat(4, 0).repeat(4, 1))


def test_a_file_of_another_shape_is_cut_like_a_photograph(tmp_path):
    """The centre square of an 8x14 picture is columns 3..10; no stretching."""
    path = tmp_path / "mask.png"
    wide = np.zeros((8, 14), bool)
    wide[:, 3:11] = W
    grey(wide * np.uint8(255)).save(path)
    np.testing.assert_array_equal(masks.from_file(path, 8)[..., 0] == 0, W)
    np.testing.assert_array_equal(masks.from_file(path, (8, 14))[..., 0] == 0, wide)
    grey(wide.T * np.uint8(255)).save(path)
    np.testing.assert_array_equal(masks.from_file(path, 8)[..., 0] == 0, W.T)


def test_the_orientation_of_cameras_is_honoured(tmp_path):
    path = tmp_path / "mask.png"
    exif = Image.Exif()
    exif[0x0112] = 3  # shown turned by 180 degrees
    grey(W[::-1, ::-1] * np.uint8(255)).save(path, exif=exif)
    np.testing.assert_array_equal(masks.from_file(path, 8)[..., 0] == 0, W)


@pytest.mark.parametrize("convention", masks.CONVENTIONS)
def test_writing_and_reading_is_exact(convention, tmp_path):
    for i, mask in enumerate(masks.sample("brush", 3, 33, 0)):
        path = tmp_path / f"{i}.png"
        masks.to_file(mask, path, convention)
        np.testing.assert_array_equal(masks.from_file(path, 33, convention), mask)
        other = next(c for c in masks.CONVENTIONS if c != convention)
        np.testing.assert_array_equal(masks.from_file(path, 33, other), 1 - mask)
    corner = masks.to_image(masks.named("top_half", 8), convention).getpixel((0, 0))
    assert corner == (255 if convention == "white_is_hole" else 0)


def test_bad_files_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"no mask file .*check the path"):
        masks.from_file(tmp_path / "nowhere.png", 8)
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    with pytest.raises(ValueError, match=r"not a PNG.* or TIFF image; convert it"):
        masks.from_file(text, 8)
    grey(W * np.uint8(255)).save(tmp_path / "whole.png")
    cut = tmp_path / "cut.png"
    cut.write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    with pytest.raises(ValueError, match="damaged"):
        masks.from_file(cut, 8)
    grey(W.astype(np.float32) - 2).save(tmp_path / "negative.tif")
    with pytest.raises(ValueError, match=r"values from -2 to -1.*8-bit grey PNG"):
        masks.from_file(tmp_path / "negative.tif", 8)
    with pytest.raises(ValueError, match=r"'white'.*white_is_hole or black_is_hole"):
        masks.from_file(tmp_path / "whole.png", 8, convention="white")
    with pytest.raises(ValueError, match=r"\.png"):
        masks.to_file(masks.named("nose", 8), tmp_path / "mask.jpg")
    with pytest.raises(ValueError, match="give one mask"):
        masks.to_file(masks.sample("nose", 2, 8, 0), tmp_path / "mask.png")


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    mask = masks.named("mouth", 8)
    masks.to_file(mask, "~/mask.png")
    assert (tmp_path / "mask.png").exists()
    np.testing.assert_array_equal(masks.from_file("~/mask.png", 8), mask)
    np.testing.assert_array_equal(masks.sample("file:~/mask.png", 1, 8, 0)[0], mask)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, "path is None; give it as text"),
        (3, "path is 3; give it as text"),
        ("x" * 300, "File name too long"),
        ("nul\0character.png", "no mask file"),
        (".", "is a folder"),
    ],
)
def test_impossible_paths_are_refused_in_one_sentence(path, words):
    with pytest.raises(ValueError, match=words):
        masks.from_file(path, 8)
    if isinstance(path, str):
        with pytest.raises(ValueError, match=words):
            masks.parse(f"file:{path}")


def test_other_formats_stay_closed(tmp_path):
    """Pillow hands some of them, such as EPS, to external programs."""
    grey(W * np.uint8(255)).convert("RGB").save(tmp_path / "mask.eps")
    with pytest.raises(ValueError, match="not a PNG"):
        masks.from_file(tmp_path / "mask.eps", 8)
