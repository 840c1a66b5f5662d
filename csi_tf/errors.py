"""How a run ends other than well, in one sentence each."""


class RunFailed(RuntimeError):
    """Something went wrong that is no mistake on the command line."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM, after everything was saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("stopped; the same command with this --run_dir goes on from here")
        self.exit_code = 128 + signal_number
