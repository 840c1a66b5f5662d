"""How a run ends other than well, in one sentence each."""

import signal


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
