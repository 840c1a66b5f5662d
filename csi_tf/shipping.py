"""Models small enough to ship: kernels in half precision, everything else as it is.

A model that ships is a folder of `csi_tf/shipped` with the stages of a run, the names of its
latents, the curves of its training and a card that says what it is and where it comes from.
"""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from csi_tf import checkpoints, checks, files, latents, loading, logs
from csi_tf.config import Config
from csi_tf.figures import curves, layout
from csi_tf.loading import MODEL_FILE
from csi_tf.modes import Export

_FOLDERS = ("stage1", "stage2")


def run(settings: Export, directory: Path) -> None:
    """--mode=export"""
    for source, target in _stages(settings.model, directory).items():
        with files.explained(f"cannot make the directory {target.parent}"):
            target.parent.mkdir(parents=True, exist_ok=True)
        weights, info = checkpoints.read(source)
        config = _elsewhere(loading.settings(source, info))
        info |= {"config": config.to_json()}
        checkpoints.write(target, checkpoints.export_half(weights), info)
        print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
        if names := latents.file_of(source):
            shutil.copyfile(names, target.parent / latents.FILE)
        _curves(source.parent, target.parent, info)


def _elsewhere(config: Config) -> Config:
    """Settings without paths of this machine, which mean nothing on another."""
    kind, colon, place = config.data.dataset.partition(":")
    if colon and os.path.isabs(place):
        place = str(_short(place))
    return replace(
        config,
        run=replace(config.run, run_dir=_short(config.run.run_dir)),
        data=replace(config.data, dataset=kind + colon + place, data_dir=None),
        masks=replace(config.masks, mask=re.sub(r"(?<=file:)[^,]*/", "", config.masks.mask)),
        loop=replace(
            config.loop,
            stage1=_short(config.loop.stage1),
            warm_start=_short(config.loop.warm_start),
        ),
    )


def _short(path: str | None) -> str | None:
    """From the current directory, or the mere name of what is elsewhere."""
    if path is None or not os.path.isabs(path):
        return path
    here = Path(path)
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here.name)


def _curves(source: Path, target: Path, info: dict[str, Any]) -> None:
    """How it was learnt: the numbers, and a picture of them."""
    if not (source / logs.FILE).exists():
        return
    shutil.copyfile(source / logs.FILE, target / logs.FILE)
    config = _elsewhere(loading.settings(source, info))
    title = f"{config.data.dataset}, {info['stage']}, {info.get('images_seen', 0):,} images seen"
    files.write(target / "curves.png", layout.png(curves.draw(logs.read_metrics(source), title)))


def _stages(model: str, directory: Path) -> dict[Path, Path]:
    """Model file -> where its copy goes: of a run with two stages both, each in its folder."""
    place = checks.path(model, "the model")
    stages = {place / stage / MODEL_FILE: directory / stage / MODEL_FILE for stage in _FOLDERS}
    found = {source: target for source, target in stages.items() if source.is_file()}
    return found or {loading.find(model): directory / MODEL_FILE}
