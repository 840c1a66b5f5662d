"""Every flag and its help. Types, defaults and valid names are those of csi_tf.config.

A help text's first sentence is the line that --help shows; --helpfull shows all of it.
"""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from absl import flags as absl_flags

from csi_tf.commands import Command
from csi_tf.config import Config
from csi_tf.evaluation.settings import Evaluation
from csi_tf.figures.settings import Figures
from csi_tf.modes import COMMANDS, MODES, WITH_OWN_FLAGS, Demo, Export, Whole
from csi_tf.reproduce.settings import Ledger
from csi_tf.settings import CheckedSettings, expectation, optional
from csi_tf.studio.settings import Studio

PRESET_FOLDER = Path(__file__).parent / "presets"

RUN = {
    "mode": "What to do. Mode data: write a contact sheet of the images, the masks and, where the"
    " data has them, the factors. Mode summary: print the networks, their parameter counts and"
    " receptive fields. Mode stage1: train encoder, decoder and forward PixelCNN. Mode stage2:"
    " train the bidirectional PixelCNN on top. Mode train: stage1, then stage2. Mode one_stage: all"
    " at once, the paper's ablation. Mode demo: see what a model that comes along does. Modes"
    " inpaint, traverse, reconstruct and sample use a trained model, mode evaluate measures one,"
    " mode figures draws the paper's figures, mode ledger writes the page of results, mode export"
    " makes a model small, mode whole fits what --z=whole draws from, mode studio serves a page:"
    " they have flags of their own; --mode=inpaint"
    " --help lists them. Mode"
    " reproduce: train what the figures need, measure it, draw them and say which claims hold.",
    "preset": "Settings to start from. Flags of a --flagfile win over the preset, flags on the"
    " command line over both, in whatever order they come. What --warm_start says of the model wins"
    " over the preset too.",
    "seed": "Seed of everything random.",
    "run_dir": "Directory to write to. By default a new one under runs/, named after the date, the"
    " mode and the main settings. It receives config.json and flagfile.txt;"
    " --flagfile=RUN_DIR/flagfile.txt repeats the run.",
    "smoke": "Everything of mode reproduce at toy size, in minutes. To see that it works: what is"
    " drawn and measured means nothing.",
    "only": "Models of mode reproduce to train, such as csi,one_stage; by default all. Those that"
    " they start from come along.",
    "test_images": "Images whose holes mode reproduce fills, for each model. Latents are moved in a"
    " quarter as many. Half the images take about half the time to measure.",
}

DATA = {
    "dataset": "Images to use: procedural_faces, celeb_a, tfds:NAME, npz:PATH or images:DIR."
    " procedural_faces are drawn by the program; celeb_a (the paper's) and tfds:NAME come through"
    " TensorFlow Datasets; an npz file holds an array `images` of uint8, (N, H, W, 3); of a folder"
    " all pictures are taken, with the folders in it; if these are train and validation (or val) or"
    " test, they are the splits.",
    "image_size": "Side of the square images, in pixels. The paper uses 32. Larger pictures are"
    " cropped at the centre and resized with antialiasing.",
    "data_dir": "Where TensorFlow Datasets keeps its data. None stands for its own default folder."
    " For celeb_a and tfds:NAME only; for celeb_a also the folder that holds img_align_celeba.",
    "horizontal_flip": "Mirror half of the training images. Drawn anew for each image and epoch."
    " The paper does not.",
    "limit": "Use the first so many images only.",
}

MASKS = {
    "mask": "Where the holes are: at random (rectangle, brush, ...), a named box (mouth, eyes,"
    " ...), file:PATH or a mixture (rectangle:0.6,brush:0.4). Random are rectangle,"
    " published_rectangle (the law of the authors' code), brush, blobs and pepper; boxes are"
    " center, eyes, nose, mouth, hair, face, bottom_half, bottom_quarter, top_half, left_half,"
    " right_half, all and none; a file is a picture of a mask.",
    "mask_convention": "How mask files are read. Most editors and inpainting tools take white as"
    " the hole.",
}

