"""Where a number or a picture comes from: the command, the commit, the machine."""

import os
import platform
import re
import shlex
import subprocess
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import csi_tf
from csi_tf.config import Config
from csi_tf.settings import as_flag


def about() -> dict[str, str]:
    return {"version": csi_tf.__version__, "commit": commit(), "machine": machine()}


def commit() -> str:
    """Of the checkout that this code lies in, with a + if it was changed; "" where it is none."""
    root = Path(csi_tf.__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        found = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return found + ("+" if changed else "")


def machine() -> str:
    """Its kind, without a name."""
    import keras

    devices = keras.distribution.list_devices()
    kind = devices[0].split(":")[0]
    count = f"{os.cpu_count()} cores" if kind == "cpu" else f"{len(devices)} {kind}"
    return f"{platform.system()} {platform.machine()}, {count}, {keras.backend.backend()}"


def command(settings: Any) -> str:
    """That settings with flags of their own are asked for by, defaults left out."""
    words = ["python", "run.py", f"--mode={settings.mode}"]
    for each in fields(settings):
        value = getattr(settings, each.name)
        if each.name == "mode" or (each.default is not MISSING and value == each.default):
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no'}{each.name}")
        else:
            words.append(f"--{each.name}={as_flag(value)}")
    return shlex.join(words)


def portable(config: Config) -> Config:
    """Settings without paths of this machine, which mean nothing on another."""
    return replace(
        config,
        run=replace(config.run, run_dir=_short(config.run.run_dir)),
        data=replace(config.data, dataset=dataset(config.data.dataset), data_dir=None),
        masks=replace(config.masks, mask=re.sub(r"(?<=file:)[^,]*/", "", config.masks.mask)),
        loop=replace(
            config.loop,
            stage1=_short(config.loop.stage1),
            warm_start=_short(config.loop.warm_start),
        ),
    )


def dataset(name: str) -> str:
    """The same without a path of this machine."""
    kind, colon, place = name.partition(":")
    return f"{kind}:{_short(place)}" if colon else name


def _short(path: str | None) -> str | None:
    """From the current directory, or the mere name of what is elsewhere."""
    if path is None or not os.path.isabs(path):
        return path
    here = Path(path)
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here.name)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
