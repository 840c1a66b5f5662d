"""--mode=studio: serves the page until it is interrupted."""

import ipaddress
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from PIL import Image

from csi_tf.errors import Terminated
from csi_tf.studio import canvas
from csi_tf.studio.desk import PEOPLE
from csi_tf.studio.engine import Engine
from csi_tf.studio.settings import Studio

WAITING = 32  # requests that wait their turn; more are told to come back
MOST_UPLOADED = "200mb"  # a PNG of a large photo, which the page itself may have made


def run(settings: Studio, directory: Path) -> None:
    try:
        with serving(settings, directory) as url:
            print(f"The studio is at {url}; Ctrl-C ends it.", flush=True)
            if not _is_here(settings.host):
                print(f"Whoever reaches this machine ({settings.host}) can use it.", flush=True)
            Event().wait()
    except KeyboardInterrupt as stop:
        if isinstance(stop, Terminated):
            raise
        print("\nThe studio is closed.")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def serving(settings: Studio, directory: Path) -> Iterator[str]:
    """The page's address. Uploads and downloads lie in the directory."""
    if not settings.names:
        raise ValueError("no model comes along with this checkout: name one with --model")
    _check_port(settings)
    # Gradio and its server read these: nothing is told to anybody, nothing lies elsewhere.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(directory)
    # Who a request says it comes from is nothing to go by.
    os.environ["FORWARDED_ALLOW_IPS"] = ""
    try:
        import gradio
        from starlette.middleware import Middleware
    except ImportError:
        raise ValueError('the studio needs Gradio: pip install ".[studio]"') from None
    from csi_tf.studio.page import CSS, Page

    page = Page(Engine(settings.names), directory)
    # What does not wait in the queue could draw beside it.
    blocks = page.build().queue(max_size=WAITING, api_open=False)
    _, local, shared = blocks.launch(
        server_name=settings.host,
        server_port=settings.port,
        share=settings.share,
        prevent_thread_lock=True,
        quiet=True,
        max_file_size=MOST_UPLOADED,
        state_session_capacity=PEOPLE,
        footer_links=["api"],
        theme=gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css=CSS,
        app_kwargs={"middleware": [Middleware(OwnPage, alone=_is_alone(settings))]},
    )
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, canvas.MOST_PIXELS // 2
    try:
        yield shared or local
    finally:
        Image.MAX_IMAGE_PIXELS = before
        page.actions.desks.stop_all()
        blocks.close(verbose=False)


class OwnPage:
    """What other websites have a browser send here is refused: it sends uploads without asking.

    Programs name no origin. A website can give a name of its own this machine's address, and then
    passes for this page: a page for this machine alone (`alone`) is known by no other name. And it
    can say which host it came through, which is believed of a proxy on this machine.
    """

    def __init__(self, app: Any, alone: bool) -> None:
        self._app, self._alone = app, alone

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or self._is_own(scope):
            await self._app(scope, receive, send)
            return
        said = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 403, "headers": said})
        body = b"This studio takes nothing from pages of other websites."
        await send({"type": "http.response.body", "body": body})

    def _is_own(self, scope: Any) -> bool:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if self._alone and not _is_here(re.sub(r":\d+$", "", host)):
            return False
        if origin is None or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return True
        hosts = [host]
        if _is_here((scope.get("client") or [""])[0]):
            hosts.append(headers.get(b"x-forwarded-host", host))
        return origin.partition("://")[2] in hosts


def _is_alone(settings: Studio) -> bool:
    return _is_here(settings.host) and not settings.share


def _is_here(host: str) -> bool:
    """Whether it is a name or address of this machine that only it can reach."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # some other name
        return False


def _check_port(settings: Studio) -> None:
    try:
        with socket.create_server((settings.host, settings.port)):
            pass
    except OSError as error:
        raise OSError(
            f"cannot serve on {settings.host}:{settings.port} ({error.strerror}): give another"
            " --port if another studio is running there, or an address of this machine as --host"
        ) from None