MODEL = {
    "latents": "Give the model latent variables. Without them it is an inpainting PixelCNN with"
    " nothing to control it by.",
    "latent_dim": "Number of latent variables.",
    "encoder_filters": "Channels of the first encoder layer and of the decoder's maps. The other"
    " layers of Table 1 have 2, 4, 8 and 16 times as many.",
    "reverse": "Use the reverse PixelCNN. It tells the forward one of the observed pixels below"
    " and to the right; without it those edges of a hole show.",
    "filters": "Channels of each PixelCNN layer.",
    "receptive_field": "Receptive field of the PixelCNNs. ROWSxCOLUMNS as the paper counts it: 3x5"
    " is one gated block, 7x15 is five.",
    "field_mode": "What the name of a receptive field means. Either the number of blocks that was"
    " published under it, whose true field is larger, or exactly the rectangle that it names.",
    "reverse_features": "Channels of the reverse PixelCNN's output.",
    "mixtures": "Logistic components of each pixel's distribution.",
    "dropout": "Dropout rate in the PixelCNNs.",
    "conditioning": "How context and latents enter the PixelCNN. As in the paper: eq. (3), a"
    " linear 1x1 of each map. As published: one 1x1 of mask and maps followed by ELU, as in the"
    " authors' code.",
    "hole_fill": "What the encoder sees in a hole. The noise is uniform over the range of pixels,"
    " as in the authors' code.",
    "full_image_encoder": "Show the encoder the whole image in training. The default shows it the"
    " masked image, which is all it gets when inpainting.",
    "weight_norm": "Normalise the weights of convolutions. As PixelCNN++ does and the paper does"
    " not; gains begin at 1, without a first batch of data.",
    "nonlinearity": "Activation of the PixelCNNs. PixelCNN++ has concat_elu, the paper elu.",
}

OBJECTIVE = {
    "objective": "Regulariser of the latent variables. The candidates of the paper's Table 2;"
    " info_vae_mmd is its choice.",
    "beta": "Weight of the penalty that the objective raises. None is the objective's own default."
    " For beta_vae, beta_tcvae, factor_vae and info_beta_tcvae.",
    "mmd_weight": "Weight of the MMD, which info_vae_mmd alone has.",
    "mmd_prior_draws": "Draws from the prior in each MMD estimate. The paper follows a tutorial"
    " that takes 200; the authors' code takes 256.",
    "estimator": "Estimator of mutual information and total correlation, where the objective has"
    " them. The corrected one keeps a normalising term that the published code leaves out.",
}

OPTIMISER = {
    "learning_rate": "Learning rate of Adam. Given by hand to mode stage2 or one_stage it is"
    " theirs, whatever --stage2_learning_rate a preset or a flagfile has; in mode train it is that"
    " of stage one.",
    "stage2_learning_rate": "That of stage two and of one_stage. At a high one stage two loses what"
    " stage one has learnt, and one_stage may learn nothing; None is --learning_rate.",
    "batch_size": "Images in a training step. It also decides how sharp an MMD estimate is: with"
    " few images it pulls the latents towards zero.",
    "epochs": "Passes over the training images, at most.",
    "train_steps": "Training steps, at most. None leaves the end to --epochs. A run that is given"
    " more goes on at the rate that the decay has at that step of the longer one.",
    "warmup_steps": "Steps in which the learning rate rises from 0; half of all steps at most.",
    "decay": "How the learning rate falls afterwards. The cosine reaches 0 at the last step.",
    "clip_norm": "Clip the gradient to this global norm.",
    "ema": "Decay of an average of the weights to evaluate with, such as 0.999. The statistics of"
    " BatchNorm, in encoder and decoder, stay those of the weights that are not averaged.",
    "latent_warmup_steps": "First steps for encoder and decoder alone. They are trained with a head"
    " that sees a pixel's neighbours and no more of the picture, in place of the PixelCNN, so that"
    " the latents are in use before it comes.",
    "precision": "Arithmetic of the networks. Likelihood and MMD stay in float32. With auto,"
    " whichever is faster on this machine, tried out for a second when a run begins.",
    "xla": "Compile the training step with XLA. For GPUs: on a CPU it is much slower.",
}

