"""Image files -> uint8 RGB arrays, centre crops and antialiased resizes.

Every file is brought to 8-bit RGB the same way: turned upright by its EXIF orientation, 16-bit
grey divided by 257, CMYK converted, transparency laid over white; of an animation the first frame
counts, and colour profiles are not applied.
"""

import functools
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from csi_tf import checks, pictures
from csi_tf.data.base import CHUNK, Chunk
from csi_tf.data.errors import DataError, ImageFileError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # JPEG includes the MPO that many cameras write
# Files decoded ahead of the reader: enough to keep the threads busy, little memory.
READ_AHEAD = 256
# Pictures that are not read, and should not be missing without a word
_OTHERS = (".tif", ".tiff", ".gif", ".heic", ".heif", ".avif", ".jfif", ".jp2")
RECORD = "csi-tf"  # in PNG files of ours, the text that says how they were made
_OF_A_RUN = {"config.json", "flagfile.txt"}
NAMED = 20  # files or folders that one message lists

logger = logging.getLogger(__name__)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """uint8 (H, W, 3); ImageFileError, in one sentence, for anything else."""
    return to_rgb(pictures.read(path, FORMATS, ImageFileError))


def rgb_profile(path: str | os.PathLike[str]) -> bytes | None:
    """The colour profile of a file whose colours are RGB."""
    with Image.open(path, formats=FORMATS) as image:
        profile = image.info.get("icc_profile") or b""
    return profile if profile[16:20] == b"RGB " else None  # where ICC.1 has the colour space


def losses(path: str | os.PathLike[str]) -> list[str]:
    """What a file has that 8-bit RGB has not, in words."""
    with Image.open(path, formats=FORMATS) as image:
        # Pillow tells of the bits of colours only in how it will decode them.
        is_deep = any(str(tile[3]).endswith(";16B") for tile in image.tile)
        has_other = "icc_profile" in image.info and rgb_profile(path) is None
        # The second picture in a camera's MPO is no later frame.
        is_moving = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
        is_clear = _transparent(image).any()
    said = {
        "transparency is laid over white": is_clear,
        "16 bits become 8": is_deep,
        "a colour profile of other colours is left out": has_other,
        "only the first of its frames is kept": is_moving,
    }
    return [text for text, holds in said.items() if holds]


def transparent(path: str | os.PathLike[str]) -> np.ndarray:
    """(H, W) booleans, True where a picture is transparent, be it in part."""
    return _transparent(pictures.read(path, FORMATS, ImageFileError))


def is_clear(path: str | os.PathLike[str]) -> bool:
    """Whether any of a picture is transparent; most need not be unpacked for that."""
    with Image.open(path, formats=FORMATS) as image:
        return bool(image.has_transparency_data and _transparent(image).any())


def _transparent(image: Image.Image) -> np.ndarray:
    if not image.has_transparency_data:
        return np.zeros((image.height, image.width), bool)
    return np.asarray(image.convert("RGBA").getchannel("A")) < 255


