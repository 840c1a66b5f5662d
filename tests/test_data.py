"""Datasets keep their promises about splits and sizes."""

import os

import numpy as np
import pytest
from PIL import Image

from csi_tf import data
from csi_tf.data import base


def pictures(count, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture
def npz(tmp_path):
    def save(**content):
        path = tmp_path / "set.npz"
        np.savez_compressed(path, **content)
        return f"npz:{path}"

    return save


@pytest.fixture
def folder(tmp_path):
    def save(count, under="pictures", shape=(10, 6)):
        root = tmp_path / under
        root.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(np.full((*shape, 3), number, np.uint8)).save(root / f"{number:03}.png")
        return f"images:{tmp_path / under.split('/')[0]}"

    return save


# --- sources


def test_procedural_faces_come_with_factors_and_attributes():
    faces = data.arrays("procedural_faces", "test", 32, limit=20)
    assert faces.images.shape == (20, 32, 32, 3)
    assert faces.factors.shape == (20, len(faces.factor_names))
    assert faces.attributes.shape == (20, len(faces.attribute_names))
    assert (faces.factors.dtype, faces.attributes.dtype) == (np.float32, np.uint8)
    assert set(np.unique(faces.attributes)) == {0, 1}
    assert len({image.tobytes() for image in faces.images}) == 20
    train = data.arrays("procedural_faces", "train", 32, limit=20)
    assert not np.array_equal(train.factors, faces.factors)


def test_procedural_faces_do_not_depend_on_how_many_are_read():
    more = base.CHUNK + 3  # crosses from one chunk into the next
    faces = data.arrays("procedural_faces", "train", 16, limit=more)
    made = data.procedural_faces.generate("train", 16, start=more - 2, stop=more)
    assert np.array_equal(faces.images[-2:], made["images"])
    assert np.array_equal(faces.factors[-2:], made["factors"])


def test_load_streams_what_arrays_holds():
    held = data.arrays("procedural_faces", "train", 16, limit=base.CHUNK + 5)
    stream = data.load("procedural_faces", "train", 16, limit=base.CHUNK + 5)
    assert stream.cardinality() == base.CHUNK + 5
    assert stream.element_spec["image"].shape == (16, 16, 3)
    rows = list(stream.as_numpy_iterator())
    for key, values in (("image", held.images), ("factors", held.factors)):
        assert np.array_equal(np.stack([row[key] for row in rows]), values)
    assert rows[0]["attributes"].dtype == np.uint8


def test_npz_round_trip(tmp_path):
    rng = np.random.default_rng(0)

    def part(count, seed):
        return data.ImageArrays(
            pictures(count, seed=seed),
            rng.integers(0, 2, (count, 2), dtype=np.uint8),
            ("Smiling", "Müde"),
            rng.random((count, 1), dtype=np.float32),
            ("angle",),
        )

    parts = {"train": part(5, 1), "validation": part(3, 2)}
    path = tmp_path / "set.npz"
    data.write_npz(path, parts)
    for split, saved in parts.items():
        read = data.arrays(f"npz:{path}", split, 8)
        for key in ("images", "attributes", "factors"):
            assert np.array_equal(getattr(read, key), getattr(saved, key))
        assert read.attribute_names == saved.attribute_names
        assert read.factor_names == saved.factor_names
    assert data.splits(f"npz:{path}") == ("train", "validation", "all")
    assert data.held_out_split(f"npz:{path}") == "validation"
    assert len(data.arrays(f"npz:{path}", "all", 8)) == 8


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"train": pictures(2)}, "is ndarray; expected ImageArrays"),
        ({"train": data.ImageArrays(pictures(2) / 255)}, "float64.*scale floats"),
        ({"train": data.ImageArrays(pictures(2)[0])}, r"x\[None\]"),
        (
            {"a": data.ImageArrays(pictures(2)), "b": data.ImageArrays(pictures(2, 6))},
            "6x6 and 8x8",
        ),
        ({"a": data.ImageArrays(pictures(2), np.zeros((3, 1), np.uint8))}, r"expected \(2, "),
        ({"a": data.ImageArrays(pictures(2), np.full((2, 1), 2, np.uint8))}, "0 or 1"),
        ({"a": data.ImageArrays(pictures(2), [[0], [1]])}, "is list"),
        ({"a": data.ImageArrays(pictures(2), factors=np.zeros((2, 1), int))}, "expected floats"),
        (
            {"a": data.ImageArrays(pictures(2), np.zeros((2, 2), np.uint8), ("one",))},
            "2 attributes but 1 names",
        ),
        ({"a": data.ImageArrays(pictures(2), None, ("one",))}, "give both or neither"),
        (
            {
                "a": data.ImageArrays(pictures(2), np.zeros((2, 1), np.uint8)),
                "b": data.ImageArrays(pictures(2)),
            },
            "differ in their attribute names",
        ),
        ({"all": data.ImageArrays(pictures(2))}, "'all' means all"),
        ({0: data.ImageArrays(pictures(2))}, "no name of a split"),
        ({}, "nothing to save"),
        (None, "nothing to save"),
    ],
)
def test_nothing_is_written_that_would_not_be_read(tmp_path, parts, words):
    with pytest.raises(data.DataError, match=words):
        data.write_npz(tmp_path / "set.npz", parts)
    assert not list(tmp_path.iterdir())


