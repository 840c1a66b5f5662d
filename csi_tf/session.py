"""A picture, its hole and all that says how it is filled: what the studio saves.

A session is JSON, by itself or in a text chunk of a PNG that was made from it. Either can be loaded
into the studio again, and `--mode=inpaint --session=FILE` draws the same pixels. It has the SHA-256
sums of the files they depend on, so that a model that was trained on since is noticed.
"""

import base64
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from csi_tf import checks, files, latents, pictures
from csi_tf.data import image_files
from csi_tf.masks.files import hole_of_image

FORMAT = 1
CHUNK = "csi-tf-session"
MOST = 8_000_000  # bytes of JSON: a picture of 256x256 takes a fortieth
MOST_SIDE, MOST_SAMPLES = 256, 16
UNLIMITED = 5.0  # truncations from here on are None: colours go as far as they like


@dataclass(frozen=True, eq=False)
class Session:
    """`latents` are those that are set, by dimension or name; all others are inferred."""

    model: str  # as csi_tf.load takes it, from any directory
    image: np.ndarray  # uint8 (S, S, 3)
    context_mask: np.ndarray  # float32 (S, S, 1), 1 = observed
    latents: Mapping[int | str, float] = field(default_factory=dict)
    names: Mapping[int | str, str] = field(default_factory=dict)  # what a person calls latents
    seed: int = 0
    num_samples: int = 1
    truncation: float | None = 1.0
    z: str = "posterior"  # or "whole", of csi_tf.whole
    said: str = ""  # where the picture is from
    sha256: Mapping[str, str] = field(default_factory=dict)  # of csi_tf.loading.digests

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "csi-tf session": FORMAT,
            "model": self.model,
            "seed": self.seed,
            "num_samples": self.num_samples,
            "truncation": self.truncation,
            "z": self.z,
            "latents": {str(key): float(value) for key, value in self.latents.items()},
            "names": {str(key): name for key, name in self.names.items()},
            "said": self.said,
            "sha256": dict(self.sha256),
            "picture": base64.b64encode(png(self.image)).decode(),
            "mask": base64.b64encode(png(self.hole)).decode(),
        }

    def to_png(self, pixels: np.ndarray, number: int, profile: bytes | None = None) -> bytes:
        """A completion, perhaps pasted into its photo, that tells how it came about, and which one
        of the session's it is."""
        text = PngInfo()
        text.add_text("Software", "csi-tf")
        text.add_text("Sample", str(number))
        text.add_itxt(CHUNK, self.to_json())
        return png(pixels, text, profile)

    def changed(self, sha256: Mapping[str, str]) -> str:
        """Which of the files that its pixels depend on are others than these; "" if none is known
        to be: sessions of before do not tell."""
        from csi_tf import whole  # and Keras with it, which reading does without

        used = {
            "model": True,
            whole.FILE: self.z == "whole",
            latents.FILE: any(isinstance(key, str) for key in self.latents),
        }
        known = [name for name in used if used[name] and name in self.sha256 and name in sha256]
        return " and ".join(name for name in known if self.sha256[name] != sha256[name])

    @property
    def hole(self) -> np.ndarray:
        """As a mask file has it: uint8 (S, S), white is the hole."""
        return np.where(self.context_mask[..., 0] == 0, 255, 0).astype(np.uint8)


def read(path: Any) -> Session:
    """A session from its JSON or from a PNG; ValueError saying what is wrong with the file."""
    file = checks.existing_file(path)
    with file.open("rb") as start:
        is_png = start.read(4) == b"\x89PNG"
    if not is_png and file.stat().st_size > MOST:
        raise ValueError(f"{file.name} is larger than any session is.")
    if is_png:  # perhaps a large photo, with a completion in it, of which no pixel is read
        try:
            with Image.open(file, formats=("PNG",)) as image:
                if CHUNK not in image.info and max(image.size) <= MOST_SIDE:
                    image.load()  # it may stand after the pixels
                content = str(image.info[CHUNK]).encode()
        except (OSError, KeyError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise ValueError(
                f"{file.name} has no session in it: it is no PNG of the studio's, or another"
                " program has saved it since."
            ) from None
    else:
        content = file.read_bytes()
    try:
        return parse(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} is no session of this version: {error}") from None


def parse(found: Any) -> Session:
    """From what `to_dict` gives; ValueError if it is anything else."""
    try:
        return _parsed(found)
    except (TypeError, KeyError, AttributeError, OverflowError, OSError, SyntaxError) as error:
        raise ValueError(f"something in it is not as it should be: {error!r}") from None


def _parsed(found: Any) -> Session:
    if not isinstance(found, dict) or found.get("csi-tf session") != FORMAT:
        raise ValueError(f"it does not say that it is one of format {FORMAT}")
    # Programs send any PNG: what a file of it would mean, it means here.
    image = image_files.to_rgb(_picture(found["picture"]))
    hole = hole_of_image(_picture(found["mask"]))
    if image.shape[:2] != hole.shape or image.shape[0] != image.shape[1]:
        raise ValueError(f"its picture is {image.shape[:2]} and its mask {hole.shape} pixels large")
    truncation = None if found["truncation"] is None else float(found["truncation"])
    if truncation is not None and not 0 <= truncation < UNLIMITED:
        raise ValueError(f"its truncation is {truncation}; from 0 to below {UNLIMITED}, or null")
    z = found.get("z", "posterior")  # which those of before there was a choice have
    if z not in ("posterior", "whole"):
        raise ValueError(f"its z is {z!r}; posterior or whole")
    values = {_key(key): float(value) for key, value in found["latents"].items()}
    if not all(math.isfinite(value) for value in values.values()):
        raise ValueError("it sets a latent to what is no number")
    return Session(
        model=_text(found["model"]),
        image=image,
        context_mask=(~hole).astype(np.float32)[..., None],
        latents=values,
        names={_key(key): _text(name) for key, name in found["names"].items()},
        seed=checks.whole_number(found["seed"], "seed", 0, 2**31 - 1),
        num_samples=checks.whole_number(found["num_samples"], "num_samples", 1, MOST_SAMPLES),
        truncation=truncation,
        z=z,
        said=_text(found.get("said", "")),
        sha256={key: _text(sum_) for key, sum_ in found.get("sha256", {}).items()},
    )


def _key(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} stands where a text should")
    return value


def png(pixels: np.ndarray, text: PngInfo | None = None, profile: bytes | None = None) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", pnginfo=text, icc_profile=profile)
    return content.getvalue()


def _picture(text: str) -> Image.Image:
    with _opened(base64.b64decode(text)) as image:
        image.load()
        return pictures.upright(image)


def _opened(content: bytes) -> Image.Image:
    """A PNG, not yet unpacked, that is no larger than the models' pictures."""
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG",))
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None
    if max(image.size) > MOST_SIDE:
        raise ValueError(f"it has a picture of {image.size} pixels; {MOST_SIDE} on a side at most")
    return image


def write_files(session: Session, directory: Path, overwrite: bool) -> tuple[Path, Path]:
    """The picture, and the mask, under names that nobody's own picture has."""
    places = directory / "session-picture.png", directory / "session-mask.png"
    ours = PngInfo()
    ours.add_text(image_files.RECORD, "{}")  # no picture to be filled or to be learnt from
    for place, pixels in zip(places, (session.image, session.hole), strict=True):
        content = png(pixels, ours)
        if place.exists() and place.read_bytes() != content and not overwrite:
            raise ValueError(
                f"{place} is there already and another one; give --overwrite or another --output"
            )
        files.write(place, content)
    return places
