"""Pictures and masks of any size: what the model is shown, and what is pasted back."""

import struct
import zlib
from pathlib import Path, PurePath

import numpy as np
import pytest
from commanding import (
    SIZE,
    complaint,
    main,
    mask_file,
    picture,
    pixels,
    place,  # noqa: F401
    repeat,
    results,
    shown,
    texts,
    trained,  # noqa: F401
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from csi_tf import masks
from csi_tf.commands import holes, sheets
from csi_tf.commands.settings import Command
from csi_tf.commands.sheets import Tile
from csi_tf.commands.sources import Source, region
from csi_tf.data import image_files

ONE = ("--num_samples=1", "--output=out")


def test_only_the_hole_is_pasted_into_a_large_picture(capsys):
    """Whatever the format; where no pixel of the model lies on one of the picture."""
    before = picture("photo.jpg", 70, 100)
    hole = mask_file("hole.png", 70, 100, (30, 51, 33, 60))
    call = ("--input=photo.jpg", "--mask=hole.png", "--paste_back", *ONE)
    assert main(*call) == 0
    assert "the model's 16x16 pixels, enlarged" in capsys.readouterr().err
    after = pixels("out/photo-000.png")
    np.testing.assert_array_equal(after[~hole], before[~hole])
    assert (after != before).any(axis=-1)[hole].mean() > 0.9
    assert repeat("out/photo-000.png") == 0


def test_what_is_pasted_is_the_completion_enlarged():
    before = picture("photo.png", 64, 48)
    call = ("--input=photo.png", "--mask=eyes", "--num_samples=1", "--crop=0,16,48,48")
    assert main(*call, "--output=small") == 0
    assert main(*call, "--output=large", "--paste_back") == 0
    small, large = (pixels(f"{size}/photo-000.png") for size in ("small", "large"))
    enlarged = Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC)
    hole = (masks.named("eyes", SIZE)[..., 0] == 0).repeat(3, 0).repeat(3, 1)
    expected = np.copy(before)
    expected[16:][hole] = np.asarray(enlarged)[hole]
    np.testing.assert_array_equal(large, expected)
    assert (results("small")[0]["key"]) == results("large")[0]["key"]


def test_a_picture_is_read_once_for_all_that_is_pasted_into_it(monkeypatch):
    picture("photo.png", 64, 48)
    reads = []
    read = Source.read
    monkeypatch.setattr(Source, "read", lambda self: reads.append(self.where) or read(self))
    assert main("--input=photo.png", "--mask=eyes", "--num_samples=4", "--paste_back") == 0
    assert len(reads) == 2  # to be filled, and to be pasted into


def grey_rgba_and_turned() -> list[str]:
    picture("rgb.png", 20, 30)
    with Image.open("rgb.png") as image:
        image.convert("L").save("grey.png")
        clear = image.convert("RGBA")
        clear.putalpha(Image.linear_gradient("L").resize(image.size))
        clear.save("clear.png")
        Image.fromarray(np.asarray(image.convert("L")).astype("uint16") * 257).save("deep.png")
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        image.save("turned.jpg", exif=exif)
    return ["grey.png", "clear.png", "deep.png", "turned.jpg"]