def to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3) from a Pillow image of any mode; DataError if its range is in doubt."""
    if image.mode == "F":
        raise DataError(
            "The image is of mode F; expected uint8 in 0..255: with x = np.asarray(image),"
            f" {_conversion(np.dtype(np.float32))}."
        )
    if image.mode.startswith("I"):  # Pillow holds 16-bit grey as I;16 or, in older files, as I.
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ImageFileError("The image has more than 16 bits a pixel; save it with 8 or 16.")
        if 0 < grey.max() <= 255 and image.format != "PNG":  # where they are of 16
            raise DataError(
                f"The image is of mode {image.mode} with values up to {grey.max()}, which 16 bits"
                " would make black; if they are of 8, give"
                " Image.fromarray(np.asarray(image).astype(np.uint8))."
            )
        # 65535 = 255 * 257, so this is rounding to the nearest 8-bit level.
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def center_crop(image: np.ndarray, crop: int | None = None) -> np.ndarray:
    """The central crop x crop square of (..., H, W, C); by default the largest square."""
    _check_array(image, "center_crop", "(..., height, width, channels)")
    if image.ndim < 3:
        raise DataError(
            f"center_crop got an array of shape {image.shape}; expected (..., H, W, C): "
            "give a grey image its channel axis with image[..., None]."
        )
    height, width = image.shape[-3:-1]
    _check_pixels(image, "center_crop")
    largest = min(height, width)
    crop = largest if crop is None else checks.whole_number(crop, "crop", 1)
    if crop > largest:
        raise DataError(
            f"A crop of {crop} pixels does not fit a {height}x{width} image; "
            f"choose one from 1 to {largest}."
        )
    top, left = (height - crop) // 2, (width - crop) // 2
    return image[..., top : top + crop, left : left + crop, :]


def resize_antialiased(images_u8: np.ndarray, size: int) -> np.ndarray:
    """uint8 (..., S, S, 3) from (..., H, W, 3) by a bicubic filter that widens with the reduction.

    Equal, up to the last rounding, to tf.image.resize(method="bicubic", antialias=True).
    """
    check_images(images_u8, "resize_antialiased")
    size = checks.whole_number(size, "size", 1)
    if images_u8.shape[-3:-1] == (size, size):
        return images_u8
    flat = images_u8.reshape(-1, *images_u8.shape[-3:])
    resized = np.empty((len(flat), size, size, 3), np.uint8)
    for target, image in zip(resized, flat, strict=True):
        for channel in range(3):
            # In floats: on 8-bit pictures Pillow rounds and clips between its two passes.
            plane = Image.fromarray(image[..., channel].astype(np.float32))
            plane = plane.resize((size, size), Image.Resampling.BICUBIC)
            target[..., channel] = np.clip(np.rint(np.asarray(plane)), 0, 255)
    return resized.reshape(*images_u8.shape[:-3], size, size, 3)


def check_images(images: Any, what: str) -> None:
    """Insist on uint8 (..., H, W, 3)."""
    _check_array(images, what, "(..., height, width, 3)")
    if images.dtype != np.uint8:
        hint = _conversion(images.dtype)
        raise DataError(f"{what} got {images.dtype}; expected uint8 in 0..255: {hint}.")
    if images.ndim < 3 or images.shape[-1] != 3:
        raise DataError(
            f"{what} got shape {images.shape}; expected (..., height, width, 3)"
            f"{rgb_hint(images.shape)}."
        )
    _check_pixels(images, what)


def _conversion(dtype: np.dtype) -> str:
    """What turns pixels of another type into uint8."""
    if np.issubdtype(dtype, np.floating):
        return "scale floats in [0, 1] by (x * 255).round().astype(np.uint8)"
    return "convert it with .astype(np.uint8) once its values are in 0..255"


def rgb_hint(shape: tuple[int, ...]) -> str:
    """What turns pictures of another shape into (..., H, W, 3)."""
    if len(shape) < 2:
        return ""
    if len(shape) > 2 and shape[-1] == 1:
        return ": give grey images three channels with np.repeat(x, 3, axis=-1)"
    if len(shape) > 2 and shape[-1] == 4:
        return ": leave out the fourth channel with x[..., :3]"
    if len(shape) > 3 and shape[-3] == 3:
        return ": move the channels to the end with np.moveaxis(x, -3, -1)"
    return ": give grey images three channels with np.repeat(x[..., None], 3, axis=-1)"


def _check_array(images: Any, what: str, expected: str) -> None:
    if not isinstance(images, np.ndarray):
        convertible = isinstance(images, list | tuple) or hasattr(images, "__array__")
        hint = ": convert it with np.asarray" if convertible else ""
        raise DataError(
            f"{what} got {type(images).__name__}; expected a NumPy array {expected}{hint}."
        )


def _check_pixels(images: np.ndarray, what: str) -> None:
    height, width = images.shape[-3:-1]
    if not (height and width):
        raise DataError(f"{what} got images of {height}x{width} pixels; expected at least 1x1.")


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    path = checks.path(folder, "folder")
    if not os.path.isdir(path):
        raise DataError(f"There is no folder {folder}; name an existing one.")
    return path


@dataclass
class LeftOut:
    """What `images_under` came by and left out."""

    closed: list[OSError] = field(default_factory=list)  # folders that cannot be read
    ours: list[str] = field(default_factory=list)  # runs, and pictures that we have written
    others: list[str] = field(default_factory=list)  # pictures in formats that are not read
    skipped: int = 0  # files that were to be


def images_under(
    folder: Path, left_out: LeftOut | None = None, skip: Sequence[Path] = ()
) -> Iterator[Path]:
    """The image files under a folder, hidden ones left out, and those that this program has
    written, unless the folder was named and has no others. Nothing in `skip` (resolved) counts.

    Hidden entries are editors' and macOS's leftovers, which often end in .jpg without being one.
    Links to folders are followed; a folder that several paths lead to counts once.
    """
    left = left_out or LeftOut()
    top, seen = os.fspath(folder), {os.path.realpath(folder)}
    asked, found = [], 0  # results in the folder that was named, and other pictures
    results: set[str] = set()  # folders of results, and those below
    for parent, folders, names in os.walk(folder, onerror=left.closed.append, followlinks=True):
        if parent != top and {*names} >= _OF_A_RUN:
            left.ours.append(parent)
            folders.clear()
            continue
        inside = []
        for name in sorted(folders):
            place = os.path.realpath(os.path.join(parent, name))
            if not name.startswith(".") and place not in seen:
                seen.add(place)
                inside.append(name)
        folders[:] = inside
        if parent in results or _has_results(parent, names):
            results |= {parent, *(os.path.join(parent, name) for name in inside)}
        for name in names:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if skip and any(map(path.resolve().is_relative_to, skip)):
                left.skipped += 1
                continue
            if not name.lower().endswith(SUFFIXES):
                if name.lower().endswith(_OTHERS):
                    left.others.append(str(path))
            elif parent not in results or not is_ours(path):
                found += 1
                yield path
            elif top in results:
                asked.append(path)
            else:
                left.ours.append(str(path))
    if not found:
        yield from asked
    else:
        left.ours += map(str, asked)


def is_ours(path: Path) -> bool:
    """A PNG that this program has written."""
    try:
        with Image.open(path, formats=("PNG",)) as image:  # the pixels are not read
            return RECORD in image.info
    except Exception:  # Pillow raises almost anything on damaged files
        return False


def _has_results(folder: str, names: Sequence[str]) -> bool:
    """Whose lines begin with what they are of; others have files of that name too."""
    if "results.jsonl" not in names:
        return False
    with suppress(OSError), open(os.path.join(folder, "results.jsonl"), "rb") as file:
        return file.read(10) == b'{"input": '
    return False


def list_images(folder: str | os.PathLike[str], skip: Sequence[Path] = ()) -> list[Path]:
    """The image files under a folder, sorted by their path within it; hidden ones left out, and
    what lies in `skip`."""
    folder = existing_folder(folder)
    left = LeftOut()
    found = list(images_under(folder, left, skip))
    if left.skipped and not found:
        return []
    if left.ours:
        _tell_once(f"Left out what this program has written: {listed(sorted(left.ours))}")
    if found and left.others:
        _tell_once(f"Left out, as PNG, JPEG, WebP or BMP is read: {listed(sorted(left.others))}")
    unreadable = listed([f"{error.filename} ({error.strerror})" for error in left.closed])
    if not found and left.closed:
        raise DataError(
            f"No image can be read under {folder}: there is no access to {unreadable}; "
            "change the permissions."
        )
    if not found:
        raise DataError(
            f"No image lies under {folder}; it needs files ending in {', '.join(SUFFIXES)}."
        )
    if left.closed:
        folders = "1 folder" if len(left.closed) == 1 else f"{len(left.closed)} folders"
        logger.warning("Skipped %s that cannot be read: %s", folders, unreadable)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


@functools.cache
def _tell_once(said: str) -> None:
    """Not with every split."""
    logger.warning(said)


def read_squares(
    paths: Sequence[Path], size: int, crop: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the path, uint8 (size, size, 3)) for every readable file, in order.

    Each image is centre-cropped to a square and then resized. Unreadable files are skipped,
    and named in one warning at the end; with none readable, DataError.
    """

    def read(path: Path) -> np.ndarray | ImageFileError:
        try:
            return resize_antialiased(center_crop(read_image(path), crop), size)
        except ImageFileError as error:
            return error
        except DataError as error:
            return ImageFileError(f"{path}: {error}")

    failures: list[ImageFileError] = []
    try:
        # Pillow decodes outside the interpreter lock, so threads are enough.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, len(paths), READ_AHEAD):
                results = pool.map(read, paths[start : start + READ_AHEAD])
                for number, image in enumerate(results, start):
                    if isinstance(image, ImageFileError):
                        failures.append(image)
                    else:
                        yield number, image
    finally:  # Also when the reader stops early: what was skipped until then is told.
        skipped = listed([str(error) for error in failures], " ")
        if 0 < len(failures) < len(paths):
            logger.warning(
                "Skipped %d of %d image files of the split: %s", len(failures), len(paths), skipped
            )
    if failures and len(failures) == len(paths):
        files = "The only image file" if len(paths) == 1 else f"All {len(paths)} image files"
        raise DataError(f"{files} cannot be read: {skipped}")


def read_chunks(
    paths: Sequence[Path], size: int, crop: int | None, attributes: np.ndarray | None = None
) -> Iterator[Chunk]:
    """The readable files of `read_squares` in blocks, with their rows of (N, A) attributes."""
    squares = read_squares(paths, size, crop)
    while block := list(islice(squares, CHUNK)):
        numbers, images = zip(*block, strict=True)
        chunk = {"image": np.stack(images)}
        if attributes is not None:
            chunk["attributes"] = attributes[list(numbers)]
        yield chunk


def listed(items: Sequence[str], separator: str = ", ") -> str:
    """The first of them, and how many more there are."""
    left = len(items) - NAMED
    more = f"{separator}and {left} more" if left > 0 else ""
    return separator.join(items[:NAMED]) + more
