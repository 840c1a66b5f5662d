"""Models small enough to ship: kernels in half precision, everything else as it is.

A model that ships is a folder of `csi_tf/shipped` with the stages of a run, the names of its
latents, the curves of its training and a card that says what it is and where it comes from.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from csi_tf import checkpoints, checks, files, latents, loading, logs, provenance, whole
from csi_tf.figures import curves, layout
from csi_tf.loading import MODEL_FILE
from csi_tf.modes import Export

CURVES = "curves.png"
_FOLDERS = ("stage1", "stage2")
_OF_A_RUN = ("config.json", "flagfile.txt", "checkpoints")


def run(settings: Export, directory: Path) -> None:
    """--mode=export"""
    stages = _stages(settings.model, directory)
    for source, target in stages.items():  # all of them before anything is written
        _check_target(source, target, directory)
    for source, target in stages.items():
        with files.explained(f"cannot make the directory {target.parent}"):
            target.parent.mkdir(parents=True, exist_ok=True)
        weights, info = checkpoints.read(source)
        config = provenance.portable(loading.settings(source, info))
        info |= {"config": config.to_json()}
        checkpoints.write(target, checkpoints.export_half(weights), info)
        print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
        _copy(latents.file_of(source), target.parent / latents.FILE)
        _copy(source.parent / whole.FILE, target.parent / whole.FILE)
        _copy(source.parent / logs.FILE, target.parent / logs.FILE)
        _curves(source.parent, target.parent, info)


def _check_target(source: Path, target: Path, directory: Path) -> None:
    """Only an earlier export is written over."""
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the model that is exported; give another --output")
    held = {place / name for place in (directory, target.parent) for name in _OF_A_RUN}
    if there := [str(path) for path in sorted(held) if path.exists()]:
        raise ValueError(f"{there[0]} is of a training run; give an --output outside of it")
    if target.exists() and not _is_export(target):
        raise ValueError(f"{target} is no earlier export; give another --output, or move it away")
    names, kept = latents.file_of(source), target.parent / latents.FILE  # perhaps by hand
    if kept.exists() and (names is None or names.read_bytes() != kept.read_bytes()):
        raise ValueError(f"{kept} has other names; move it away, or give another --output")


def _is_export(path: Path) -> bool:
    with suppress(checkpoints.CheckpointError):
        return any(array.dtype == np.float16 for array in checkpoints.read(path)[0].values())
    return False


def _copy(source: Path | None, target: Path) -> None:
    """What the model does not have is not left there by an earlier export, say of another."""
    if source is not None and source.exists():
        files.write(target, source.read_bytes())
    else:
        target.unlink(missing_ok=True)


def _curves(source: Path, target: Path, info: dict[str, Any]) -> None:
    """A picture of how it was learnt."""
    if not (source / logs.FILE).exists():
        (target / CURVES).unlink(missing_ok=True)
        return
    config = provenance.portable(loading.settings(source, info))
    title = f"{config.data.dataset}, {info['stage']}, {info.get('images_seen', 0):,} images seen"
    files.write(target / CURVES, layout.png(curves.draw(logs.read_metrics(source), title)))


def _stages(model: str, directory: Path) -> dict[Path, Path]:
    """Model file -> where its copy goes: of a run with two stages both, each in its folder."""
    place = checks.path(model, "the model")
    stages = {stage: place / stage / MODEL_FILE for stage in _FOLDERS}
    own = place / MODEL_FILE
    if own.is_file():  # of a stage two, which may have trained its stage one first
        if loading.stage_one_of(own) != stages["stage1"]:
            return {own: directory / MODEL_FILE}
        stages["stage2"] = own
    found = {
        file: directory / stage / MODEL_FILE for stage, file in stages.items() if file.is_file()
    }
    return found or {loading.find(model): directory / MODEL_FILE}