def test_grey_transparent_deep_and_turned_pictures():
    """They are what csi_tf.data makes of them, in the model's eyes and at their own size."""
    files = grey_rgba_and_turned()
    assert main(f"--input={','.join(files)}", "--mask=mouth", *ONE) == 0
    assert main(f"--input={','.join(files)}", "--mask=mouth", "--paste_back", *ONE[:1],
                "--output=large") == 0  # fmt: skip
    seen = masks.named("mouth", SIZE)[..., 0] == 1
    for file in files:
        name = f"{Path(file).stem}-000.png"
        np.testing.assert_array_equal(pixels(f"out/{name}")[seen], shown(file)[seen])
        whole = image_files.read_image(file)
        pasted = pixels(f"large/{name}")
        assert pasted.shape == whole.shape == ((30, 20, 3) if file == "turned.jpg" else (20, 30, 3))
        top = np.s_[: whole.shape[0] // 3]  # above the mouth, wherever the square lies
        np.testing.assert_array_equal(pasted[top], whole[top])


def test_what_8_bit_rgb_cannot_hold_is_said_and_the_profile_kept(capsys):
    picture("rgb.png", 20, 30)
    rgb, grey = (bytes(16) + space + bytes(20) for space in (b"RGB ", b"GRAY"))
    with Image.open("rgb.png") as image:
        image.save("photo.jpg", icc_profile=rgb)
        image.convert("RGBA").save("opaque.png", icc_profile=rgb)
        image.putalpha(128)
        image.save("logo.png", icc_profile=rgb)
        image.convert("L").save("grey.png", icc_profile=grey)
    deep = np.full((20, 30), 30_000, np.uint16)
    Image.fromarray(deep).save("deep.png")
    Path("colours.png").write_bytes(deep_png(np.stack([deep] * 3, axis=-1)))
    files = ["photo.jpg", "opaque.png", "logo.png", "grey.png", "deep.png", "colours.png"]
    call = (f"--input={','.join(files)}", "--mask=mouth", "--num_samples=1")
    assert main(*call, "--output=small") == 0
    assert "8-bit" not in capsys.readouterr().err
    assert main(*call, "--paste_back", "--output=out") == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "8-bit" in line]
    said = [note.rpartition("/")[2] for note in notes]
    assert said == [
        "logo.png: written as 8-bit RGB, so transparency is laid over white",
        "grey.png: written as 8-bit RGB, so a colour profile of other colours is left out",
        "deep.png: written as 8-bit RGB, so 16 bits become 8",
        "colours.png: written as 8-bit RGB, so 16 bits become 8",
    ]
    profiles = [texts(f"out/{Path(file).stem}-000.png").get("icc_profile") for file in files]
    assert profiles == [rgb, rgb, rgb, None, None, None]
    before = Path("out/photo-000.png").read_bytes()
    assert repeat("out/photo-000.png", "--output=again") == 0
    assert Path("again/photo-000.png").read_bytes() == before