LOOP = {
    "stage1": "Run, or model file, that stage two starts from. By default, of the stages one under"
    " runs/ and beside --run_dir with the same settings, the one that saw most images; where there"
    " is none it is trained first.",
    "stage2_init": "What stage two takes over of the forward net. paper: all but the weights of"
    " the conditioning maps. published, as the authors' code: those of the latents' maps too."
    " continued: the same, and the reverse net is not heard at first, so that nothing is lost."
    " mirrored: as continued, and the reverse net begins as stage one's forward net turned round.",
    "warm_start": "Model, run or checkpoint to take the weights of this stage from. So are those of"
    " the model's settings that are not given. The optimiser starts anew, and --stage1 and"
    " --latent_warmup_steps are not needed; --preset=finetune has what suits other pictures. To go"
    " on with a run whose checkpoints are at hand, start it again with its --run_dir instead.",
    "warm_start_parts": "What of --warm_start is taken. All of it, or the PixelCNN alone, while"
    " encoder and decoder begin afresh with --latent_warmup_steps: for a model whose latents came"
    " to nothing.",
    "log_every": "Steps between two points of the training curves.",
    "validate_every": "Steps between two validations on held-out images.",
    "validation_images": "Held-out images to validate on, at most; statistics of latents are of 512"
    " of them.",
    "panel_every": "Steps between two panels of pictures in TensorBoard, which the last step always"
    " has too. With 0 none are drawn.",
    "checkpoint_every": "Steps between two checkpoints. A stopped run goes on from the last when"
    " started again with the same --run_dir.",
    "keep_checkpoints": "Checkpoints to keep, besides the best by validation.",
    "nan_policy": "What to do when a loss is not finite. Stop at the last good state and say which"
    " term and layer, or skip the batch and count it.",
    "devices": "Devices to train on. With auto: the workers of TF_CONFIG, or all GPUs, or the CPU.",
    "deterministic": "Make every operation repeatable bit for bit, at some cost in speed.",
}

# Heading -> (group of Config, flag -> help)
HELP: dict[str, tuple[str, dict[str, str]]] = {
    "Run": ("run", RUN),
    "Data": ("data", DATA),
    "Masks": ("masks", MASKS),
    "Model": ("model", MODEL),
    "Objective": ("objective", OBJECTIVE),
    "Optimiser": ("optimiser", OPTIMISER),
    "Loop": ("loop", LOOP),
}

COMMAND = {
    "mode": "What to do. Mode inpaint: fill the holes of pictures. Mode traverse: move latents, one"
    " in each row of a picture. Mode reconstruct: draw pictures anew from what is inferred of them."
    " Mode sample: draw pictures of nothing but the prior.",
    "model": "Model to use: a run directory, a model file or a model's name.",
    "input": "Pictures: a file, several with commas between, a folder, or"
    " dataset:NAME:SPLIT:FIRST-LAST. They may have any size. A folder is taken with those in it,"
    " but for the output directory and inpainted/."
    " Data sets are named as in training, such as dataset:procedural_faces:test:0-15, both ends"
    " included.",
    "output": "Directory to write to. By default a new one under inpainted/. Started again with the"
    " same directory, a command that was stopped goes on: what is there, made with the same"
    " settings, is left as it is. --run_dir says the same.",
    "overwrite": "Replace all that was made of a picture with other settings.",
    "repeat": "A PNG made by one of these modes, to make again. It comes out the same bit for bit"
    " on the same machine with the same versions; a model, picture or mask that has changed is an"
    " error. If they have moved, --model, --input and --mask say where to.",
    "session": "A session saved in the studio, or a PNG downloaded from it, for mode inpaint: draws"
    " the same completions; a model that has changed is an error. It says all else but where to"
    " write; --model says where its model has moved, or which other one is to draw.",
    "data_dir": "Where TensorFlow Datasets keeps its data. None stands for its own default folder.",
}

