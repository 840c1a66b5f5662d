"""--mode=studio: serves the page until it is interrupted."""

import os
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
            if settings.host not in ("127.0.0.1", "localhost"):
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
    # Gradio reads these when it is imported: nothing is told to anybody, nothing lies elsewhere.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(directory)
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
        app_kwargs={"middleware": [Middleware(OwnPage)]},
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
    Programs name no origin, and no website can name another host than it is sent to."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        origin = headers.get(b"origin")
        hosts = [headers.get(name) for name in (b"host", b"x-forwarded-host")]  # of a proxy
        if (
            origin is None
            or scope.get("method") in ("GET", "HEAD", "OPTIONS")
            or origin.partition("://")[2] in hosts
        ):
            await self._app(scope, receive, send)
            return
        said = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 403, "headers": said})
        body = b"This studio takes nothing from pages of other websites."
        await send({"type": "http.response.body", "body": body})


def _check_port(settings: Studio) -> None:
    try:
        with socket.create_server((settings.host, settings.port)):
            pass
    except OSError as error:
        raise OSError(
            f"cannot serve on {settings.host}:{settings.port} ({error.strerror}): give another"
            " --port if another studio is running there, or an address of this machine as --host"
        ) from None
