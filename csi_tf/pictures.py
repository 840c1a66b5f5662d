"""Opening picture files, photographs and masks alike."""

from typing import Any

from PIL import (  # Pillow loads WebP and TIFF late.
    Image,
    ImageOps,
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from csi_tf.checks import existing_file

# Formats not asked for stay closed: some of Pillow's decoders start external programs.
NAMES = {"PNG": "PNG", "JPEG": "JPEG", "WEBP": "WebP", "BMP": "BMP", "GIF": "GIF", "TIFF": "TIFF"}
# A small file can unpack to gigabytes. The limit is where Pillow starts to warn.
MAX_PIXELS = 89_478_485


def read(
    path: Any, formats: tuple[str, ...], error: type[ValueError], what: str = "file"
) -> Image.Image:
    """The decoded picture, turned upright by its EXIF orientation; `error` in one sentence."""
    file = existing_file(path, error, what)
    try:
        with Image.open(file, formats=formats) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            return upright(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        limit = min(MAX_PIXELS, 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS))  # Pillow's is doubled
        raise error(
            f"{file} is larger than {limit} pixels; shrink it before reading it."
        ) from problem
    except Image.UnidentifiedImageError as problem:
        *most, last = (NAMES[name] for name in formats)
        raise error(
            f"{file} is not a {', '.join(most)} or {last} image; convert it to one of these."
        ) from problem
    except Exception as problem:  # Pillow's decoders raise almost anything on damaged files.
        if isinstance(problem, OSError) and problem.strerror:  # the system's, not a decoder's
            raise error(f"{file} cannot be read: {problem.strerror}.") from problem
        reason = str(problem).rstrip(".") or type(problem).__name__
        raise error(f"{file} is damaged and cannot be read: {reason}.") from problem


def upright(image: Image.Image) -> Image.Image:
    """As its EXIF orientation says, if that can be read."""
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception:  # as of damaged pictures, and the pixels are sound
        turned = image.copy()
    turned.format = image.format  # copies have none, and it says what values may mean
    return turned