PICTURE = {
    "crop": "What of a picture the model is shown: center, none or LEFT,TOP,WIDTH,HEIGHT. The"
    " largest square in the middle; all of it, squeezed to a square; or a box in pixels of the"
    " picture. It is then resized with antialiasing.",
    "paste_back": "Write pictures at their own size with the hole filled. All other pixels are left"
    " as they are, in 8-bit RGB: transparency is laid over white. The filling has the model's few"
    " pixels, enlarged.",
}

HOLE = {
    "mask": "Where the hole is: a name (mouth, eyes, ...), a law (rectangle, brush, ...), a file,"
    " a folder of files called as the pictures are, or alpha: where a picture itself is"
    " transparent, be it in part. Random masks are drawn for each picture from the seed. A file"
    " lies over the whole picture, or over the crop if it has its proportions; of other"
    " proportions it is stretched. Names are those of training, so a file called mouth is ./mouth,"
    " and one called alpha ./alpha. Mode traverse can do without, and then draws all.",
    "mask_convention": "How mask files are read. Most editors and inpainting tools take white as"
    " the hole.",
}

DRAWING = {
    "latents": "Latents to set, such as smile=4,7=-1.5, by name or dimension; what is not set is"
    " inferred. In mode traverse those to move, such as smile,7; by default the first eight that"
    " have names, or else the eight that say most of the picture.",
    "values": "Values of a traversal: a list such as -3,0,3, or FROM:TO:COUNT. By default seven"
    " over the interval where a latent is of use.",
    "num_samples": "Completions of each picture. None is 8 in mode inpaint, 1 in reconstruct and 16"
    " in sample.",
    "seed": "Seed of everything random.",
    "z": "Where latents that are not set come from: posterior, whole, mean, prior, or a variance."
    " The posterior is drawn from for each completion, mean is its mean, a number is the variance"
    " of the prior. With whole, completions differ in what the hole hides as pictures do; the model"
    " needs what --mode=whole fits, which those that come along have. None is posterior, and prior"
    " in mode sample.",
    "truncation": "How many scales colours may be from the means of the mixture. None for any"
    " number.",
    "order": "Order on the grid and in results.jsonl: by number, or the likeliest first.",
    "batch": "Completions drawn at once. None is 4, or 64 on an accelerator. The last bits of a"
    " result may depend on it.",
}

COMMAND_HELP = {"Command": COMMAND, "Picture": PICTURE, "Hole": HOLE, "Drawing": DRAWING}

EVALUATION = {
    "mode": "What to do. Mode evaluate: measure a model on held-out images.",
    "model": "Model to measure: a run directory, a model file or a model's name.",
    "output": "Directory to write to, by default evaluation/ beside the model, or under outputs/"
    " for one that comes along. It receives evaluation.json, evaluation.md and latents.json."
    " Started again, an evaluation goes on where it was stopped. --run_dir says the same.",
    "overwrite": "Replace an evaluation, of another model or with other settings too. With --parts,"
    " of the same model with the same settings only these are replaced.",
    "parts": "What to measure: some of likelihood, latents, reconstruction, pictures, seam,"
    " calibration, control, wide_z, baselines. None is all that the model allows.",
    "z": "Where z of completions comes from. With whole, as z of whole pictures would be; the model"
    " needs what --mode=whole fits. Parts pictures, seam, calibration and wide_z are of such"
    " completions, which the paper's claims are not about.",
    "clamped": "Fill holes with a model of stage one. It draws pixel by pixel with the context"
    " clamped, without knowing what is below and to the right.",
    "seed": "Seed of everything random.",
    "batch": "Completions drawn at once. The last bits of a result may depend on it.",
}