def deep_png(pixels: np.ndarray) -> bytes:
    """Of 16-bit colours, which Pillow does not write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_crops(capsys):
    whole = picture("photo.png", 40, 60)
    squares = {
        "center": whole[:, 10:50],
        "none": whole,
        "8,4,20,24": whole[4:28, 8:28],
    }
    for crop, square in squares.items():
        call = ("--input=photo.png", "--mask=none", f"--crop={crop}", "--num_samples=1")
        assert main(*call, f"--output=cut-{crop}") == 0
        expected = image_files.resize_antialiased(square, SIZE)
        np.testing.assert_array_equal(pixels(f"cut-{crop}/photo-000.png"), expected)
        squeezed = "squeezed" in capsys.readouterr().err
        assert squeezed == (square.shape[0] != square.shape[1]), "a changed shape is said"


def test_an_empty_mask_gives_the_picture_back_and_a_full_one_draws_all(capsys):
    before = picture("photo.png", 40, 60)
    mask_file("empty.png", 40, 60, (0, 0, 0, 0))
    assert main("--input=photo.png", "--mask=empty.png", "--paste_back", *ONE) == 0
    assert "photo.png: the mask is empty" in capsys.readouterr().err
    np.testing.assert_array_equal(pixels("out/photo-000.png"), before)
    assert results("out")[0]["bits_per_dim"] is None
    mask_file("full.png", 40, 60, (0, 40, 0, 60))
    assert main("--input=photo.png", "--mask=full.png", "--num_samples=2", "--output=all") == 0
    assert (pixels("all/photo-000.png") != pixels("all/photo-001.png")).mean() > 0.9


def test_the_convention_of_mask_files_and_file_prefix():
    mask_file("hole.png", SIZE, SIZE, (2, 6, 2, 6))
    with Image.open("hole.png") as image:
        Image.fromarray(255 - np.asarray(image)).save("inverse.png")
    call = ("--input=face.png", "--num_samples=1")
    assert main(*call, "--mask=hole.png", "--output=white") == 0
    black = ("--mask=file:inverse.png", "--mask_convention=black_is_hole")
    assert main(*call, *black, "--output=black") == 0
    assert (pixels("white/face-000.png") == pixels("black/face-000.png")).all()


def erased(path: str, hole: np.ndarray) -> np.ndarray:
    """A picture that is transparent there; its colours."""
    before = picture("opaque.png", *hole.shape)
    image = Image.fromarray(before)
    image.putalpha(Image.fromarray(np.where(hole, 0, 255).astype("uint8")))
    image.save(path)
    return before


def test_what_is_erased_from_a_picture_is_its_hole(capsys):
    """As a mask file of the same would have it."""
    hole = mask_file("hole.png", 70, 100, (30, 51, 33, 60))
    before = erased("photo.png", hole)
    call = ("--input=photo.png", "--paste_back", "--num_samples=1")
    assert main(*call, "--mask=alpha", "--output=out") == 0
    said = capsys.readouterr().err
    assert "photo.png: written as 8-bit RGB, so transparency is laid over white" in said
    after = pixels("out/photo-000.png")
    assert after.shape == (70, 100, 3)
    np.testing.assert_array_equal(after[~hole], before[~hole])
    assert (after != image_files.read_image("photo.png")).any(axis=-1)[hole].mean() > 0.9
    assert texts("out/photo-000.png")["mask"] == "alpha"
    assert repeat("out/photo-000.png") == 0
    assert main(*call, "--mask=hole.png", "--output=file") == 0
    np.testing.assert_array_equal(pixels("file/photo-000.png"), after)
    capsys.readouterr()
    assert main(*call, "--mask=photo.png", "--output=new") == 2
    assert "or --mask=alpha if its hole is where it is transparent" in complaint(capsys)


def test_the_rim_of_what_is_erased_is_hole_too():
    """Laid over white it would show around the filling."""
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[5:15, 8:20] = 254
    alpha[6:14, 9:19] = 0
    image = Image.new("RGBA", (30, 20), "red")
    image.putalpha(Image.fromarray(alpha))
    image.save("photo.webp", lossless=True, exact=True)
    _, hole = understood("alpha", "none", 20, 30, [], "photo.webp")
    np.testing.assert_array_equal(hole, alpha < 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save("turned.png", exif=exif)
    _, hole = understood("alpha", "none", 30, 20, [], "turned.png")
    np.testing.assert_array_equal(hole, np.rot90(alpha < 255, -1))


def test_what_is_transparent_outside_the_crop_is_told():
    hole = np.zeros((40, 60), bool)
    hole[10:20, 5:15] = True
    erased("photo.png", hole)
    notes: list[str] = []
    _, inside = understood("alpha", "center", 40, 60, notes, "photo.png")
    np.testing.assert_array_equal(inside, hole[:, 10:50])
    assert [note[:38] for note in notes] == ["50% of the mask's hole lies outside th"]


def test_a_picture_that_is_transparent_everywhere_is_drawn_anew():
    erased("photo.png", np.ones((20, 20), bool))
    assert main("--input=photo.png", "--mask=alpha", "--num_samples=2", "--output=out") == 0
    assert (pixels("out/photo-000.png") != pixels("out/photo-001.png")).mean() > 0.9


def test_a_picture_without_a_transparent_part_is_named(capsys):
    hole = np.zeros((20, 20), bool)
    picture("album/photo.jpg", 20, 20)
    erased("album/opaque.png", hole)
    hole[3:9, 4:8] = True
    erased("album/erased.png", hole)
    assert main("--input=album", "--mask=alpha", *ONE) == 1
    said = capsys.readouterr().err
    for name in ("opaque.png", "photo.jpg"):
        assert said.count(f"{Path('album', name).absolute()} has no transparent part, which") == 1
    assert Path("out/erased-000.png").exists()
    data = "dataset:procedural_faces:test:0"
    assert main(f"--input={data}", "--mask=alpha", "--output=new") == 2
    assert f"{data} has no transparent part" in complaint(capsys)


def test_among_several_kinds_of_holes_a_file_still_lies_over_the_picture():
    """And not over the square that the model is shown; a line in it is kept."""
    hole = mask_file("line.png", 40, 60, (20, 21, 22, 58))
    found = []
    for mask in ("file:line.png", "file:line.png,eyes:1e-12"):
        for crop in ("center", "20,10,40,30"):
            found.append(understood(mask, crop, 40, 60, []))
    for (alone, finer), (mixed, also_finer) in zip(found[:2], found[2:], strict=True):
        np.testing.assert_array_equal(mixed, alone)
        np.testing.assert_array_equal(also_finer, finer)
        assert 0 < (alone == 0).sum() < SIZE * SIZE / 2
    np.testing.assert_array_equal(found[0][1], hole[:, 10:50])


@pytest.mark.parametrize(
    ("size", "shape", "over_region"),
    [
        ((32, 32), (640, 650), True),  # of the region exactly, of the picture to a pixel
        ((640, 650), (640, 650), False),
        ((64, 65), (640, 650), False),
        ((32, 32), (640, 640), False),  # of both: it lies over the picture
    ],
)
def test_a_mask_lies_over_what_has_its_proportions(size, shape, over_region):
    hole = np.zeros(size, bool)
    hole[:, : size[1] // 2] = True
    box = (0, 0, shape[0], shape[0])
    found = holes.laid_over(hole, "m.png", shape, box, lambda _: None)
    width = shape[0] if over_region else shape[1]
    assert found.shape == (shape[0], shape[0])
    assert found[0].sum() == pytest.approx(size[1] // 2 / size[1] * width, abs=1)


def understood(
    mask: str, crop: str, height: int, width: int, notes: list[str], file: str = "a.png"
):
    """Context mask and finer hole for a grey picture of this size."""
    command = Command("inpaint", model="m", input="i", mask=mask, crop=crop)
    source = Source(PurePath("a"), file)
    box = region(command.box, source, height, width)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    found = holes.understood(command, SIZE)
    return found.of(source, (height, width), box, image, notes.append)


def test_a_mask_file_lies_over_the_picture_or_over_the_crop():
    notes: list[str] = []
    whole = mask_file("whole.png", 40, 60, (10, 20, 12, 40))
    _, hole = understood("whole.png", "center", 40, 60, notes)
    np.testing.assert_array_equal(hole, whole[:, 10:50])
    half = mask_file("half.png", 20, 30, (5, 10, 6, 20))
    _, hole = understood("half.png", "center", 40, 60, notes)
    np.testing.assert_array_equal(hole, half.repeat(2, 0).repeat(2, 1)[:, 10:50])
    square = mask_file("square.png", 20, 20, (5, 10, 6, 20))
    _, hole = understood("square.png", "center", 40, 60, notes)
    np.testing.assert_array_equal(hole, square.repeat(2, 0).repeat(2, 1))
    assert not notes
    other = mask_file("other.png", 40, 30, (5, 10, 6, 20))
    _, hole = understood("other.png", "center", 40, 60, notes)
    np.testing.assert_array_equal(hole, other.repeat(2, 1)[:, 10:50])
    assert notes == [
        "the mask other.png is 30x40 and the picture 60x40: it is stretched over the picture"
    ]


@pytest.mark.parametrize(
    ("columns", "crop", "said"),
    [
        ((5, 15), "center", "50% of the mask's hole lies outside the part that the model is shown"),
        ((9, 50), "center", "2% of the mask's hole lies outside"),
        ((0, 11), "center", "91% of the mask's hole lies outside"),
        ((0, 10), "center", "the mask's hole lies outside the part that the model is shown, so"),
        ((0, 0), "center", "the mask is empty, so what comes out is what went in"),
        ((10, 50), "center", None),
        ((0, 11), "0,0,40,40", None),
        ((0, 60), "none", None),
    ],
)
def test_what_of_a_hole_is_not_filled_is_said(columns, crop, said):
    mask_file("hole.png", 40, 60, (10, 20, *columns))
    notes: list[str] = []
    understood("hole.png", crop, 40, 60, notes)
    assert len(notes) == (said is not None)
    assert all(note.startswith(said) for note in notes)


@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.integers(2, 40),
    st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
)
def test_a_pixel_of_the_model_is_hole_if_any_of_the_hole_falls_into_it(shape, size, where):
    """One point of hole: exactly the cells it overlaps, and every cell for a whole hole."""
    row, column = (int(part * side) for part, side in zip(where, shape, strict=True))
    hole = np.zeros(shape, bool)
    hole[row, column] = True
    expected = np.zeros((size, size), bool)
    ends = [
        (number * size // side, -(-(number + 1) * size // side))
        for number, side in zip((row, column), shape, strict=True)
    ]
    expected[slice(*ends[0]), slice(*ends[1])] = True
    grid = (size, size)
    np.testing.assert_array_equal(holes._touched(hole, grid), expected)
    assert holes._touched(np.ones(shape, bool), grid).all()
    assert not holes._touched(np.zeros(shape, bool), grid).any()


def test_a_mask_larger_than_its_picture_loses_no_hole():
    """A line of three pixels, where every fifth row and column would be looked at."""
    mask_file("hole.png", 320, 320, (203, 206, 0, 320))
    _, hole = understood("hole.png", "none", 64, 64, [])
    assert hole.shape == (64, 64)
    assert np.flatnonzero(hole.any(axis=1)).tolist() == [40, 41]
    assert hole[40].all()


def test_several_pictures_of_one_name(capsys):
    for path in ("photos/a.png", "photos/a.jpg", "photos/sub/a.png", "b/a.png"):
        picture(path, 20, 20)
    assert main("--input=photos", "--mask=none", *ONE) == 0
    for name in ("a.png-000.png", "a.jpg-000.png", "sub/a-000.png"):
        assert Path("out", name).exists()
    assert main("--input=photos/a.png,b/a.png", "--mask=none", *ONE) == 2
    assert "the same files" in complaint(capsys)
    picture("a,b.png", 20, 20)
    assert main("--input=a,b.png", "--mask=none", *ONE) == 0, "a name may have a comma"


def test_names_may_be_longer_together_than_any_file_is_called(capsys):
    files = [f"{'n' * 90}{i}.png" for i in range(3)]
    for file in files:
        picture(file, 16, 16)
    assert main(f"--input={','.join(files)}", "--mask=none", *ONE) == 0
    assert len(results("out")) == 3
    mask_file("hole.png", 16, 16, (2, 5, 3, 9))
    call = (f"--input={files[0]}", "--num_samples=1", "--output=new")
    assert main(*call, f"--mask=file:hole.png:0.{'5' * 300},eyes") == 0
    assert main(*call, f"--mask={'m' * 300}") == 2
    assert "Unknown mask" in complaint(capsys)
    assert main(f"--input={'n' * 300}", "--mask=none", "--output=no") == 2
    assert "File name too long" in complaint(capsys)


@pytest.mark.parametrize("size", [16, 32, 256])
def test_a_sheet_shows_every_pixel_and_hatches_holes(size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 100, (size, size, 3)).astype("uint8")  # darker than the hatching
    hole = np.zeros((size, size), bool)
    hole[2:9, 3:8] = True
    page = sheets.sheet([[Tile(image, "caption " * 30), Tile(image, "", hole)]], [("name", "more")])
    scale = max(1, round(112 / size))
    enlarged = image.repeat(scale, 0).repeat(scale, 1)
    side = size * scale
    first = np.s_[16 : 16 + side, 148 : 148 + side]
    second = np.s_[16 : 16 + side, 156 + side : 156 + 2 * side]
    np.testing.assert_array_equal(page[first], enlarged)
    wide = hole.repeat(scale, 0).repeat(scale, 1)
    np.testing.assert_array_equal(page[second][~wide], enlarged[~wide])
    assert len(np.unique(page[second][wide], axis=0)) == 2
    assert (page[:, -16:] == 255).all(), "nothing runs over the margin"
    assert (page[:12] == 255).all()


def test_the_map_is_hottest_where_completions_differ_most():
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    context_mask = masks.named("eyes", SIZE)
    completions = np.stack([image, image])
    completions[1, 6, 6] += 100  # by a standard deviation of 50
    completions[1, 7, 7] += 50
    page = sheets.uncertainty(image, context_mask, completions).astype(int)
    scale = round(224 / SIZE)
    at = {
        (row, column): page[16 + row * scale + 5, 16 + column * scale + 5]
        for row, column in ((6, 6), (7, 7), (6, 5), (0, 0))
    }
    assert at[6, 6].sum() > at[7, 7].sum() > at[6, 5].sum()
    np.testing.assert_array_equal(at[6, 5], page[16 + side_of(scale) + 8, 16], "no spread: bar's 0")
    assert np.ptp(at[0, 0]) == 0, "what is observed is grey"
    same = sheets.uncertainty(image, context_mask, np.stack([image, image]))
    assert same.shape == page.shape


def side_of(scale: int) -> int:
    return SIZE * scale
