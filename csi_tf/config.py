"""Settings of a training: one frozen dataclass per group of flags, to JSON and back.

The defaults are the paper's.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Literal, Self, get_type_hints

from csi_tf.modes import MODES, STAGE_TWO_MODES, TRAINING_MODES, WITH_OWN_FLAGS, WITH_REVERSE
from csi_tf.settings import FEWEST, CheckedSettings, reject_unknown, said
from pixel_cnn_pp import receptive_field

# The weight in Table 2 where none is set.
DEFAULT_BETA = {
    "beta_vae": 4.0,  # Higgins et al. (2017), dSprites
    "beta_tcvae": 5.0,  # the paper, section 5
    "factor_vae": 7.4,  # 1 + gamma; Kim & Mnih (2018) take a gamma of 6.4 for faces
    "info_beta_tcvae": 5.0,  # as beta_tcvae
}


@dataclass(frozen=True)
class RunConfig(CheckedSettings):
    mode: str
    run_dir: str | None = None
    seed: int = 0
    preset: str | None = None
    smoke: bool = False
    only: str | None = None
    test_images: int = 128

    def check(self) -> None:
        modes = [mode for mode in MODES if mode not in WITH_OWN_FLAGS]
        self._require(self.mode in modes, "mode", f"one of {', '.join(modes)}")
        own = (self.smoke, self.only, self.test_images)
        if self.mode != "reproduce" and own != (False, None, 128):
            raise ValueError("smoke, only and test_images belong to mode reproduce: leave them out")
        self._require(
            self.test_images >= FEWEST, "test_images", f"{FEWEST} or more, for an interval's sake"
        )
        self._require(self.run_dir != "", "run_dir", "the name of a directory")
        self._at_most_31_bits("seed")


@dataclass(frozen=True)
class DataConfig(CheckedSettings):
    dataset: str = "procedural_faces"
    image_size: int = 32
    data_dir: str | None = None
    horizontal_flip: bool = False
    limit: int | None = None

    def check(self) -> None:
        self._require(16 <= self.image_size <= 256, "image_size", "from 16 to 256")
        self._at_least(1, "limit")
        self._require(self.data_dir != "", "data_dir", "the name of a directory")


@dataclass(frozen=True)
class MaskConfig(CheckedSettings):
    mask: str = "rectangle"
    mask_convention: Literal["white_is_hole", "black_is_hole"] = "white_is_hole"


@dataclass(frozen=True)
class ModelConfig(CheckedSettings):
    latent_dim: int = 32
    encoder_filters: int = 32
    filters: int = 100
    receptive_field: str = "7x15"
    field_mode: Literal["published", "exact"] = "published"
    mixtures: int = 10
    dropout: float = 0.5
    reverse: bool = True
    reverse_features: int = 100
    latents: bool = True
    conditioning: Literal["paper", "published"] = "paper"
    hole_fill: Literal["noise", "zeros"] = "noise"
    weight_norm: bool = False
    nonlinearity: Literal["elu", "concat_elu"] = "elu"
    full_image_encoder: bool = False

    def check(self) -> None:
        self.blocks_and_field()
        self._at_least(
            1, "latent_dim", "encoder_filters", "filters", "mixtures", "reverse_features"
        )
        self._require(0 <= self.dropout < 1, "dropout", "at least 0 and below 1")
        if self.full_image_encoder and not self.latents:
            raise ValueError("full_image_encoder needs latents: without them there is no encoder")

    def blocks_and_field(self) -> tuple[int, tuple[int, int] | None]:
        """What a PixelCNN is built with: gated blocks, and (rows, columns) of an exact field."""
        if self.field_mode == "published":
            return receptive_field.blocks(self.receptive_field), None
        rows, columns = receptive_field.size(self.receptive_field)
        blocks = max(1, rows - 2)
        receptive_field.Plan.exact(blocks, rows, columns)  # refuses an even number of columns
        return blocks, (rows, columns)


@dataclass(frozen=True)
class ObjectiveConfig(CheckedSettings):
    objective: Literal[
        "vae", "beta_vae", "beta_tcvae", "factor_vae", "info_vae_mmd", "aae", "info_beta_tcvae"
    ] = "info_vae_mmd"
    beta: float | None = None
    mmd_weight: float = 2e6
    mmd_prior_draws: int = 200
    estimator: Literal["corrected", "published"] = "corrected"

    def check(self) -> None:
        self._require(self.mmd_weight >= 0, "mmd_weight", "at least 0")
        self._at_least(1, "mmd_prior_draws")
        self._at_least(0, "beta")
        if self.objective == "info_vae_mmd":
            self._require(self.mmd_weight > 0, "mmd_weight", "above 0 for objective info_vae_mmd")
        if self.objective in DEFAULT_BETA:
            self._above_zero("beta")
        if self.beta is not None and self.objective not in DEFAULT_BETA:
            raise ValueError(
                f"beta does not go with objective {self.objective}; it is a weight of"
                f" {', '.join(DEFAULT_BETA)}"
            )


@dataclass(frozen=True)
class OptimiserConfig(CheckedSettings):
    learning_rate: float = 1e-4
    stage2_learning_rate: float | None = None
    batch_size: int = 64
    epochs: int = 200
    train_steps: int | None = None
    warmup_steps: int = 0
    decay: Literal["none", "cosine"] = "none"
    clip_norm: float | None = None
    ema: float | None = None
    latent_warmup_steps: int = 0
    precision: Literal["float32", "mixed_bfloat16", "auto"] = "float32"
    xla: bool = False

    def check(self) -> None:
        self._above_zero("learning_rate", "stage2_learning_rate", "clip_norm")
        self._at_least(1, "batch_size", "epochs", "train_steps")
        self._at_least(0, "warmup_steps", "latent_warmup_steps")
        self._require(self.ema is None or 0 < self.ema < 1, "ema", "above 0 and below 1")

    def rate_of(self, stage: str) -> str:
        """The name of the setting that is a stage's learning rate."""
        own = stage in WITH_REVERSE and self.stage2_learning_rate is not None
        return "stage2_learning_rate" if own else "learning_rate"