HELD_OUT = {
    "dataset": "Images to measure on: a data set as in training. None is that of the model. The"
    " test split, and choices are made on the validation split; where only one of them is there,"
    " half of it for each.",
    "data_dir": "Where TensorFlow Datasets keeps its data. None stands for that of the training.",
    "images": "Images whose holes are filled and scored.",
    "num_samples": "Completions of each.",
    "masks": "Holes: named boxes and laws, with commas between.",
    "posterior_draws": "Draws of z that likelihoods are averaged over.",
    "encoded_images": "Images that the statistics of the latents are of.",
    "control_images": "Images that latents are moved in: so many to choose on, as many to report"
    " on.",
    "control_values": "Values that each latent is set to, from -3 to 3.",
    "train_images": "Training images that readers of factors or attributes, KID's among them, are"
    " fitted to.",
    "features": "Features that KID and FID are of. With proxy: those of a small classifier trained"
    " on the attributes. Inception's need its weights, and numbers with them cannot be compared"
    " with those of other programs.",
}

FIGURES = {
    "mode": "What to do. Mode figures: draw Figures 3 to 8 of the paper from trained models.",
    "model": "Models: the directory of a reproduction, or one run for the figures that need only"
    " that.",
    "figure": "Figures to draw: 3, 4, 5a, 5b, 5c, 6, 7, 8, several with commas between, or all."
    " 5 means its three parts.",
    "output": "Directory to write to, by default figures/ beside the models. It receives each"
    " figure as PNG and PDF, and the arrays behind it. --run_dir says the same.",
    "dataset": "Images to draw with: a data set as in training. None is that of the models.",
    "data_dir": "Where TensorFlow Datasets keeps its data. None stands for that of the training.",
    "small": "Few images and values. To see that it works.",
    "seed": "Seed of everything random.",
    "batch": "Completions drawn at once. The last bits of a result may depend on it.",
}

DEMO = {
    "mode": "What to do. Mode demo: see what a model does. It fills holes and moves latents, and"
    " needs no data set.",
    "model": "Model to use: one that comes along, by its name, a run directory or a model file.",
    "output": "Directory to write holes.png and sliders.png to, by default outputs/demo-MODEL."
    " --run_dir says the same.",
    "seed": "Seed of everything random.",
    "batch": "Completions drawn at once. The last bits of a result may depend on it.",
}

LEDGER = {
    "mode": "What to do. Mode ledger: write results.md from what reproductions have found.",
    "claims": "Files claims.json of reproductions, one for each data set, with commas between.",
    "evaluations": "In place of claims: directories of evaluations of models that were trained one"
    " by one, as NAME=DIRECTORY with commas between, named as --only of mode reproduce has them;"
    " info_vae_clamped is info_vae measured with --clamped. Judges the claims, and writes"
    " claims.json too.",
    "output": "Directory to write results.md to.",
}

EXPORT = {
    "mode": "What to do. Mode export: write a model with its kernels in half precision, to ship.",
    "model": "Model to write: a run directory, both of whose stages are taken, or a model file.",
    "output": "Directory to write to, by default exported/ in the run. It receives the"
    " model files, the names of the latents, metrics.jsonl and a picture of the curves. --run_dir"
    " says the same.",
}

WHOLE = {
    "mode": "What to do. Mode whole: fit what completions with --z=whole draw their latents from.",
    "model": "Model to fit it to: a run directory or a model file. whole.safetensors is written"
    " beside the model file, for all that load it; --mode=export takes it along.",
    "dataset": "Images to fit it to: a data set as in training. None is that of the model.",
    "data_dir": "Where TensorFlow Datasets keeps its data. None stands for that of the training.",
    "mask": "Holes to learn from: names and laws, with commas between. None is those of training.",
    "steps": "Steps of training, each on 128 of the latest 65,536 masked images; every fourth"
    " encodes 128 new ones. 8,000 took 18 minutes on one core. Stopped, it begins anew.",
    "seed": "Seed of everything random.",
}