def test_labels_without_names_are_written_too(tmp_path):
    labels = np.array([[0, 1], [1, 1]], np.uint8)
    data.write_npz(tmp_path / "set.npz", {"train": data.ImageArrays(pictures(2), labels)})
    read = data.arrays(f"npz:{tmp_path / 'set.npz'}", "all", 8)
    assert np.array_equal(read.attributes, labels)
    assert read.attribute_names == ("attribute_0", "attribute_1")


def test_a_forbidden_npz_is_not_called_damaged(npz, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    name = npz(images=pictures(2))
    monkeypatch.setattr(np, "load", forbidden)
    with pytest.raises(data.DataError, match=r"set\.npz cannot be read: Permission denied\.$"):
        data.splits(name)


def test_npz_images_are_cropped_and_resized(npz):
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 20, 3), dtype=np.uint8)
    name = npz(images=images)
    read = data.arrays(name, "all", 6)
    assert np.array_equal(read.images, data.resize_antialiased(images[:, :, 4:16], 6))
    assert np.array_equal(data.arrays(name, "all", 6, crop=6).images, images[:, 3:9, 7:13])
    assert np.array_equal(data.arrays(name, "all", 6, limit=2).images, read.images[:2])
    assert read.attributes is None
    assert read.attribute_names == ()


def test_npz_accepts_byte_strings_and_unnamed_attributes(npz):
    name = npz(
        images=pictures(3),
        split=np.array([b"train", b"test", b"train"]),
        attributes=np.array([[0, 1], [1, 1], [1, 0]], bool),
    )
    train = data.arrays(name, "train", 8)
    assert train.attributes.tolist() == [[0, 1], [1, 0]]
    assert train.attribute_names == ("attribute_0", "attribute_1")


@pytest.mark.parametrize("called", ["val", "valid"])
def test_the_validation_split_of_an_npz_has_several_names(npz, called):
    images = pictures(4)
    name = npz(images=images, split=np.array(["train", called, "train", called]))
    assert data.splits(name) == ("train", "validation", "all")
    assert data.held_out_split(name) == "validation"
    assert np.array_equal(data.arrays(name, "validation", 8).images, images[1::2])
    assert np.array_equal(data.arrays(name, "train", 8).images, images[::2])


def test_of_several_names_of_a_split_in_an_npz_the_first_counts(npz):
    images = pictures(3)
    name = npz(images=images, split=np.array(["train", "val", "validation"]))
    assert data.splits(name) == ("train", "val", "validation", "all")
    for number, split in enumerate(("train", "val", "validation")):
        assert np.array_equal(data.arrays(name, split, 8).images, images[number : number + 1])


