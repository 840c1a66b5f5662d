"""How good completions are, and what --mode=evaluate measures of a model.

evaluate.py         the mode: parts/ in their order, report.py what they find, subject.py of what
settings.py         what it is asked
encoding.py         pictures to latents
steering.py         latents moved through their range, for control
ranking.py          latents by how far they move pixels, where nothing is known of the pictures
proxy.py            features of a small classifier, for KID and FID

Arrays in, numbers out, without any network (DCI and readers of attributes need scikit-learn):

disentanglement.py  MIG, SAP, DCI and FactorVAE scores of codes whose factors are known
regressors.py       factors and attributes read from pixels
control.py          what each latent moves inside the hole, and the entries of latents.json
pictures.py         PSNR, SSIM, L1 on the hole; diversity
features.py         KID and FID on features of any kind
seam.py             steps across the edge of the hole
calibration.py      how often intervals of samples hold the truth; copies of training faces
baselines.py        what a completion has to beat: linear_gaussian.py, nearest.py and others
bootstrap.py        intervals over images for all of these
filling.py          what baselines share; inputs.py: checks of what metrics are given

Images are uint8 (N,H,W,3), completions uint8 (N,S,H,W,3), masks float32 (H,W,1) or (N,H,W,1), 1 =
observed. Most functions give one number, or one row, for each image: averages and their intervals
are the caller's, by `bootstrap.interval`.
"""

from csi_tf.evaluation import (
    baselines,
    bootstrap,
    calibration,
    control,
    disentanglement,
    features,
    pictures,
    regressors,
    seam,
)

__all__ = [
    "baselines",
    "bootstrap",
    "calibration",
    "control",
    "disentanglement",
    "features",
    "pictures",
    "regressors",
    "seam",
]
