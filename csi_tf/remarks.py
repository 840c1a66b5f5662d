"""What TensorFlow logs while it is imported, where it does not keep to its own level yet."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

BELOW = {"1": "I", "2": "IW", "3": "IWE"}  # first letters of lines, by TF_CPP_MIN_LOG_LEVEL


@contextmanager
def kept_out() -> Iterator[None]:
    """Lines below TF_CPP_MIN_LOG_LEVEL are dropped; all others come through when this is over.

    Before its log is set up, TensorFlow writes every line to stderr, from C++, hence the detour of
    the whole file descriptor, which only Linux can lead into memory.
    """
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    try:
        held, stderr = os.memfd_create("stderr"), os.dup(2)
    except (AttributeError, OSError):  # not Linux, or there is no stderr
        yield
        return
    os.dup2(held, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        with open(held, "rb") as file:
            file.seek(0)
            said = file.read()
        if level in BELOW:
            remark = rb"(?m)^([%b]\d{4} \d\d:|WARNING: All log messages before absl::).*\n"
            said = re.sub(remark % BELOW[level].encode(), b"", said)
        os.write(2, said)
