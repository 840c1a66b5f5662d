"""The studio's operations for programs, over HTTP: sessions in, pictures out.

    from gradio_client import Client
    studio = Client("http://127.0.0.1:7860")
    session = studio.predict("procedural_faces", 7, api_name="/face")
    session["latents"] = {"3": 2.0}     # by number, or by a name that the model's latents.json has
    made = studio.predict(session, api_name="/inpaint")

A session is the JSON that the page saves. Pictures are PNG in base64; a photo of one's own takes
the place of the session's "picture", cropped to the model's size, and any hole that of its "mask";
both are read as files are.
"""

import base64
from typing import Any

import gradio as gr
import numpy as np

from csi_tf import latents as latent_space
from csi_tf import session as sessions
from csi_tf.studio import desk
from csi_tf.studio.actions import telling
from csi_tf.studio.engine import Engine

MOST_VALUES = 64


class Api:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, **drawing: Any) -> None:
        """Into the page that is being built; `drawing` shares its queue."""
        for function in (self.models, self.face, self.draw, self.infer, self.inpaint, self.sweep):
            gr.api(telling(function), api_name=function.__name__, **drawing)

    def models(self) -> list[str]:
        """The names of the studio's models."""
        return list(self._engine.names)

    def face(self, model: str, number: int) -> dict[str, Any]:
        """A session on a held-out procedural face, or on one that the model drew from nothing."""
        return self._engine.face(model, number).to_dict()

    def draw(self, model: str, seed: int) -> dict[str, Any]:
        """A session on a face that the model draws from nothing."""
        return self._engine.drawn(model, seed).to_dict()

    def infer(self, session: dict[str, Any]) -> dict[str, float]:
        """Where each latent stands by what is observed: {dimension or direction's name: value}."""
        opened = self._session(session)
        sliders = self._engine.open(opened.model).sliders
        inferred = self._engine.inferred(opened)
        return {str(desk.key(each)): value for each, value in zip(sliders, inferred, strict=True)}

    def inpaint(self, session: dict[str, Any]) -> dict[str, Any]:
        """Completions, the likeliest first, and a picture of where several differ."""
        opened = self._session(session)
        made = self._engine.complete(opened)
        spread = desk.spread(opened, made)
        return {
            "pictures": [_text(image) for image in made.images[0]],
            "spread": None if spread is None else _text(spread),
            "bits_per_dim": [x if np.isfinite(x) else None for x in made.bits_per_dim[0].tolist()],
            "latents": made.latents[0].tolist(),
            "numbers": made.numbers[0].tolist(),
        }

    def sweep(self, session: dict[str, Any], latent: str, values: list[float]) -> list[str]:
        """The likeliest completion with one latent at each value, all else the same."""
        opened = self._session(session)
        if not (
            isinstance(values, list)
            and 1 <= len(values) <= MOST_VALUES
            and all(map(latent_space.is_number, values))
        ):
            raise ValueError(f"values must be a list of 1 to {MOST_VALUES} finite numbers")
        latent = str(latent)  # programs send the number itself, too
        model = self._engine.open(opened.model).model
        moved = latent_space.find(model, int(latent) if latent.isdecimal() else latent)
        made = self._engine.complete(opened)
        z, number = made.latents[0, 0], int(made.numbers[0, 0])
        return [_text(x) for x in self._engine.sweep(opened, moved, z, number, values)]

    def _session(self, found: dict[str, Any]) -> sessions.Session:
        return self._engine.checked(sessions.parse(found))


def _text(image: np.ndarray) -> str:
    return base64.b64encode(sessions.png(image)).decode()
