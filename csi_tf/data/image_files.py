"""Image files -> uint8 RGB arrays, centre crops and antialiased resizes.

Every file is brought to 8-bit RGB the same way: turned upright by its EXIF orientation, 16-bit
grey divided by 257, CMYK converted, transparency laid over white; of an animation the first frame
counts, and colour profiles are ignored.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, WebPImagePlugin  # noqa: F401 - Pillow loads WebP late

from csi_tf.data.errors import DataError, ImageFileError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# Other formats stay closed: some of Pillow's decoders start external programs. JPEG includes the
# MPO that many cameras write into a .jpg.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
# A small file can unpack to gigabytes. The limit is where Pillow starts to warn.
MAX_PIXELS = 89_478_485
# Files decoded ahead of the reader: enough to keep the threads busy, little memory.
READ_AHEAD = 256
NAMED_FAILURES = 20

logger = logging.getLogger(__name__)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """uint8 (H, W, 3); ImageFileError, in one sentence, for anything else."""
    path = Path(path).expanduser()
    if path.is_dir():
        raise ImageFileError(f"{path} is a folder, not an image; name one file.")
    if not path.is_file():
        raise ImageFileError(f"There is no file {path}.")
    try:
        with Image.open(path, formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except ImageFileError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageFileError(
            f"{path} is larger than {MAX_PIXELS} pixels; shrink it before reading it."
        ) from error
    except Image.UnidentifiedImageError as error:
        raise ImageFileError(
            f"{path} is not a PNG, JPEG, WebP or BMP image; convert it to one of these."
        ) from error
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files.
        reason = str(error).rstrip(".") or type(error).__name__
        raise ImageFileError(f"{path} is damaged and cannot be read: {reason}.") from error


def to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3) from a Pillow image of any mode."""
    if image.mode.startswith("I"):  # Pillow holds 16-bit grey as I;16 or, in older files, as I.
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ImageFileError(
                f"{getattr(image, 'filename', 'The image')} has more than 16 bits a pixel; "
                "save it with 8 or 16."
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
    if image.ndim < 3:
        raise DataError(
            f"center_crop got an array of shape {image.shape}; expected (..., H, W, C): "
            "give a grey image its channel axis with image[..., None]."
        )
    height, width = image.shape[-3:-1]
    crop = min(height, width) if crop is None else crop
    if not 1 <= crop <= min(height, width):
        raise DataError(
            f"A crop of {crop} pixels does not fit a {height}x{width} image; "
            f"choose one from 1 to {min(height, width)}."
        )
    top, left = (height - crop) // 2, (width - crop) // 2
    return image[..., top : top + crop, left : left + crop, :]


def resize_antialiased(images_u8: np.ndarray, size: int) -> np.ndarray:
    """uint8 (..., S, S, 3) from (..., H, W, 3) by a bicubic filter that widens with the reduction.

    Equal, up to the last rounding, to tf.image.resize(method="bicubic", antialias=True).
    """
    check_images(images_u8, "resize_antialiased")
    if size < 1:
        raise DataError(f"size is {size}; expected a whole number of pixels, 1 or more.")
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


def check_images(images: np.ndarray, what: str) -> None:
    """Insist on uint8 (..., H, W, 3)."""
    if images.dtype != np.uint8:
        hint = (
            "scale floats in [0, 1] by (x * 255).round().astype(np.uint8)"
            if np.issubdtype(images.dtype, np.floating)
            else "convert it with .astype(np.uint8) once its values are in 0..255"
        )
        raise DataError(f"{what} got {images.dtype}; expected uint8 in 0..255: {hint}.")
    if images.ndim < 3 or images.shape[-1] != 3:
        raise DataError(
            f"{what} got shape {images.shape}; expected (..., height, width, 3): give grey images "
            "three channels with np.repeat(x[..., None], 3, axis=-1)."
        )


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise DataError(f"There is no folder {folder}; name an existing one.")
    return path


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files under a folder, sorted by their path within it; hidden ones left out.

    Hidden entries are editors' and macOS's leftovers, which often end in .jpg without being one.
    """
    folder = existing_folder(folder)
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in files
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    if not found:
        raise DataError(
            f"No image lies under {folder}; it needs files ending in {', '.join(SUFFIXES)}."
        )
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


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
        if failures:
            logger.warning("Skipped %d of %d image files: %s", *_counted(failures, paths))
    if len(failures) == len(paths):
        raise DataError(
            "None of {1} image files could be read: {2}".format(*_counted(failures, paths))
        )


def _counted(failures: list[ImageFileError], paths: Sequence[Path]) -> tuple[int, int, str]:
    named = " ".join(str(error) for error in failures[:NAMED_FAILURES])
    left = len(failures) - NAMED_FAILURES
    return len(failures), len(paths), f"{named} And {left} more." if left > 0 else named
