"""Datasets of TensorFlow Datasets; TensorFlow and TFDS are imported only when one is opened."""

import difflib
import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from csi_tf.data import celeb_a_files
from csi_tf.data.base import CHUNK, Chunk, Source, check_split, held_out_count
from csi_tf.data.errors import DataError, DownloadError
from csi_tf.data.image_files import center_crop, resize_antialiased, to_rgb

logger = logging.getLogger(__name__)


def splits(name: str, data_dir: str | None = None) -> tuple[str, ...]:
    if name == "celeb_a":  # known before any download
        return celeb_a_files.SPLITS
    return tuple(_slices(_prepared(name, data_dir)))


def open_split(name: str, split: str, size: int, crop: int | None, data_dir: str | None) -> Source:
    if name == "celeb_a":
        check_split(split, celeb_a_files.SPLITS, name)
        crop = crop or celeb_a_files.CROP
    builder = _prepared(name, data_dir)
    slices = _slices(builder)
    check_split(split, tuple(slices), f"tfds:{name}")
    features = builder.info.features
    if "image" not in features or features["image"].np_dtype != np.uint8:
        raise DataError(
            f"tfds:{name} has no 8-bit 'image' feature but {', '.join(features)}; "
            "export its images and use images:DIR."
        )
    attributes = _columns(features, "attributes", "b")
    factors = _columns(features, "factors", "f")

    def chunks() -> Iterator[Chunk]:
        import tensorflow_datasets as tfds

        # Files unshuffled: the same order at every reading.
        examples = iter(tfds.as_numpy(builder.as_dataset(split=slices[split], shuffle_files=False)))
        while block := list(islice(examples, CHUNK)):
            squares = [
                resize_antialiased(center_crop(_rgb(example["image"], name), crop), size)
                for example in block
            ]
            chunk = {"image": np.stack(squares)}
            for key, names, dtype in (
                ("attributes", attributes, np.uint8),
                ("factors", factors, np.float32),
            ):
                if names:
                    rows = [[example[key][column] for column in names] for example in block]
                    chunk[key] = np.array(rows, dtype)
            yield chunk

    return Source(_count(builder, slices[split]), chunks, attributes, factors)


def _prepared(name: str, data_dir: str | None) -> Any:
    """The TFDS builder, its data downloaded and prepared."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        files = "CelebA's own files in data_dir, " if name == "celeb_a" else ""
        raise DataError(
            f"{name} is read by TensorFlow Datasets, which is not to be had here ({error}); "
            f"pip install tensorflow tensorflow-datasets, or use {files}npz:PATH or images:DIR."
        ) from error

    if name.split("/")[0] == "procedural_faces":
        from csi_tf.data import tfds_builder  # noqa: F401 - registers the builder
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        prepared = builder.is_prepared()
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "tfds.list_builders() has the names."
        )
        raise DataError(f"TFDS has no dataset {name!r}; {hint}") from error
    except Exception as error:  # Registered builders check their settings in ways of their own.
        raise DataError(_no_luck(name, error)) from error
    if not prepared:
        own = name == "celeb_a" and data_dir is not None
        logger.warning(
            "%s is not prepared in %s%s; TFDS now downloads it, which it tries for minutes "
            "(npz:PATH and images:DIR need no download).",
            name,
            builder.data_dir,
            f", nor is there a folder img_align_celeba in {data_dir}" if own else "",
        )
        connections = logging.getLogger("urllib3")  # which warns of each attempt that failed
        level = connections.level
        connections.setLevel(logging.ERROR)
        try:
            builder.download_and_prepare()
        except Exception as error:  # Servers, quotas, checksums and disks fail in countless types.
            raise DownloadError(_no_luck(name, error)) from error
        connections.setLevel(level)  # not after a failure, as other threads may still be trying
    return builder


def _no_luck(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200].rstrip(".")
    local = (
        "the folder with img_align_celeba and its two list files, or one that TFDS prepared"
        if name == "celeb_a"
        else "a folder that TFDS prepared"
    )
    return (
        f"TFDS cannot provide {name} ({type(error).__name__}: {reason}); use a local copy "
        f"through data_dir ({local}), npz:PATH or images:DIR."
    )


def _slices(builder: Any) -> dict[str, str]:
    """{split: what TFDS reads for it}: its own splits or, without any held out, a part of train."""
    declared = builder.info.splits
    own = {split: split for split in declared}
    if "train" not in own or {"test", "validation"} & set(own):
        return own
    count = declared["train"].num_examples
    kept = count - held_out_count(count)
    return own | {"train": f"train[:{kept}]", "test": f"train[{kept}:]", "all": "train"}


def _count(builder: Any, part: str) -> int:
    return builder.info.splits[part].num_examples


def _columns(features: Any, key: str, kind: str) -> tuple[str, ...]:
    """The names in a dictionary feature of scalars of one kind (CelebA's form), else ().

    Sorted, which is CelebA's own order: features restored from disk come in an arbitrary one.
    """
    if key not in features or not hasattr(features[key], "items"):
        return ()
    scalars = all(
        f.shape == () and np.dtype(f.np_dtype).kind == kind for f in features[key].values()
    )
    return tuple(sorted(features[key])) if scalars else ()


def _rgb(image: np.ndarray, name: str) -> np.ndarray:
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4):
        raise DataError(
            f"tfds:{name} has images of shape {image.shape}; expected (H, W, 1, 3 or 4): "
            "export single pictures and use images:DIR."
        )
    return to_rgb(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image))
