"""Which models a reproduction trains, with what settings, and on how many images each.

Models that a claim compares see equally many: the two stages of `csi` get as many steps each as
`info_vae`, so what is trained in one stage gets twice that. Names that begin with small_ are
variants at a smaller budget, equal among them.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from csi_tf.config import DEFAULT_BETA, Config, RunConfig

SMALL_IMAGES = 200_000  # that a stage of a small variant sees, at most
Budget = Literal["full", "double", "small"]


@dataclass(frozen=True)
class Model:
    """A row of the table: what it is trained with in place of the settings asked for."""

    name: str
    stage: str
    changes: dict[str, Any]
    needs: str | None = None  # the stage one that a stage two starts from
    budget: Budget = "full"


@dataclass(frozen=True)
class Job:
    name: str
    config: Config
    stage: str
    needs: str | None
    images: int  # that this stage sees
    images_before: int = 0  # that the stage one it starts from saw


_NARROW = {"receptive_field": "3x5"}
_VAE, _BETA_VAE, _AAE = ({"objective": name} for name in ("vae", "beta_vae", "aae"))
_BETA_TC = {"objective": "beta_tcvae", "beta": 5.0} | _NARROW
_INFO_BETA_TC = {"objective": "info_beta_tcvae", "beta": 5.0} | _NARROW
_PUBLISHED, _EXACT = {"estimator": "published"}, {"field_mode": "exact"}
_COLD = {"latent_warmup_steps": 0}  # as in the paper, whatever the others have


def _small(name: str, changes: dict[str, Any]) -> Model:
    return Model(f"small_{name}", "stage1", changes, budget="small")


# Those first that the others start from or that most figures need.
MODELS = (
    Model("info_vae", "stage1", {}),
    Model("csi", "stage2", {}, needs="info_vae"),
    Model("one_stage", "one_stage", {}, budget="double"),
    Model("noreverse", "stage2", {"reverse": False}, needs="info_vae"),
    Model("nolatents", "one_stage", {"latents": False}, budget="double"),
    Model("nolatents_stage1", "stage1", {"latents": False}),
    Model("vae_3x5", "stage1", _VAE | _NARROW),
    Model("beta_tcvae_3x5", "stage1", _BETA_TC),
    Model("info_beta_tcvae", "stage1", _INFO_BETA_TC),
    _small("info_vae", {}),
    Model("small_csi", "stage2", {}, "small_info_vae", "small"),
    Model(
        "small_published_rectangle",
        "stage2",
        {"mask": "published_rectangle"},
        "small_info_vae",
        "small",
    ),
    _small("vae", _VAE),
    _small("vae_3x5", _VAE | _NARROW),
    _small("vae_3x5_exact", _VAE | _NARROW | _EXACT),
    _small("info_vae_3x5", _NARROW),
    _small("beta_vae_3x5", _BETA_VAE | _NARROW),
    _small("aae_3x5", _AAE | _NARROW),
    _small("beta_tcvae_3x5", _BETA_TC),
    _small("beta_tcvae_3x5_published", _BETA_TC | _PUBLISHED),
    _small("beta_tcvae_3x5_exact", _BETA_TC | _EXACT),
    _small("info_beta_tcvae", _INFO_BETA_TC),
    _small("info_beta_tcvae_published", _INFO_BETA_TC | _PUBLISHED),
    _small("mmd_1e5", {"mmd_weight": 1e5}),
    _small("mmd_5e5", {"mmd_weight": 5e5}),
    _small("mmd_2e6", {"mmd_weight": 2e6}),
    _small("mmd_5e6", {"mmd_weight": 5e6}),
    _small("vae_3x5_cold", _VAE | _NARROW | _COLD),
    _small("beta_tcvae_3x5_cold", _BETA_TC | _COLD),
    _small("vae_cold", _VAE | _COLD),
    _small("info_vae_cold", _COLD),
    _small("zeros", {"hole_fill": "zeros"}),
    _small("full_image", {"full_image_encoder": True}),
)
NAMES = tuple(model.name for model in MODELS)
# What models differ in, so that it cannot be asked for of all of them; these three can, of those
# that do not bear theirs in their names.
VARIED = sorted(
    {name for model in MODELS for name in model.changes}
    - {"receptive_field", "mmd_weight", "latent_warmup_steps"}
)

# With --smoke: every kind of job and what the figures need.
_SMOKE_MODELS = "csi,one_stage,noreverse,nolatents,vae_3x5,beta_tcvae_3x5,info_beta_tcvae"
_SMOKE = {
    "image_size": 16, "limit": 64, "latent_dim": 6, "encoder_filters": 4, "filters": 8,
    "receptive_field": "3x5", "mixtures": 2, "reverse_features": 8, "batch_size": 8,
    "train_steps": 2, "epochs": 2, "latent_warmup_steps": 0, "warmup_steps": 0,
    "precision": "float32", "validation_images": 16, "panel_every": 0, "mmd_prior_draws": 16,
}  # fmt: skip


def smoke(config: Config) -> Config:
    """The same at toy size, whatever sizes were asked for."""
    run = replace(config.run, only=config.run.only or _SMOKE_MODELS)
    return changed(replace(config, run=run), _SMOKE)


def plan(config: Config, training_images: int) -> tuple[Job, ...]:
    """All jobs, or those that --only names and what they start from; what is needed comes first."""
    _refuse_varied(config)
    jobs: dict[str, Job] = {}
    wanted = _wanted(config.run.only, config.optimiser.latent_warmup_steps > 0)
    for model in MODELS:
        if model.name in wanted:
            before = 0 if model.needs is None else jobs[model.needs].images
            jobs[model.name] = _job(config, model, training_images, before)
    return tuple(jobs.values())


def _job(config: Config, model: Model, training_images: int, images_before: int) -> Job:
    chosen, loop = config.optimiser, config.loop
    epoch = max(training_images // chosen.batch_size, 1)  # in steps
    full = min(chosen.train_steps or epoch * chosen.epochs, epoch * chosen.epochs)
    steps = {
        "full": full,
        "double": 2 * full,
        "small": min(full, -(-SMALL_IMAGES // chosen.batch_size)),
    }[model.budget]
    shorter = min(1.0, steps / full)  # warm-ups are parts of a training
    latent_warmup = min(chosen.latent_warmup_steps, full // 2)  # as long in one stage as in two
    settings = {
        "mode": model.stage,
        "smoke": False,
        "only": None,
        "test_images": RunConfig.test_images,
        "train_steps": steps,
        "epochs": -(-steps // epoch),
        "warmup_steps": round(chosen.warmup_steps * shorter),
        "latent_warmup_steps": round(latent_warmup * shorter),
        "validate_every": min(loop.validate_every, steps),
        "panel_every": loop.panel_every if model.budget != "small" else 0,
    }
    made = changed(config, settings | model.changes)
    images = steps * chosen.batch_size
    return Job(model.name, made, model.stage, model.needs, images, images_before)


def changed(config: Config, settings: dict[str, Any]) -> Config:
    """With these settings, of whatever group."""
    groups = {}
    for group in fields(config):
        values = getattr(config, group.name)
        own = {each.name for each in fields(values)} & settings.keys()
        groups[group.name] = replace(values, **{name: settings[name] for name in own})
    return Config(**groups)


def _wanted(only: str | None, warmed_up: bool) -> set[str]:
    if only is None:
        # Where nothing is warmed up, those that are not are others over again.
        return {m.name for m in MODELS if warmed_up or not m.changes.items() >= _COLD.items()}
    asked = {name.strip() for name in only.split(",") if name.strip()}
    if unknown := asked - {*NAMES}:
        raise ValueError(f"only has no model {min(unknown)!r}; choose from {', '.join(NAMES)}")
    if not asked:
        raise ValueError(f"only names no model; choose from {', '.join(NAMES)}, or leave it out")
    return asked | {model.needs for model in MODELS if model.name in asked and model.needs}


def _refuse_varied(config: Config) -> None:
    if name := unlike(config, {}):
        raise ValueError(
            f"mode reproduce trains models that differ in {name}, so it cannot be asked for of all"
            " of them: leave it out"
        )


def unlike(config: Config, changes: dict[str, Any]) -> str | None:
    """The first of the settings that models differ in which is not as a model with these changes
    has it."""
    usual = DEFAULT_BETA.get(config.objective.objective)
    for group in fields(config):
        values = getattr(config, group.name)
        for each in fields(values):
            own, wanted = getattr(values, each.name), changes.get(each.name, each.default)
            if each.name == "beta":  # which need not be said
                own, wanted = own or usual, wanted or usual
            if each.name in {*VARIED, *changes} and own != wanted:
                return each.name
    return None