@dataclass(frozen=True)
class LoopConfig(CheckedSettings):
    stage1: str | None = None
    stage2_init: Literal["paper", "published", "continued", "mirrored"] = "paper"
    log_every: int = 50
    validate_every: int = 1000
    validation_images: int = 512
    panel_every: int = 5000
    checkpoint_every: int = 500
    keep_checkpoints: int = 3
    nan_policy: Literal["stop", "skip"] = "stop"
    devices: Literal["auto", "one"] = "auto"
    deterministic: bool = False
    warm_start: str | None = None
    warm_start_parts: Literal["all", "pixelcnn"] = "all"

    def check(self) -> None:
        self._at_least(2, "validation_images")
        self._at_least(1, "log_every", "validate_every")
        self._at_least(1, "checkpoint_every", "keep_checkpoints")
        self._at_least(0, "panel_every")


@dataclass(frozen=True)
class Config(CheckedSettings):
    """All settings of a run."""

    run: RunConfig
    data: DataConfig = field(default_factory=DataConfig)
    masks: MaskConfig = field(default_factory=MaskConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def check(self) -> None:
        if self._trains_latents() and self.optimiser.batch_size < 2:
            raise ValueError(
                "encoder and decoder are normalised over a batch, which of one image leaves nothing"
                f" of z: batch_size must be 2 or more, not {self.optimiser.batch_size}"
            )
        if self.run.mode in TRAINING_MODES and self.data.image_size not in (16, 32, 64, 128, 256):
            raise ValueError(
                f"image_size {self.data.image_size} cannot be trained: the networks halve it down"
                " to 4, so it must be 16, 32, 64, 128 or 256"
            )
        if self.loop.stage1 is not None and self.run.mode in {*TRAINING_MODES} - {"stage2"}:
            raise ValueError(
                f"stage1 is what mode stage2 starts from, and mode {self.run.mode} would not use"
                " it: leave it out, or choose --mode=stage2"
            )
        alone = ("stage1", "stage2", "one_stage")
        if self.loop.warm_start is not None and self.run.mode not in alone:
            raise ValueError(
                "warm_start is a model of one stage: leave it out, or choose a mode of"
                f" {', '.join(alone)}"
            )
        if self.loop.warm_start is not None and self.loop.stage1 is not None:
            raise ValueError(
                "stage1 and warm_start both say what to start from, and warm_start has the weights"
                " of its stage one: leave one out"
            )
        if self.loop.warm_start_parts == "pixelcnn":
            if self.loop.warm_start is None:
                raise ValueError(
                    "warm_start_parts pixelcnn says what of --warm_start is taken: name the model"
                    " there"
                )
            if self.run.mode == "stage2":
                raise ValueError(
                    "warm_start_parts pixelcnn has encoder and decoder learnt anew, which stage two"
                    " leaves as they are: give it to mode stage1 or one_stage"
                )
        if self.run.mode == "reproduce" and not self.model.latents:
            raise ValueError(
                "mode reproduce trains models with and without latents: leave out --nolatents"
            )

    def _trains_latents(self) -> bool:
        """Whether the objective applies: a stage two alone leaves the latents as they are."""
        alone = self.run.mode == "stage2" and self.loop.stage1 is not None
        return self.run.mode in TRAINING_MODES and self.model.latents and not alone

    def differences(self, other: "Config") -> list[str]:
        """Settings in which two runs differ so that one cannot go on from the other."""
        # How long it runs, and what happens beside the steps.
        free = {"mode", "preset", "smoke", "only", "test_images", "epochs", "train_steps"}
        free.add("data_dir")  # of the same data, which training counts
        free |= {f.name for f in fields(LoopConfig)}
        if self.run.mode in STAGE_TWO_MODES:
            free -= {"stage1", "stage2_init"}
        elif self.run.mode not in WITH_REVERSE:
            free.add("stage2_learning_rate")
        if "auto" in (self.optimiser.precision, other.optimiser.precision):
            free.add("precision")
        changes = self.changes(other)
        return [changes[name] for name in sorted(changes.keys() - free)]

    def changes(self, other: "Config") -> dict[str, str]:
        """What of each setting that differs, wherever the two runs are: "filters=7 and not 6"."""
        ours, theirs = asdict(self), asdict(other)
        return {
            name: f"{name}={value} and not {theirs[group][name]}"
            for group, values in ours.items()
            for name, value in values.items()
            if value != theirs[group][name] and name != "run_dir"
        }

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Settings left out take their defaults; unknown ones and wrong types are errors."""
        try:
            groups = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"this is no JSON: {error}") from None
        if not isinstance(groups, dict):
            raise ValueError(f"a configuration is a JSON object, not {said(groups)}")
        kinds = get_type_hints(cls)
        reject_unknown("group", groups, list(kinds))
        made = {}
        for name, values in groups.items():
            if not isinstance(values, dict):
                raise ValueError(f"group {name} must be a JSON object, not {said(values)}")
            reject_unknown(f"setting of {name}", values, [f.name for f in fields(kinds[name])])
            if kinds[name] is RunConfig and "mode" not in values:
                raise ValueError(f"run needs a mode: {', '.join(MODES)}")
            made[name] = kinds[name](**values)
        if "run" not in made:
            raise ValueError("a configuration needs the group run")
        return cls(**made)
