"""The models that figures are of: those of a reproduction, or the one or two of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csi_tf import checkpoints, checks, loading
from csi_tf.config import DEFAULT_BETA, Config
from csi_tf.model import CSIModel

# In a reproduction each has this name: that of the paper, and the stage one it starts from.
FULL, STAGE_ONE = "csi", "info_vae"
OBJECTIVES = {
    "vae": "VAE",
    "beta_vae": "β-VAE",
    "beta_tcvae": "β-TCVAE",
    "factor_vae": "FactorVAE",
    "info_vae_mmd": "InfoVAE-MMD",
    "aae": "AAE",
    "info_beta_tcvae": "Info-β-TCVAE",
}
_STAGES = {"stage1": "stage one", "stage2": "two stages", "one_stage": "one stage"}


@dataclass(frozen=True, eq=False)
class Trained:
    name: str
    model: CSIModel
    config: Config
    info: dict[str, Any]

    @property
    def short(self) -> str:
        return f"{self._objective}, {self.config.model.receptive_field}"

    @property
    def said(self) -> str:
        """What it is and how many images it has seen, those of stage one apart."""
        parts = [
            self.short,
            _STAGES[self.info["stage"]] + ("" if self._has_reverse else ", no reverse net"),
            f"{self.info.get('images_seen', 0):,} images seen",
        ]
        if before := self.info.get("images_before", 0):
            parts[-1] += f" after {before:,} in stage one"
        return f"{self.name} ({', '.join(parts)})"

    @property
    def _objective(self) -> str:
        objective, beta = self.config.objective.objective, self.config.objective.beta
        beta = DEFAULT_BETA.get(objective) if beta is None else beta
        return OBJECTIVES[objective] + (f" (β = {beta:g})" if beta is not None else "")

    @property
    def _has_reverse(self) -> bool:
        return self.info["stage"] == "stage1" or self.model.reverse is not None


class Models:
    """By name. Of a single run there are FULL and, where it has one, STAGE_ONE."""

    def __init__(self, where: str) -> None:
        self.directory = checks.path(where, "the model")
        self.is_reproduction = (self.directory / "models").is_dir()
        if self.is_reproduction:
            found = sorted(self.directory.glob(f"models/*/{loading.MODEL_FILE}"))
            self._paths = {path.parent.name: path for path in found}
        else:
            self._paths = _of_run(self.directory)
        self._opened: dict[str, Trained] = {}

    def __getitem__(self, name: str) -> Trained:
        if name not in self._opened:
            path = self._paths[name]
            info = checkpoints.read(path)[1]
            model = loading.load(path)
            if name == STAGE_ONE and FULL in self._paths:  # whose latents those of stage two are
                model.named_latents = model.named_latents or self[FULL].model.named_latents
            self._opened[name] = Trained(name, model, loading.settings(path, info), info)
        return self._opened[name]

    def problem(self, number: str, names: Sequence[str]) -> str | None:
        """Why a figure of these models cannot be drawn, in one sentence."""
        missing = [name for name in names if name not in self._paths]
        if missing:
            what = f"figure {number} needs {', '.join(missing)}"
            command = "python run.py --mode=reproduce --run_dir={} --only=" + ",".join(missing)
            if self.is_reproduction:
                return f"{what}, not yet in {self.directory}: {command.format(self.directory)}"
            return (
                f"{what}, which the single run {self.directory} does not hold: make them with"
                f" {command.format('DIR')}, and give --model=DIR"
            )
        if number != "3" and any(self[name].model.decoder is None for name in names):
            return (
                f"figure {number} sets latents, and {self.directory} was trained with --nolatents"
            )
        return None


def _of_run(directory: Path) -> dict[str, Path]:
    path = loading.find(directory)
    if checkpoints.read(path)[1].get("stage") == "stage1":
        return {STAGE_ONE: path}
    stage_one = loading.stage_one_of(path)
    return {FULL: path} | ({STAGE_ONE: stage_one} if stage_one else {})