def test_an_npz_with_nothing_but_training_images_holds_some_out(npz):
    images = pictures(40)
    unnamed = npz(images=images)
    before = {split: data.arrays(unnamed, split, 8).images for split in data.splits(unnamed)}
    name = npz(images=images, split=np.array(["train"] * 40))
    assert data.splits(name) == ("train", "test", "all")
    assert data.held_out_split(name) == "test"
    for split, expected in before.items():  # the same as without names
        assert np.array_equal(data.arrays(name, split, 8).images, expected)


def test_what_an_npz_holds_out_is_of_its_training_images(npz):
    levels = np.arange(60, dtype=np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (60, 8, 8, 3))
    name = npz(images=images, split=np.where(levels % 3 == 0, "spare", "train"))
    assert data.splits(name) == ("spare", "train", "test", "all")
    read = {split: data.arrays(name, split, 8).images[:, 0, 0, 0] for split in data.splits(name)}
    assert [len(part) for part in read.values()] == [20, 32, 8, 60]
    assert sorted([*read["train"], *read["test"]]) == levels[levels % 3 > 0].tolist()
    assert (read["spare"] % 3 == 0).all()
    with pytest.raises(data.DataError, match="its splits are spare, train, test, all"):
        data.arrays(name, "validation", 8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"pictures": pictures(2)}, "no 'images' array but pictures"),
        ({"images": pictures(2) / 255}, "scale floats"),
        ({"images": pictures(2).astype(np.int64)}, "int64; expected uint8"),
        ({"images": pictures(2)[..., 0]}, r"np\.repeat\(x\[\.\.\., None\], 3, axis=-1\)"),
        ({"images": pictures(2)[0]}, r"expected \(N, height, width, 3\).*x\[None\]"),
        ({"images": pictures(2)[..., :1]}, r"np\.repeat\(x, 3, axis=-1\)"),
        ({"images": pictures(2)[:0]}, "is empty; save at least one"),
        ({"images": pictures(2), "split": np.array(["train"])}, "2 images but 1 entries"),
        ({"images": pictures(2), "split": np.array([0, 1])}, "row of strings"),
        ({"images": pictures(2), "attributes": np.zeros((3, 4), np.uint8)}, r"expected \(2"),
        ({"images": pictures(2), "attributes": np.full((2, 4), -1, np.int8)}, "0 or 1"),
        ({"images": pictures(2), "attributes": np.full((2, 4), 2, np.uint8)}, "0 or 1"),
        ({"images": pictures(2), "factors": np.zeros((2, 1), int)}, "expected floats"),
        (
            {
                "images": pictures(2),
                "attributes": np.zeros((2, 2), np.uint8),
                "attribute_names": np.array(["a"]),
            },
            "2 attributes but 1 names",
        ),
    ],
)
def test_npz_mistakes_are_named(npz, content, words):
    with pytest.raises(data.DataError, match=words):
        data.arrays(npz(**content), "train", 8)


def test_npz_never_unpickles(tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("unpickled",)

    path = tmp_path / "trap.npz"
    objects = np.empty(2, object)
    objects[:] = [Trap(), Trap()]
    np.savez(path, images=pictures(2), split=objects)
    with pytest.raises(data.DataError, match="never unpickled"):
        data.arrays(f"npz:{path}", "train", 8)


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "text.npz").write_text("text")
    np.save(tmp_path / "single.npy", pictures(2))
    for name, words in {
        "text.npz": "not a readable",
        "single.npy": "single array",
        "missing.npz": "no file",
    }.items():
        with pytest.raises(data.DataError, match=words):
            data.arrays(f"npz:{tmp_path / name}", "train", 8)


def test_a_damaged_npz_is_named(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, images=pictures(50))
    whole = bytearray(path.read_bytes())
    whole[2000:2100] = bytes(100)
    path.write_bytes(whole)
    with pytest.raises(data.DataError, match="damaged"):
        data.arrays(f"npz:{path}", "train", 8)


@pytest.mark.parametrize(
    ("count", "tests"), [(2, 1), (10, 2), (40, 8), (99, 19), (200, 20), (800, 40)]
)
def test_held_out_examples_tile_the_whole(count, tests):
    keys = [f"{number}.png" for number in range(count)]
    train, test = (base.held_out(keys, split, "set") for split in ("train", "test"))
    assert len(test) == tests
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(count))
    assert np.array_equal(base.held_out(keys, "all", "set"), np.arange(count))
    # Pinned, so that another release holds out the same examples.
    if count == 40:
        assert test.tolist() == [2, 19, 21, 26, 29, 31, 34, 38]


