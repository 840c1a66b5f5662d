"""The studio for programs: its API, and what it does not give away; no browser needed."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from test_studio_page import only_the_hole_differs

from csi_tf import loading, session


@pytest.fixture(scope="module")
def studio(address):
    from gradio_client import Client

    return Client(address, verbose=False)


def test_programs_can_do_the_same(studio):
    (name,) = studio.predict(api_name="/models")
    asked = studio.predict(name, 3, api_name="/face")
    asked["latents"] = {"2": 1.5}
    made = studio.predict(asked, api_name="/inpaint")
    picture = base64.b64decode(made["pictures"][0])
    with Image.open(io.BytesIO(picture)) as image:
        only_the_hole_differs(session.parse(asked), np.asarray(image))
    assert all(z[2] == 1.5 for z in made["latents"])
    inferred = studio.predict(asked, api_name="/infer")
    strip = studio.predict(asked, "2", [inferred["2"], 1.5], api_name="/sweep")
    assert strip[1] == made["pictures"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "/etc"}, "none of this studio's models"),
        ({"latents": {"smile": 1}}, "no latent called"),
        ({"seed": -3}, "seed"),
        ({"num_samples": 99}, "num_samples"),
    ],
)
def test_programs_are_told_what_is_wrong(studio, change, words):
    (name,) = studio.predict(api_name="/models")
    asked = studio.predict(name, 3, api_name="/face") | change
    with pytest.raises(Exception, match=words):  # of Gradio's own kind
        studio.predict(asked, api_name="/inpaint")


def test_no_sweep_without_end(studio):
    (name,) = studio.predict(api_name="/models")
    asked = studio.predict(name, 3, api_name="/face")
    with pytest.raises(Exception, match="from 1 to 64"):
        studio.predict(asked, "2", [0.0] * 100, api_name="/sweep")


def test_no_file_can_be_read_through_it(address):
    from urllib.error import HTTPError
    from urllib.request import urlopen

    for path in (loading.__file__, "/etc/passwd"):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{address}gradio_api/file={path}")
        assert refused.value.code in (403, 404)