STUDIO = {
    "mode": "What to do. Mode studio: a page to paint holes on and to move latents.",
    "model": "Models to choose from: names, run directories or model files, with commas between."
    " None stands for those that come along.",
    "port": "Port to serve the page on.",
    "host": "Address to serve the page on. The default can be reached from this machine only.",
    "share": "Ask Gradio's servers for a public link to the page. Whoever has it can use it.",
}

# Mode -> its settings, and heading -> flag -> help
OWN_HELP: dict[str, tuple[type[CheckedSettings], dict[str, dict[str, str]]]] = {
    **dict.fromkeys(COMMANDS, (Command, COMMAND_HELP)),
    "demo": (Demo, {"Demo": DEMO}),
    "evaluate": (Evaluation, {"Evaluation": EVALUATION, "Measured": HELD_OUT}),
    "figures": (Figures, {"Figures": FIGURES}),
    "ledger": (Ledger, {"Ledger": LEDGER}),
    "export": (Export, {"Export": EXPORT}),
    "whole": (Whole, {"Whole": WHOLE}),
    "studio": (Studio, {"Studio": STUDIO}),
}


_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def presets() -> list[str]:
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.cfg"))


class _SettingParser(absl_flags.ArgumentParser):
    """Reads the text of a flag as the type of its setting; `none` where None is allowed."""

    def __init__(self, kind: Any, names: tuple[str, ...] = ()) -> None:
        self.inner, self.is_optional = optional(kind)
        if get_origin(self.inner) is Literal:
            names = get_args(self.inner)
        self.names = names
        self.syntactic_help = "one of " + ", ".join(names) if names else expectation(kind)

    def parse(self, argument: Any) -> Any:
        if argument is None or (self.is_optional and argument == "none"):
            return None
        if self.names and argument not in self.names:
            raise ValueError(f"expected {self.syntactic_help}")
        if self.inner is str or self.names:
            return argument
        try:
            return _TRUTH[str(argument).lower()] if self.inner is bool else self.inner(argument)
        except (KeyError, ValueError):
            raise ValueError(f"expected {self.syntactic_help}") from None


def tables(mode: str | None = None) -> dict[str, tuple[type, dict[str, str]]]:
    """Heading -> (settings, flag -> help): the flags that a mode takes."""
    if mode in OWN_HELP:
        settings, headings = OWN_HELP[mode]
        return {heading: (settings, helps) for heading, helps in headings.items()}
    kinds = get_type_hints(Config)
    return {heading: (kinds[group], helps) for heading, (group, helps) in HELP.items()}


def define(mode: str | None = None) -> absl_flags.FlagValues:
    """A fresh set of flags: nothing global, so a process may parse more than once."""
    values = absl_flags.FlagValues()
    # Flags that go with one of the commands go with the others, as far as they have a use for them
    modes = COMMANDS if mode in COMMANDS else (mode,) if mode in WITH_OWN_FLAGS else tuple(MODES)
    for heading, (settings, helps) in tables(mode).items():
        kinds = get_type_hints(settings)
        for name, text in helps.items():
            default = getattr(settings, name, None)  # what must be said has none
            names = {"mode": modes, "preset": tuple(presets())}.get(name, ())
            parser = _SettingParser(kinds[name], names)
            boolean = kinds[name] is bool  # --xla and --noxla, without a value
            absl_flags.DEFINE(parser, name, default, text, values, None, heading, boolean=boolean)
    if "output" in values:
        absl_flags.DEFINE_alias("run_dir", "output", flag_values=values)
    return values
