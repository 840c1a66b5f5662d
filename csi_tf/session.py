"""A picture, its hole and all that says how it is filled: what the studio saves.

A session is JSON, by itself or in a text chunk of a PNG that was made from it. Either can be loaded
into the studio again, and `--mode=inpaint --session=FILE` draws the same pixels.
"""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from csi_tf import checks, files

FORMAT = 1
CHUNK = "csi-tf-session"
MOST = 8_000_000  # bytes of a file: a picture of 256x256 takes a fortieth


@dataclass(frozen=True, eq=False)
class Session:
    """`latents` are those that are set, by dimension or name; all others are inferred."""

    model: str  # as csi_tf.load takes it
    image: np.ndarray  # uint8 (S, S, 3)
    context_mask: np.ndarray  # float32 (S, S, 1), 1 = observed
    latents: Mapping[int | str, float] = field(default_factory=dict)
    names: Mapping[int | str, str] = field(default_factory=dict)  # what a person calls latents
    seed: int = 0
    num_samples: int = 1
    truncation: float | None = 1.0
    said: str = ""  # where the picture is from

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "csi-tf session": FORMAT,
            "model": self.model,
            "seed": self.seed,
            "num_samples": self.num_samples,
            "truncation": self.truncation,
            "latents": {str(key): float(value) for key, value in self.latents.items()},
            "names": {str(key): name for key, name in self.names.items()},
            "said": self.said,
            "picture": base64.b64encode(png(self.image)).decode(),
            "mask": base64.b64encode(png(self.hole)).decode(),
        }

    def to_png(self, pixels: np.ndarray) -> bytes:
        """A completion that tells how it came about."""
        text = PngInfo()
        text.add_text("Software", "csi-tf")
        text.add_itxt(CHUNK, self.to_json())
        return png(pixels, text)

    @property
    def hole(self) -> np.ndarray:
        """As a mask file has it: uint8 (S, S), white is the hole."""
        return np.where(self.context_mask[..., 0] == 0, 255, 0).astype(np.uint8)


def read(path: Any) -> Session:
    """A session from its JSON or from a PNG; ValueError saying what is wrong with the file."""
    file = checks.existing_file(path)
    if file.stat().st_size > MOST:
        raise ValueError(f"{file.name} is larger than any session is.")
    content = file.read_bytes()
    if content.startswith(b"\x89PNG"):
        try:
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                image.load()  # text may stand after the pixels
                content = str(getattr(image, "text", {})[CHUNK]).encode()
        except (OSError, KeyError, ValueError, SyntaxError):
            raise ValueError(
                f"{file.name} has no session in it: it is no PNG of the studio's, or another"
                " program has saved it since."
            ) from None
    try:
        return parse(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, OSError, SyntaxError) as error:
        raise ValueError(f"{file.name} is no session of this version: {error}") from None


def parse(found: Any) -> Session:
    """From what `to_dict` gives; an error of whatever kind if it is anything else."""
    if not isinstance(found, dict) or found.get("csi-tf session") != FORMAT:
        raise ValueError(f"it does not say that it is one of format {FORMAT}")
    image, hole = _pixels(found["picture"], "RGB"), _pixels(found["mask"], "L")
    if image.shape[:2] != hole.shape or image.shape[0] != image.shape[1]:
        raise ValueError(f"its picture is {image.shape[:2]} and its mask {hole.shape} pixels large")
    truncation = found["truncation"]
    return Session(
        model=_text(found["model"]),
        image=image,
        context_mask=(hole < 128).astype(np.float32)[..., None],
        latents={_key(key): float(value) for key, value in found["latents"].items()},
        names={_key(key): _text(name) for key, name in found["names"].items()},
        seed=checks.whole_number(found["seed"], "seed", 0, 2**31 - 1),
        num_samples=checks.whole_number(found["num_samples"], "num_samples", 1, 64),
        truncation=None if truncation is None else float(truncation),
        said=_text(found.get("said", "")),
    )


def _key(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} stands where a text should")
    return value


def png(pixels: np.ndarray, text: PngInfo | None = None) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", pnginfo=text)
    return content.getvalue()


def _pixels(text: str, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",)) as image:
        if max(image.size) > 256:
            raise ValueError(f"it has a picture of {image.size} pixels; at most 256 on a side")
        return np.asarray(image.convert(mode))


def write_files(session: Session, directory: Path) -> tuple[Path, Path]:
    """The picture, and the mask."""
    picture, mask = directory / "picture.png", directory / "mask.png"
    files.write(picture, png(session.image))
    files.write(mask, png(session.hole))
    return picture, mask
