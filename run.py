"""Controllable semantic image inpainting from the command line: python run.py --help"""

import importlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import flags
from csi_tf import checks, remarks, runs
from csi_tf.commands import output
from csi_tf.config import Config
from csi_tf.errors import RunFailed, Stopped, Terminated, said_by_us
from csi_tf.modes import MODES

USAGE, FAILURE, INTERRUPTED, TERMINATED = 2, 1, 130, 143  # exit codes


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code. A user's mistake is one line on stderr; a mistake of ours a traceback."""
    argv = sys.argv if argv is None else argv
    # TensorFlow's remarks bury what we say, and without a GPU its errors are that there is none.
    has_gpu = any(Path("/dev").glob("nvidia*"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_gpu else "3")
    # TensorFlow takes oneDNN's convolutions only where there is AVX-512, and they are the quicker
    # ones without it as well (benchmarks/README.md).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        if page := flags.help_text(argv):
            print(page)
            return 0
        with _terminable():
            return _run(argv)
    except Terminated:
        return _stop("terminated", TERMINATED)
    except KeyboardInterrupt:
        return _stop("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe such as `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except (OSError, RunFailed) as error:
        return _stop(error, FAILURE)
    except ValueError as error:
        if not said_by_us(error):
            raise
        return _stop(error, USAGE)


def _run(argv: Sequence[str]) -> int:
    settings: Any = flags.parse(argv)
    mode = settings.run.mode if isinstance(settings, Config) else settings.mode
    module, function = MODES[mode].split(":")
    networks = mode not in ("data", "ledger")
    if networks:
        checks.keras_backend()
    if isinstance(settings, Config):
        opened = runs.open_directory(settings, flags.flagfile_text(settings))
        called, flag, given = "Run", "run_dir", settings.run.run_dir
    else:
        given = getattr(settings, "output", None)
        advice = "give another --output"
        if mode == "whole":  # which writes beside the model
            advice = "copy the model to a place of your own, and name that with --model"
        opened = output.open_directory(given, settings.default_output, advice)
        called, flag = "Output", "output"
    with opened as directory:
        print(f"{called} directory: {directory}", flush=True)
        try:
            with remarks.kept_out():
                if networks:
                    importlib.import_module("keras")
                imported = importlib.import_module(module)
            getattr(imported, function)(settings, directory)
        except Stopped as stopped:
            place = [f"--{flag}={directory}"] if given is None else []
            again = shlex.join(["python", *argv, *place])
            return _stop(f"{stopped} in {directory}; to go on: {again}", stopped.exit_code)
    return 0


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises; training, which saves before it ends, has a handler of its own."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.getsignal(signal.SIGTERM)
    with suppress(ValueError):  # only the main thread may have handlers
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, before)


def _stop(reason: object, code: int) -> int:
    print(f"run.py: {' '.join(str(reason).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    code = main()
    if code in (INTERRUPTED, TERMINATED):  # not held up by the threads of a download, say
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