def test_adding_files_hardly_changes_what_is_held_out():
    keys = [f"{number}.png" for number in range(400)]
    before = {keys[n] for n in base.held_out(keys, "test", "set")}
    keys = [f"new {number}.png" for number in range(20)] + keys
    after = {keys[n] for n in base.held_out(keys, "test", "set")}
    # One new place is added, and 20/420 of the 21 places go to new files: about one leaves.
    assert len(before - after) <= 4


def test_image_folders_hold_out_and_crop(folder):
    name = folder(40)
    assert data.splits(name) == ("train", "test", "all")
    everything = data.arrays(name, "all", 6)
    assert everything.images.shape == (40, 6, 6, 3)
    assert everything.images[:, 0, 0, 0].tolist() == list(range(40))
    shares = [data.arrays(name, split, 6).images[:, 0, 0, 0] for split in ("train", "test")]
    assert [len(share) for share in shares] == [32, 8]
    assert sorted(np.concatenate(shares)) == list(range(40))
    with pytest.raises(data.DataError, match="train, test, all"):
        data.arrays(name, "validation", 6)


def test_image_folders_with_their_own_splits(folder):
    folder(3, "pictures/train")
    name = folder(2, "pictures/validation/deeper")
    assert data.splits(name) == ("train", "validation", "all")
    assert data.held_out_split(name) == "validation"
    sizes = [len(data.arrays(name, split, 6)) for split in ("train", "validation", "all")]
    assert sizes == [3, 2, 5]


def test_folders_have_attributes_from_a_table_beside_their_pictures(folder, tmp_path):
    name = folder(30)
    root = tmp_path / "pictures"
    (root / "0000.png").write_bytes(b"no picture")  # the second, skipped with its row
    rows = [f"{level:03}.png,{level % 2},{level // 2 % 2}" for level in range(30)]
    rows += ["0000.png,1,1"]
    (root / "attributes.csv").write_text("\n".join(["file,odd,Second Bit", *rows, "gone.png,0,0"]))
    for split in ("train", "test", "all"):
        read = data.arrays(name, split, 6)
        assert read.attribute_names == ("odd", "Second Bit")
        levels = read.images[:, 0, 0, 0]
        assert read.attributes.tolist() == [[level % 2, level // 2 % 2] for level in levels]
    streamed = list(data.load(name, "all", 6).take(3).as_numpy_iterator())
    assert [row["attributes"].tolist() for row in streamed] == [[0, 0], [1, 0], [0, 1]]


def test_the_table_of_a_folder_with_splits_lies_above_them(folder, tmp_path):
    folder(2, "pictures/train")
    name = folder(1, "pictures/val/deeper")
    files = sorted((tmp_path / "pictures").rglob("*.png"))
    keys = [str(path.relative_to(tmp_path / "pictures")) for path in files]
    # As spreadsheets write it, and with -1 as in CelebA
    table = f"\ufefffile;smile\r\n{keys[0]};TRUE\r\n{keys[1]};-1\r\n.\\"
    table += keys[2].replace("/", "\\") + ";1\r\n;\r\n"
    (tmp_path / "pictures" / "attributes.csv").write_bytes(table.encode())
    assert data.arrays(name, "train", 6).attributes.tolist() == [[1], [0]]
    assert data.arrays(name, "validation", 6).attributes.tolist() == [[1]]


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ('file,"x; y"\n000.png,1\ncafe\u0301.png,0\n', "x; y"),
        ("file\tsmile\n000.png\t1\ncaf\u00e9.png\t0\n", "smile"),
    ],
)
def test_a_table_may_have_tabs_and_accents_of_either_kind(folder, tmp_path, table, name):
    data_set = folder(2)
    root = tmp_path / "pictures"
    (root / "001.png").rename(root / "cafe\u0301.png")
    (root / "attributes.csv").write_text(table)
    read = data.arrays(data_set, "all", 6)
    assert read.attribute_names == (name,)
    assert read.attributes.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            b"file,smile\n000.png,1\n",
            "no row for 1 of the 2 pictures, or names them otherwise: 001.png",
        ),
        (b"file,smile\n000.png,1\n001.png,2\n", "Row 3 .* 0 or 1 for each of smile"),
        (b"file,smile\n000.png,1\n001.png\n", "Row 3"),
        (b"file,smile\n000.png,1\n001.png,0\n001.png,1\n", "two rows for 001.png that differ"),
        (b"file,smile\n/a/000.png,1\n", "It has, for instance, '/a/000.png'"),
        (b"000.png\n001.png\n", "first line with a name"),
        (b"file,smile,smile\n", "no two alike"),
        (b"", "first line with a name"),
        (b"000.png,0\n001.png,1\n", "first line with a name"),
        (b"file,smile\xff\n", "not UTF-8"),
    ],
)
def test_mistakes_in_a_table_of_attributes_are_named(folder, tmp_path, table, words):
    name = folder(2)
    (tmp_path / "pictures" / "attributes.csv").write_bytes(table)
    with pytest.raises(data.DataError, match=words):
        data.arrays(name, "all", 6)


