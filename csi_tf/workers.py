"""TF_CONFIG, in which TensorFlow's launchers tell the workers of a run of each other."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csi_tf.errors import RunFailed

# Network file systems remember for up to a minute that a file was not there.
_SECONDS_UNTIL_SEEN = 90.0
_WANTED = (
    'set it to {"cluster": {"worker": ["host0:2222", ...]}, "task": {"type": "worker", "index": 0}}'
    " with the same list and another index for each worker, or unset it."
)


@dataclass(frozen=True)
class Task:
    """This process among the workers."""

    index: int
    count: int


def task() -> Task | None:
    """None where TF_CONFIG is not set; ValueError where it does not say what a worker must know."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ValueError(f"TF_CONFIG is no JSON ({error}): {_WANTED}") from None
    cluster, own = _entries(given, "cluster"), _entries(given, "task")
    hosts = cluster.get("worker")
    if not isinstance(hosts, list) or not hosts:
        raise ValueError(f"TF_CONFIG names no workers: {_WANTED}")
    if set(cluster) != {"worker"}:
        others = ", ".join(sorted(set(cluster) - {"worker"}))
        raise ValueError(f"TF_CONFIG has tasks of the type {others}; only workers train: {_WANTED}")
    index = own.get("index")
    if isinstance(index, str) and index.isdecimal():  # as launchers that fill in templates write it
        index = int(index)
    if type(index) is not int or own.get("type") != "worker" or not 0 <= index < len(hosts):
        raise ValueError(
            f"TF_CONFIG does not say which of its {len(hosts)} workers this is: {_WANTED}"
        )
    return Task(index, len(hosts))


def await_file(path: Path, seconds: float = _SECONDS_UNTIL_SEEN) -> None:
    """Wait until a file that the first worker has written is seen here too."""
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end:
            raise RunFailed(
                f"{path}, which the first worker wrote, is not seen here: put --run_dir on a file"
                " system that all workers share"
            )
        time.sleep(0.1)


def _entries(given: Any, name: str) -> dict[str, Any]:
    found = given.get(name) if isinstance(given, dict) else None
    return found if isinstance(found, dict) else {}
