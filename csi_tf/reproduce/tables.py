"""Tables beside the claims: methods side by side, and what the latents of each model hold."""

from collections.abc import Iterable, Sequence
from typing import Any

from csi_tf.evaluation.report import said
from csi_tf.reproduce.claims import ALL, BOXES, LARGE_BOXES
from csi_tf.reproduce.evidence import NotMeasured, Of, Reports, number

Table = dict[str, Any]  # title, columns and rows of texts, for JSON

# Rectangles apart: they differ from picture to picture, so the linear Gaussian has none.
_GROUPS = {
    "small holes (mouth, eyes, nose)": BOXES,
    "large holes (center, bottom half)": LARGE_BOXES,
    "random rectangles": ("rectangle",),
}
_METHODS = ("csi", "noreverse", "one_stage", "nolatents")
_MEAN_PICTURE = "psnr_mean_picture"
_BASELINES = ("linear_gaussian", "mean_fill", "nearest_face", "biharmonic")

# Keys of an evaluation by the heading of their column
_LATENTS = {
    "bits/dim given z": "likelihood/whole/bits_per_dim",
    "bits of z": "likelihood/whole/bits_of_z",
    "MI": "latents/mi",
    "MI at most": "latents/mi_ceiling",
    "TC": "latents/tc",
    "active": "latents/active_units",
    "spread": "latents/aggregate_std_mean",
    "MMD": "latents/mmd_above_floor",
    "PSNR": "reconstruction/psnr_first",
    "sharpness": "reconstruction/sharpness",
}
_FACTORS = {
    "MIG": "latents/mig",
    "SAP": "latents/sap",
    "DCI": "latents/dci_disentanglement",
    "FactorVAE": "latents/factor_vae",
    "read": "reconstruction/read",
    "mask in z": "latents/mask_probe",
}


def tables(reports: Reports) -> list[Table]:
    found = [_methods(reports, title, masks) for title, masks in _GROUPS.items()]
    found.append(_keyed(reports, "Latents", _LATENTS))
    found.append(_keyed(reports, "Factors", _FACTORS))
    found.append(_control(reports))
    return [table for table in found if table["rows"]]


def _methods(reports: Reports, title: str, masks: tuple[str, ...]) -> Table:
    def row(model: str, *keys: tuple[str, ...]) -> list[str]:
        cells = [[Of(model, key, masks) for key in each] for each in keys]
        return _row(reports, [[of for of in each if _alike(of, reports)] for each in cells])

    rows = []
    for name in _METHODS:
        bits = ("likelihood/{}/averaged", "likelihood/{}/given_z")
        pictures = [(f"pictures/{{}}/{each}",) for each in _PICTURES]
        rows.append([name, *row(name, bits, *pictures, ("seam/{}/none",))])
    for name in _BASELINES:
        keys = ("bits_per_dim", *_PICTURES, "seam")
        rows.append([name, *row("csi", *((f"baselines/{name}/{{}}/{key}",) for key in keys))])
    columns = ["", "bits/dim", "PSNR", "PSNR of mean", "proxy-KID", "seam"]
    return {"title": f"Methods: {title}", "columns": columns, "rows": _filled(rows)}


_PICTURES = ("psnr_first", _MEAN_PICTURE, "proxy_kid")


def _alike(of: Of, reports: Reports) -> bool:
    """Measured under all masks that the full model was measured under, and a mean picture of as
    many completions."""
    if of.model not in reports:
        return False
    own, full = reports[of.model], reports.get("csi", reports[of.model])
    samples = [each.about.get("settings", {}).get("num_samples") for each in (own, full)]
    if of.key.endswith(_MEAN_PICTURE) and samples[0] != samples[1]:
        return False
    wanted = {key.split("/")[1] for key in full.measures if "/" in key} & {*of.masks}
    return all(of.key.format(mask) in own.measures for mask in wanted)


def _keyed(reports: Reports, title: str, keys: dict[str, str]) -> Table:
    rows = [
        [name, *_row(reports, [[Of(name, key)] for key in keys.values()])]
        for name in _named(reports)
    ]
    return {"title": title, "columns": ["", *keys], "rows": _filled(rows)}


def _control(reports: Reports) -> Table:
    keys = {
        "steering axes": ("control/axes/count", ()),
        "their factors": ("control/axes/factors", ()),
        "local ones": ("control/axes/local_factors", ()),
        "directions": ("control/directions/count", ()),
        "one-sided": ("control/one_sided", ()),
        "correlation": ("control/{}/correlation", ALL),
        "effect": ("control/{}/effect", ALL),
        "outside": ("control/{}/outside", ALL),
        "additivity": ("control/additivity", ()),
    }
    rows = [
        [name, *_row(reports, [[Of(name, key, masks)] for key, masks in keys.values()])]
        for name in _named(reports)
    ]
    return {"title": "Control", "columns": ["", *keys], "rows": _filled(rows)}


def _named(reports: Reports) -> list[str]:
    return [name for name in reports if not name.endswith("_clamped")]


def _row(reports: Reports, cells: Iterable[Sequence[Of]]) -> list[str]:
    return [_first(reports, each) for each in cells]


def _first(reports: Reports, candidates: Sequence[Of]) -> str:
    """The first that was measured."""
    for each in candidates:
        try:
            found = number(each, reports)
        except NotMeasured:
            continue
        return spoken(found.value, found.low, found.high)
    return "-"


def spoken(value: float, low: float | None, high: float | None) -> str:
    """A number with its interval."""
    if low is None or high is None or low == high:
        return said(value)
    return f"{said(value)} ({said(low)} to {said(high)})"


def _filled(rows: list[list[str]]) -> list[list[str]]:
    return [row for row in rows if {*row[1:]} != {"-"}]
