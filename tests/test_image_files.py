"""Whatever is in an image file, what comes out is its picture as 8-bit RGB, or one sentence."""

import logging
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from csi_tf.data import image_files
from csi_tf.data.errors import DataError, ImageFileError


def ramp(height=12, width=16):
    """A picture without symmetry, so that turns, mirrors and channel swaps show."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 12, y * 7, (x + y) * 5], -1).astype(np.uint8)


def save(tmp_path, name, array, mode=None, **options):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "A.PNG"])
def test_lossless_files_come_back_exactly(tmp_path, name):
    assert np.array_equal(image_files.read_image(save(tmp_path, name, ramp())), ramp())


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp"])
def test_lossy_files_come_back_nearly(tmp_path, name):
    # Smooth ramps at quality 95 lose a few levels to the chroma planes at half resolution.
    read = image_files.read_image(save(tmp_path, name, ramp(32, 20), quality=95))
    assert read.shape == (32, 20, 3)
    assert np.abs(read.astype(int) - ramp(32, 20)).mean() < 4


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = ramp()[..., 0]
    read = image_files.read_image(save(tmp_path, "grey.png", grey))
    assert np.array_equal(read, np.repeat(grey[..., None], 3, -1))


def test_one_bit_is_black_and_white(tmp_path):
    bits = ramp()[..., 0] > 90
    read = image_files.read_image(save(tmp_path, "bits.png", bits))
    assert np.array_equal(read[..., 1], bits * 255)


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path):
    deep = np.linspace(0, 65535, 12 * 16).reshape(12, 16).astype(np.uint16)
    read = image_files.read_image(save(tmp_path, "deep.png", deep))
    assert read.min() == 0
    assert read.max() == 255
    # Rounding to the nearest level is half a level off at most.
    assert np.abs(read[..., 0] - deep / 257).max() <= 0.5


def test_a_dark_file_of_sixteen_bits_stays_dark(tmp_path):
    deep = np.full((4, 6), 200, np.uint16)
    path = save(tmp_path, "dark.png", deep)
    assert (image_files.read_image(path) == 1).all()
    with Image.open(path) as image:
        assert (image_files.to_rgb(image) == 1).all()


@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
def test_numbers_that_may_be_of_eight_bits_or_of_sixteen_are_refused(dtype):
    """Those of 8 would become black."""
    grey = np.arange(56, 256, dtype=dtype).reshape(10, 20)
    image = Image.fromarray(grey)
    with pytest.raises(DataError, match=f"mode {image.mode} with values up to 255, which") as said:
        image_files.to_rgb(image)
    advice = str(said.value).rpartition("give ")[2].rstrip(".")
    better = eval(advice, {"np": np, "Image": Image, "image": image})
    assert np.array_equal(image_files.to_rgb(better)[..., 1], grey)
    assert image_files.to_rgb(Image.fromarray(grey * 257)).max() == 255
    assert not image_files.to_rgb(Image.fromarray(grey * 0)).any()


def test_floats_are_refused():
    image = Image.fromarray(np.full((4, 6), 0.8, np.float32))
    with pytest.raises(DataError, match=r"mode F; expected uint8.*scale floats in \[0, 1\] by"):
        image_files.to_rgb(image)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_over_white(tmp_path, mode):
    rgba = np.dstack([ramp(), np.full((12, 16), 255, np.uint8)])
    rgba[:6, :, 3] = 0
    rgba[6, :, 3] = 128
    path = save(tmp_path, "alpha.png", rgba, mode)
    read = image_files.read_image(path).astype(int)
    opaque = np.asarray(Image.fromarray(rgba).convert(mode).convert("RGB")).astype(int)
    assert (read[:6] == 255).all()
    assert np.array_equal(read[7:], opaque[7:])
    # Half covered: half way to white, give or take the compositing's rounding.
    assert np.abs(read[6] - (opaque[6] * 128 + 255 * 127) / 255).max() <= 1


def test_palette_files_with_and_without_transparency(tmp_path):
    numbers = (np.arange(12 * 16).reshape(12, 16) % 3).astype(np.uint8)
    image = Image.fromarray(numbers).convert("P")
    image.putpalette([250, 10, 20, 30, 240, 40, 50, 60, 230])
    colours = np.array([[250, 10, 20], [30, 240, 40], [50, 60, 230]], np.uint8)
    image.save(tmp_path / "plain.png")
    assert np.array_equal(image_files.read_image(tmp_path / "plain.png"), colours[numbers])
    image.save(tmp_path / "clear.png", transparency=1)
    colours[1] = 255
    assert np.array_equal(image_files.read_image(tmp_path / "clear.png"), colours[numbers])
    image.save(tmp_path / "clear_bytes.png", transparency=b"\xff\x00\xff")
    assert np.array_equal(image_files.read_image(tmp_path / "clear_bytes.png"), colours[numbers])


def test_cmyk_photographs_are_not_negatives(tmp_path):
    path = save(tmp_path, "print.jpg", np.full((16, 16, 3), [200, 100, 50], np.uint8), "CMYK")
    with Image.open(path) as image:
        assert image.mode == "CMYK"
    # JPEG's own loss on a flat colour is a level or two.
    assert np.abs(image_files.read_image(path).astype(int) - [200, 100, 50]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(tmp_path, orientation):
    undone = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, "turned.png", ramp(), exif=exif)
    assert np.array_equal(image_files.read_image(path), undone(ramp()))


@pytest.mark.parametrize("exif", [b"Exif\0\0no TIFF file", b"Exif\0\0II"])
@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_exif_that_cannot_be_read_leaves_the_picture_as_it_is(tmp_path, name, exif):
    Image.fromarray(ramp()).save(tmp_path / name, exif=exif, lossless=True)
    assert np.array_equal(image_files.read_image(tmp_path / name), ramp())


def test_an_animation_gives_its_first_frame(tmp_path):
    first, second = Image.fromarray(ramp()), Image.fromarray(255 - ramp())
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    assert np.array_equal(image_files.read_image(tmp_path / "a.webp"), ramp())


def test_of_an_animation_it_is_said_that_one_frame_is_kept(tmp_path):
    first, second = Image.fromarray(ramp()), Image.fromarray(255 - ramp())
    for name, form in (("a.png", "PNG"), ("a.webp", "WEBP"), ("a.jpg", "MPO")):
        first.save(tmp_path / name, form, save_all=True, append_images=[second])
        first.save(tmp_path / f"still-{name}")
        lost = ["only the first of its frames is kept"] if form != "MPO" else []
        assert image_files.losses(tmp_path / name) == lost
        assert not image_files.losses(tmp_path / f"still-{name}")


def png_claiming(width, height):
    """A PNG whose header claims a size, over hardly any data."""

    def block(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", header) + block(b"IDAT", b"") + block(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 100_000])
def test_decompression_bombs_are_refused_before_decoding(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_claiming(side, side))
    with pytest.raises(ImageFileError, match="larger than"):
        image_files.read_image(tmp_path / "bomb.png")


def test_unreadable_files_are_refused_in_one_sentence(tmp_path):
    whole = save(
        tmp_path, "whole.jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), "u1")
    )
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    save(tmp_path, "other.gif", ramp())
    for name, words in {
        "cut.jpg": "damaged",
        "empty.png": "not a PNG",
        "text.png": "not a PNG",
        "other.gif": "not a PNG",
        "missing.png": "no file",
        ".": "folder",
    }.items():
        with pytest.raises(ImageFileError, match=words) as caught:
            image_files.read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)


def test_camera_files_with_a_second_picture_inside(tmp_path):
    picture = Image.fromarray(ramp(32, 20))
    picture.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[picture], quality=95)
    assert image_files.read_image(tmp_path / "a.jpg").shape == (32, 20, 3)


def test_center_crop_takes_the_middle():
    frame = np.arange(218 * 178 * 3).reshape(218, 178, 3)
    assert np.array_equal(image_files.center_crop(frame, 128), frame[45:173, 25:153])
    assert np.array_equal(image_files.center_crop(frame), frame[20:198])
    batch = np.stack([frame, frame + 1])
    assert np.array_equal(image_files.center_crop(batch, 128)[1], frame[45:173, 25:153] + 1)
    with pytest.raises(DataError, match="1 to 178"):
        image_files.center_crop(frame, 179)


def test_resize_agrees_with_tensorflow():
    import tensorflow as tf

    images = np.random.default_rng(1).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    for size in (32, 50, 150):
        ours = image_files.resize_antialiased(images, size)
        theirs = tf.image.resize(images, (size, size), "bicubic", antialias=True).numpy()
        # The nearest level is half a level off at most; TensorFlow reads its kernel from a table,
        # which moves noise by thousandths of a level.
        assert np.abs(ours - np.clip(theirs, 0, 255)).max() <= 0.51


def test_resize_does_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = image_files.resize_antialiased(stripes, 16)
    # Away from the edges, where the filter is cut, the stripes average out to grey.
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 2


def test_resize_to_the_same_size_changes_nothing():
    assert np.array_equal(image_files.resize_antialiased(ramp(16, 16), 16), ramp(16, 16))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((8, 8, 3)), r"scale floats"),
        (np.zeros((8, 8, 3), np.int64), "int64; expected uint8"),
        (np.zeros((8, 8), np.uint8), r"np\.repeat\(x\[\.\.\., None\], 3, axis=-1\)"),
        (np.zeros((2, 8, 8, 1), np.uint8), r"np\.repeat\(x, 3, axis=-1\)"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"with x\[\.\.\., :3\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"np\.moveaxis\(x, -3, -1\)"),
        (np.zeros(3, np.uint8), r"\(3,\); expected \(\.\.\., height, width, 3\)\.$"),
        (np.zeros((0, 8, 3), np.uint8), "0x8 pixels"),
        ([[0]], "got list; expected a NumPy array.*np.asarray"),
        (None, "got NoneType; expected a NumPy array"),
    ],
)
def test_resize_refuses_other_arrays(images, words):
    with pytest.raises(DataError, match=words):
        image_files.resize_antialiased(images, 4)


def test_the_advice_on_channels_works():
    """What each message says to do makes the very array acceptable."""
    for shape in ((2, 8, 8), (2, 8, 8, 1), (2, 8, 8, 4), (2, 3, 8, 8)):
        x = np.zeros(shape, np.uint8)
        advice = image_files.rgb_hint(shape).rsplit("with ", 1)[1]
        assert eval(advice, {"np": np, "x": x}).shape == (2, 8, 8, 3)


@pytest.mark.parametrize("size", [16.0, "16", None, (16, 16), 0, True])
def test_resize_takes_whole_sizes_only(size):
    with pytest.raises(ValueError, match="give a whole number of at least 1"):
        image_files.resize_antialiased(ramp(), size)


@pytest.mark.parametrize(
    ("image", "crop", "words"),
    [
        ([[0]], None, "got list"),
        (None, None, "got NoneType"),
        (ramp(), 4.0, "crop is 4.0"),
        (ramp(), 0, "crop is 0"),
        (ramp()[:0], None, "0x16 pixels"),
        (ramp()[..., 0], None, r"image\[\.\.\., None\]"),
    ],
)
def test_center_crop_refuses_what_it_cannot_cut(image, crop, words):
    with pytest.raises(ValueError, match=words):
        image_files.center_crop(image, crop)


@pytest.mark.parametrize("call", [image_files.read_image, image_files.list_images])
@pytest.mark.parametrize("path", [None, 3, ["a.png"]])
def test_paths_are_text_or_paths(call, path):
    with pytest.raises(ValueError, match=r"give it as text or as a pathlib\.Path"):
        call(path)


def test_links_to_folders_are_followed_once(tmp_path):
    """A link into its own ancestor is a cycle; two links to one folder would double its images."""
    save(tmp_path, "elsewhere/a.png", ramp())
    save(tmp_path, "pictures/own/b.png", ramp())
    (tmp_path / "pictures/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "pictures/more again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "pictures/own/up").symlink_to(tmp_path / "pictures")
    root = tmp_path / "pictures"
    found = [path.relative_to(root).as_posix() for path in image_files.list_images(root)]
    assert found == ["more/a.png", "own/b.png"]


@pytest.fixture
def deny(monkeypatch):
    """Closes folders of some names, which chmod cannot do to a test that runs as root."""
    scandir = os.scandir

    def close(*names):
        def closed(path):
            if os.path.basename(path) in names:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", closed)

    return close


def test_unreadable_folders_are_counted_and_named(tmp_path, caplog, deny):
    for name in ("a/1.png", "b/2.png", "c/3.png"):
        save(tmp_path, name, ramp())
    deny("a", "c")
    assert [path.name for path in image_files.list_images(tmp_path)] == ["2.png"]
    assert "2 folders" in caplog.text
    for name in "ac":
        assert f"{tmp_path / name} (Permission denied)" in caplog.text
    deny(tmp_path.name)
    with pytest.raises(DataError, match=f"no access to {tmp_path} "):
        image_files.list_images(tmp_path)


def test_listing_is_sorted_recursive_and_skips_what_is_hidden(tmp_path):
    for name in ("b/2.png", "b/10.png", "a/x.JPG", "c.webp", ".hidden/y.png", "b/._2.png"):
        save(tmp_path, name, ramp(), format="PNG")
    (tmp_path / "notes.txt").write_text("no image")
    found = [p.relative_to(tmp_path).as_posix() for p in image_files.list_images(tmp_path)]
    assert found == ["a/x.JPG", "b/10.png", "b/2.png", "c.webp"]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"No image lies under"):
        image_files.list_images(tmp_path / "none")
    with pytest.raises(DataError, match="There is no folder"):
        image_files.list_images(tmp_path / "absent")


def written_by_us():
    said = PngInfo()
    said.add_text(image_files.RECORD, "{}")
    return {"format": "PNG", "pnginfo": said}


def test_what_this_program_has_written_is_left_out(tmp_path, caplog):
    for name in ("a.png", "sub/b.png", "run/panels/e.png"):
        save(tmp_path, name, ramp())
    for name in ("filled/c.png", "filled/more/d.png"):
        save(tmp_path, name, ramp(), **written_by_us())
    for name in ("run/config.json", "sub/config.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "filled/results.jsonl").write_text('{"input": "b.png", "error": "no mask"}\n')
    for name in ("sub", "run"):
        (tmp_path / name / "results.jsonl").write_text('{"loss": 1.0}\n')  # somebody else's

    def listed(folder):
        return [p.relative_to(folder).as_posix() for p in image_files.list_images(folder)]

    assert listed(tmp_path) == ["a.png", "run/panels/e.png", "sub/b.png"]
    caplog.clear()
    (tmp_path / "run/flagfile.txt").write_text("")
    for _ in range(2):
        assert listed(tmp_path) == ["a.png", "sub/b.png"]
    left = ", ".join(str(tmp_path / name) for name in ("filled/c.png", "filled/more/d.png", "run"))
    assert caplog.text.count(f"written: {left}\n") == 1
    assert listed(tmp_path / "filled") == ["c.png", "more/d.png"], "which was asked for by name"


def test_of_pictures_and_their_results_in_one_folder_the_pictures_are_taken(tmp_path, caplog):
    for name in ("anna/face.png", "anna/more/other.jpg"):
        save(tmp_path, name, ramp())
    for name in ("anna/face-000.png", "anna/face-grid.png", "anna/more/other-000.png"):
        save(tmp_path, name, ramp(), **written_by_us())
    save(tmp_path, "ben/kept.png", ramp(), **written_by_us())  # moved to where no results are
    (tmp_path / "anna/results.jsonl").write_text('{"input": "face.png"}\n')
    found = [p.relative_to(tmp_path).as_posix() for p in image_files.list_images(tmp_path)]
    assert found == ["anna/face.png", "anna/more/other.jpg", "ben/kept.png"]
    left = ", ".join(str(tmp_path / "anna" / f"face-{name}.png") for name in ("000", "grid"))
    assert f"written: {left}, {tmp_path / 'anna/more/other-000.png'}\n" in caplog.text
    own = [path.name for path in image_files.list_images(tmp_path / "anna")]
    assert own == ["face.png", "other.jpg"]


def test_pictures_of_other_formats_are_named(tmp_path, caplog):
    for name in ("a.png", "b.tif"):
        save(tmp_path, name, ramp())
    for name in ("c.HEIC", ".d.gif", "notes.txt"):
        (tmp_path / name).write_bytes(b"whatever")
    assert [path.name for path in image_files.list_images(tmp_path)] == ["a.png"]
    assert f"is read: {tmp_path / 'b.tif'}, {tmp_path / 'c.HEIC'}" in caplog.text
    assert ".d.gif" not in caplog.text


def test_broken_files_are_counted_named_and_skipped(tmp_path, caplog):
    paths = [save(tmp_path, f"{n}.png", np.full((8, 8, 3), n, np.uint8)) for n in range(4)]
    paths[1].write_bytes(b"broken")
    with caplog.at_level(logging.WARNING):
        read = list(image_files.read_squares(paths, 4))
    assert [number for number, _ in read] == [0, 2, 3]
    assert [int(image.mean()) for _, image in read] == [0, 2, 3]
    assert "1 of 4" in caplog.text
    assert "1.png" in caplog.text
    caplog.clear()
    for path in paths:
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"All 4 .*3\.png"):
        list(image_files.read_squares(paths, 4))
    with pytest.raises(DataError, match=r"The only image file cannot be read: .*3\.png"):
        list(image_files.read_squares(paths[3:], 4))
    assert not caplog.text  # said once, by the error
