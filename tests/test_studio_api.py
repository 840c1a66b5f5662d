"""The studio for programs: its API, and what it does not give away; no browser needed."""

import base64
import io
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx
import numpy as np
import pytest
from browsing import only_the_hole_differs
from PIL import Image

from csi_tf import loading, session
from csi_tf.studio import serve
from csi_tf.studio.engine import Engine


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
    assert studio.predict(asked, 2, [1.5], api_name="/sweep") == strip[1:]
    with Image.open(io.BytesIO(base64.b64decode(made["spread"]))) as image:
        assert np.asarray(image).std() > 0
    drawn = [studio.predict(name, seed, api_name="/draw")["picture"] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


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


@pytest.mark.parametrize(
    ("call", "change", "words"),
    [
        ("/face", {0: None}, "None is none of this studio's models"),
        ("/face", {1: "7"}, "number is '7'; give a whole number"),
        ("/draw", {1: None}, "seed is None; give a whole number"),
        ("/infer", {0: "session"}, "it does not say that it is one"),
        ("/sweep", {1: None}, "no latent called 'None'"),
        ("/sweep", {2: 1.0}, "a list of 1 to 64"),
        ("/sweep", {2: ["a"]}, "a list of 1 to 64"),
        ("/sweep", {2: [0.0] * 100}, "a list of 1 to 64"),
    ],
)
def test_what_is_of_another_kind_is_refused(studio, monkeypatch, call, change, words):
    """Before anything is drawn."""
    (name,) = studio.predict(api_name="/models")
    session_ = studio.predict(name, 3, api_name="/face")
    given = {"/infer": [session_], "/sweep": [session_, "2", [1.0]]}.get(call, [name, 3])
    monkeypatch.setattr(Engine, "complete", None)
    with pytest.raises(Exception, match=words):
        studio.predict(*(change.get(i, each) for i, each in enumerate(given)), api_name=call)


def test_no_file_can_be_read_through_it(address):
    for path in (loading.__file__, "/etc/passwd"):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{address}gradio_api/file={path}")
        assert refused.value.code in (403, 404)


@pytest.mark.parametrize(
    ("origin", "forwarded", "status"),
    [
        (None, None, 200),  # a program
        ("its own", None, 200),
        ("https://studio.example", "studio.example", 200),  # behind a proxy
        ("https://elsewhere.example", None, 403),
        ("https://elsewhere.example", "studio.example", 403),
        ("http://127.0.0.1:1", None, 403),
        ("null", None, 403),
        ("http://[", None, 403),
    ],
)
def test_pages_of_other_websites_send_nothing(address, origin, forwarded, status):
    headers = {"Origin": address.rstrip("/") if origin == "its own" else origin}
    if forwarded:
        headers |= {"X-Forwarded-Host": forwarded, "X-Forwarded-For": "10.0.0.7"}
    headers = {name: value for name, value in headers.items() if value}
    sent = {"files": ("a.txt", b"text")}
    answer = httpx.post(f"{address}gradio_api/upload", files=sent, headers=headers)
    assert answer.status_code == status
    assert (status == 200) == ("other websites" not in answer.text)
    assert httpx.get(address, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("alone", "host", "client", "origin", "forwarded", "passes"),
    [
        # A website that gives its own name this machine's address
        (True, "evil.example:7860", "127.0.0.1", "http://evil.example:7860", None, False),
        (True, "evil.example:7860", "127.0.0.1", None, None, False),
        (True, "evil.example", "127.0.0.1", "http://evil.example", "evil.example", False),
        (True, "127.evil.example", "127.0.0.1", "http://127.evil.example", None, False),
        (True, "localhost:7860", "127.0.0.1", "http://localhost:7860", None, True),
        (True, "[::1]:7860", "::1", "http://[::1]:7860", None, True),
        (True, "127.0.0.1:7860", "127.0.0.1", None, None, True),
        # For others too: by any name, but no website says which it was
        (False, "10.0.0.5:7860", "10.0.0.9", "http://10.0.0.5:7860", None, True),
        (False, "10.0.0.5:7860", "10.0.0.9", "http://evil.example", "evil.example", False),
        (False, "10.0.0.5:7860", "127.0.0.1", "https://studio.example", "studio.example", True),
    ],
)
def test_whose_page_it_is(alone, host, client, origin, forwarded, passes):
    given = {"host": host, "origin": origin, "x-forwarded-host": forwarded}
    headers = [(k.encode(), v.encode()) for k, v in given.items() if v]
    scope = {"type": "http", "method": "POST", "headers": headers, "client": (client, 5000)}
    assert serve.OwnPage(None, alone)._is_own(scope) == passes


def test_ten_at_once_each_get_their_own(address):
    """Impatient people: nobody is refused, nobody gets another's picture."""
    from gradio_client import Client

    clients = [Client(address, verbose=False) for _ in range(10)]
    (name,) = clients[0].predict(api_name="/models")
    asked = [client.predict(name, i, api_name="/face") for i, client in enumerate(clients)]
    jobs = [
        client.submit(session, api_name="/inpaint")
        for client, session in zip(clients, asked, strict=True)
    ]
    found = [job.result(timeout=120)["pictures"][0] for job in jobs]
    for session_, picture in zip(asked, found, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            only_the_hole_differs(session.parse(session_), np.asarray(image))


def test_no_click_is_dropped_while_another_is_on_its_way(address):
    with urlopen(f"{address}config") as answer:
        functions = json.load(answer)["dependencies"]
    clicks = [each for each in functions if each["targets"] and each["targets"][0][1] != "unload"]
    assert len(clicks) > 20
    assert all(each["trigger_mode"] != "once" for each in clicks)


def test_a_forged_upload_reads_nothing(address):
    """Each function of the page that takes a file, told of one that was never uploaded."""
    with urlopen(f"{address}config") as answer:
        config = json.load(answer)
    takes_files = {
        component["id"]
        for component in config["components"]
        if component["type"] in ("image", "uploadbutton")
    }
    forged = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    tried = 0
    for function in config["dependencies"]:
        if not takes_files & set(function["inputs"]):
            continue
        tried += 1
        data = [forged if each in takes_files else None for each in function["inputs"]]
        said = answer_to(address, function["id"], data)
        assert "root:" not in said
        assert '"success":false' in said.replace(" ", ""), said
    assert tried >= 3


def answer_to(address, number, data):
    """All that the queue tells of one call, or why it was refused."""
    name = f"forger{number}"
    call = {"data": data, "fn_index": number, "session_hash": name}
    asked = Request(
        f"{address}gradio_api/queue/join",
        json.dumps(call).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(asked):
        pass
    with urlopen(f"{address}gradio_api/queue/data?session_hash={name}", timeout=60) as stream:
        said = ""
        for line in stream:
            said += line.decode()
            if "process_completed" in said or "close_stream" in said:
                break
    return said