@pytest.mark.parametrize("place", ["train", "validation"])
def test_a_table_that_lies_too_deep_is_not_left_out_in_silence(folder, tmp_path, place):
    folder(2, "pictures/train")
    name = folder(2, "pictures/validation/deeper")
    (tmp_path / "pictures" / place / "attributes.csv").write_text("file,smile\n000.png,1\n")
    with pytest.raises(data.DataError, match=rf"move its rows to .* such as {place}/anna.jpg"):
        data.arrays(name, place, 6)


@pytest.mark.parametrize("called", ["val", "valid"])
def test_the_folder_of_validation_has_several_names(folder, called):
    folder(3, "pictures/train")
    name = folder(2, f"pictures/{called}")
    assert data.splits(name) == ("train", "validation", "all")
    assert len(data.arrays(name, "validation", 6)) == 2


def test_broken_pictures_are_skipped_in_both_readings(folder, tmp_path):
    name = folder(5)
    (tmp_path / "pictures" / "002.png").write_bytes(b"broken")
    held = data.arrays(name, "all", 6)
    assert held.images[:, 0, 0, 0].tolist() == [0, 1, 3, 4]
    streamed = [row["image"] for row in data.load(name, "all", 6).as_numpy_iterator()]
    assert np.array_equal(np.stack(streamed), held.images)


def test_a_single_picture_cannot_be_split(folder):
    name = folder(1)
    assert data.splits(name) == ("all",)
    assert len(data.arrays(name, "all", 6)) == 1
    with pytest.raises(data.DataError, match=r"single image.*add images, or read its split 'all'"):
        data.arrays(name, "train", 6)


def test_a_single_image_of_an_npz_cannot_be_split(npz):
    name = npz(images=pictures(1))
    assert data.splits(name) == ("all",)
    assert len(data.arrays(name, "all", 6)) == 1
    with pytest.raises(data.DataError, match="single image"):
        data.arrays(name, "test", 6)
    assert data.splits(npz(images=pictures(2))) == ("train", "test", "all")


def test_file_names_need_not_be_utf_8(folder, tmp_path):
    name = folder(3)
    (tmp_path / "pictures" / "000.png").rename(
        os.fsdecode(bytes(tmp_path / "pictures") + b"/\xff.png")
    )
    assert sum(len(data.arrays(name, split, 6)) for split in ("train", "test")) == 3


