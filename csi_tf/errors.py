"""How a run ends other than well, in one sentence each."""

import signal
import traceback


class RunFailed(RuntimeError):
    """Something went wrong that is no mistake on the command line."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, after which a run tidies up as after Ctrl-C."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM, after everything was saved."""

    def __init__(self, signal_number: int, done: str) -> None:
        super().__init__(f"stopped after {done}, saved")
        self.exit_code = 128 + signal_number

    @classmethod
    def by(cls, stop: KeyboardInterrupt, done: str) -> "Stopped":
        return cls(signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT, done)


def said_by_us(error: ValueError) -> bool:
    """Whether our own code raised it on purpose, to explain a mistake to the user."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = frame.f_globals["__name__"].split(".")[0]
    statement = traceback.extract_tb(error.__traceback__)[-1].line or ""
    return package in {"flags", "csi_tf", "pixel_cnn_pp"} and statement.startswith("raise")
