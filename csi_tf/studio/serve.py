"""--mode=studio: serves the page until it is interrupted."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csi_tf.config import Studio
from csi_tf.studio.engine import Engine

WAITING = 32  # requests that wait their turn; more are told to come back
MOST_UPLOADED = "20mb"


def run(settings: Studio, directory: Path) -> None:
    with serving(settings, directory) as url:
        print(f"The studio is at {url}; Ctrl-C ends it.", flush=True)
        if settings.host not in ("127.0.0.1", "localhost"):
            print(f"Whoever reaches this machine ({settings.host}) can use it.", flush=True)
        try:
            _forever()
        except KeyboardInterrupt:
            print("\nThe studio is closed.")


@contextmanager
def serving(settings: Studio, directory: Path) -> Iterator[str]:
    """The page's address. Uploads and downloads lie in the directory, and go with it."""
    _check_port(settings)
    # Gradio reads these when it is imported: nothing is told to anybody, nothing lies elsewhere.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(directory)
    try:
        import gradio
    except ImportError:
        raise ValueError('the studio needs Gradio: pip install ".[studio]"') from None
    from csi_tf.studio.page import CSS, Page

    page = Page(Engine(settings.names), directory)
    blocks = page.build().queue(max_size=WAITING)
    theme = gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    _, local, shared = blocks.launch(
        server_name=settings.host,
        server_port=settings.port,
        share=settings.share,
        prevent_thread_lock=True,
        quiet=True,
        max_file_size=MOST_UPLOADED,
        footer_links=["api"],
        theme=theme,
        css=CSS,
    )
    try:
        yield shared or local
    finally:
        blocks.close(verbose=False)
        shutil.rmtree(directory, ignore_errors=True)


def _check_port(settings: Studio) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise OSError(
                f"cannot serve on {settings.host}:{settings.port} ({error.strerror}): another"
                " studio may be running there; give another --port"
            ) from None


def _forever() -> None:
    from threading import Event

    Event().wait()