def test_crops_that_do_not_fit_are_named(folder):
    with pytest.raises(data.DataError, match=r"A crop of 8 pixels does not fit a 10x6 image"):
        data.arrays(folder(2), "all", 6, crop=8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: data.arrays("cifar10", "train", 32), "tfds:NAME, npz:PATH"),
        (lambda: data.arrays("npz:", "train", 32), "There is no dataset 'npz:'"),
        (lambda: data.arrays("procedural_faces", "valid", 32), "its splits are train, test"),
        (lambda: data.arrays("procedural_faces", "train", 0), "size is 0"),
        (lambda: data.arrays("procedural_faces", "train", 32, crop=8), "leave crop out"),
        (lambda: data.arrays("procedural_faces", "train", 32, data_dir="x"), "leave it out"),
        (lambda: data.arrays("procedural_faces", "train", 32, limit=0), "limit is 0"),
        (lambda: data.arrays("celeb_a", "valid", 32), "train, validation, test"),
        (lambda: data.splits("images:/no/such/folder"), "no folder"),
        (lambda: data.arrays(None), "dataset is None; give one of the names procedural_faces"),
        (lambda: data.splits(None), "dataset is None"),
        (lambda: data.arrays("procedural_faces", ["train"]), r"no split \['train'\]"),
        (lambda: data.arrays("procedural_faces", limit=True), "limit is True"),
        (lambda: data.arrays("procedural_faces", size=None), "size is None"),
        (lambda: data.arrays("tfds:mnist", data_dir=3), "data_dir is 3"),
        (lambda: data.epoch_order(-1, 0, 0), "count is -1"),
        (lambda: data.epoch_order(4.0, 0, 0), "count is 4.0"),
        (lambda: data.epoch_order([4], 0, 0), "count is"),
        (lambda: data.Batches(pictures(4), 2).batch(-1), "step is -1"),
        (lambda: data.Batches(pictures(4), 2).batch(1.9), "step is 1.9"),
        (lambda: next(data.Batches(pictures(4), 2).ahead(0, 1.5)), "stop is 1.5"),
        (lambda: data.Batches(pictures(4), 2).dataset(0, 1.5), "stop is 1.5"),
    ],
)
def test_mistakes_in_names_and_settings(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_celeb_a_from_its_own_files(tmp_path):
    (tmp_path / "img_align_celeba").mkdir()
    frames = np.random.default_rng(0).integers(0, 256, (4, 218, 178, 3), dtype=np.uint8)
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(tmp_path / "img_align_celeba" / f"{number:06}.jpg")
    names = [f"{number:06}.jpg" for number in range(1, 5)]
    marks = [[1, -1], [-1, -1], [1, 1], [-1, 1]]
    partition = [0, 1, 0, 2]
    txt = "".join(f"{n} {p}\n" for n, p in zip(names, partition, strict=True))
    (tmp_path / "list_eval_partition.txt").write_text(txt)
    txt = "".join(f"{n}  {a:2} {b:2}\n" for n, (a, b) in zip(names, marks, strict=True))
    (tmp_path / "list_attr_celeba.txt").write_text(f"4\nBald Smiling \n{txt}")
    read = data.arrays("celeb_a", "train", 32, data_dir=str(tmp_path))
    assert read.attribute_names == ("Bald", "Smiling")
    assert read.attributes.tolist() == [[1, 0], [1, 1]]
    frame = data.read_image(tmp_path / "img_align_celeba" / "000003.jpg")
    # The paper's crop: the central 128x128 of 218x178.
    assert np.array_equal(read.images[1], data.resize_antialiased(frame[45:173, 25:153], 32))

    # The same tables as the .csv files of a common mirror.
    for stem, header, rows in (
        ("list_eval_partition", "image_id,partition", [[p] for p in partition]),
        ("list_attr_celeba", "image_id,Bald,Smiling", marks),
    ):
        (tmp_path / f"{stem}.txt").unlink()
        lines = [",".join(map(str, [n, *row])) for n, row in zip(names, rows, strict=True)]
        (tmp_path / f"{stem}.csv").write_text("\n".join([header, *lines]))
    again = data.arrays("celeb_a", "train", 32, data_dir=str(tmp_path))
    assert np.array_equal(again.attributes, read.attributes)
    assert again.attribute_names == read.attribute_names
    (tmp_path / "list_attr_celeba.csv").unlink()
    with pytest.raises(data.DataError, match=r"no list_attr_celeba\.txt"):
        data.arrays("celeb_a", "train", 32, data_dir=str(tmp_path))
