"""From the command line to settings and back to a flagfile; every mistake is a UsageError."""

import difflib
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, fields
from itertools import pairwise
from typing import Any, get_type_hints

from absl import flags as absl_flags

import csi_tf
from csi_tf import checks, remarks
from csi_tf.config import Config
from csi_tf.files import FileError
from csi_tf.modes import (
    COMMANDS,
    MODES,
    STAGE_TWO_MODES,
    TRAINING_MODES,
    WITH_OWN_FLAGS,
    WITH_REVERSE,
)
from csi_tf.settings import CheckedSettings, as_flag
from flags.definitions import HELP, OWN_HELP, PRESET_FOLDER, define, tables

Settings = Config | CheckedSettings

_WELCOME = """\
csi-tf fills the hole of a picture, and lets you say what should come into it. What next?

  python run.py --mode=demo           see it: fillings and sliders, in under a minute
  python run.py --mode=studio         paint holes and move sliders, on a page
  python run.py --mode=inpaint --model=procedural_faces --input=PICTURE --mask=mouth
  python run.py --mode=train --preset=cpu --dataset=images:FOLDER     on pictures of your own
  python run.py --mode=evaluate --model=RUN                           measure what was trained
  python run.py --mode=reproduce --preset=cpu     the paper's models, figures and claims
  python run.py --help                all flags; --mode=inpaint --help those of a mode"""
_USAGE = "usage: python run.py --mode=MODE [--preset=NAME] [--flagfile=FILE] [--FLAG=VALUE ...]"
_COMMAND_USAGE = (
    "usage: python run.py --mode={} --model=MODEL [--input=PICTURES] [--FLAG=VALUE ...]"
)
_WIDTH = 98


class UsageError(ValueError):
    """A mistake on the command line, in one sentence."""


def parse(argv: Sequence[str]) -> Settings:
    """The settings that `argv` (program name first) asks for.

    A preset is weakest, then the model of a warm start, the flagfiles in their order, and the
    command line.
    """
    flagfiles, explicit = _split(argv[1:])
    try:
        written = _without_mark(define().read_flags_from_files(flagfiles))
        arguments = [*written, *explicit]
        mode = _mode(arguments)
        values = define(mode)
        is_settings = mode not in OWN_HELP
        _check_arguments(
            arguments if is_settings else written, [] if is_settings else explicit, values
        )
        _read(values, arguments)
        given = {name for name in values if values[name].present}
        if mode in OWN_HELP:
            return _own(mode, values)
        preset = []
        if values.preset is not None:
            file = f"--flagfile={PRESET_FOLDER}/{values.preset}.cfg"
            preset = values.read_flags_from_files([file])
        layers = _own_rates(mode, preset, written, explicit)
        values = define()
        _read(values, layers)
        if values.mode is None:
            raise UsageError(f"--mode is needed, one of {', '.join(MODES)}; --help lists flags")
        kinds = get_type_hints(Config)
        config = Config(
            **{
                group: kinds[group](**{name: _placed(name, values[name].value) for name in helps})
                for group, helps in HELP.values()
            }
        )
        _check_inputs(config)
        return _with_weights(config, given)
    except UnicodeDecodeError:
        raise UsageError(f"no text file: {' '.join(flagfiles)}") from None
    except (absl_flags.Error, ValueError, FileError) as error:
        raise UsageError(str(error).removeprefix("ERROR:: ")) from None


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The --flagfile directives, and the flags given on the command line itself."""
    flagfiles, explicit = [], []
    queue = iter(arguments)
    for argument in queue:
        if re.match("--?flagfile(=|$)", argument):
            name = argument.split("=", 1)[1] if "=" in argument else next(queue, "")
            if not name:
                raise UsageError("--flagfile needs the name of a file")
            flagfiles.append(f"--flagfile={name}")
        else:
            explicit.append(argument)
    return flagfiles, explicit


def _mode(arguments: Sequence[str]) -> str | None:
    """The last one named, as absl has it: what other flags there are depends on it."""
    found = None
    for i, argument in enumerate(arguments):
        if named := re.fullmatch("--?mode(?:=(.*))?", argument, re.DOTALL):
            found = named[1] if named[1] is not None else "".join(arguments[i + 1 : i + 2])
    return found


def _without_mark(lines: list[str]) -> list[str]:
    """The lines of flagfiles without the byte order mark that some editors put in front."""
    bare = [line.removeprefix("\ufeff").strip() for line in lines]
    return [line for line in bare if line and not line.startswith(("#", "//"))]


def _check_arguments(settings: list[str], others: list[str], values: absl_flags.FlagValues) -> None:
    """`settings` are lines of flagfiles, those that were and those that will be written; `others`
    stand on the command line of a mode that writes none."""
    # Names of pictures may be anything; no others are handed to what needs text.
    texts = [
        each
        for before, each in pairwise(["", *others])
        if not re.match("--?(input|mask)=", each) and not re.fullmatch("--?(input|mask)", before)
    ]
    for argument in [*settings, *texts]:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{argument!r} is not UTF-8; rename what it names") from None
    for line in settings:
        for name in re.findall(r"\s--(\w+)", line):
            if name in values or name.removeprefix("no") in values:
                raise UsageError(
                    f"{line!r} holds more than one flag; in a flagfile each has its own line"
                )


def _placed(name: str, value: Any) -> Any:
    """Relative paths made absolute: a run's flagfile repeats it from any directory."""
    if not isinstance(value, str):
        return value
    if name == "warm_start" and value in csi_tf.available():
        return value
    if name in ("data_dir", "stage1", "warm_start"):
        return checks.absolute(value)
    if name == "dataset" and (kind := re.match("npz:|images:", value)):
        return kind[0] + checks.absolute(value.removeprefix(kind[0]))
    if name == "mask":
        return checks.absolute_masks(value)
    return value


def _read(values: absl_flags.FlagValues, arguments: list[str]) -> None:
    try:
        _, *rest = values(["run.py", *arguments])
    except absl_flags.UnrecognizedFlagError as error:
        mode = _mode(arguments)
        others = [None, *OWN_HELP]
        if any(error.flagname.removeprefix("no") in define(other) for other in others):
            if mode is None:
                raise UsageError(
                    f"--{error.flagname} goes with a mode, such as --mode=inpaint: name it; --help"
                    " lists the modes"
                ) from None
            raise UsageError(
                f"--{error.flagname} has no place in --mode={mode}; --mode={mode} --help lists what"
                " has"
            ) from None
        known = [*values, *(f"no{name}" for name in values if values[name].boolean)]
        close = difflib.get_close_matches(error.flagname, known, n=1)
        page = "--help" if mode is None else f"--mode={mode} --help"
        hint = f"did you mean --{close[0]}?" if close else f"{page} lists the flags"
        raise UsageError(f"unknown flag --{error.flagname}; {hint}") from None
    if rest:
        raise UsageError(
            f"unexpected argument {rest[0]!r}; flags are written --name=value, with quotes around a"
            " value that has spaces"
        )


def _own(mode: str, values: absl_flags.FlagValues) -> Any:
    """The settings of a mode that has flags of its own."""
    kind, headings = OWN_HELP[mode]
    typed = {name: values[name].value for helps in headings.values() for name in helps}
    for name, value in typed.items():
        if value is None and name in _needed(kind):
            raise UsageError(f"--{name} is needed: {_first_sentence(headings, name)}")
    return kind(**typed)


def _needed(settings: type) -> set[str]:
    """Those without a default."""
    return {each.name for each in fields(settings) if each.default is MISSING}


def _first_sentence(headings: dict[str, dict[str, str]], name: str) -> str:
    """The first sentence of a flag's help."""
    text = next(helps[name] for helps in headings.values() if name in helps)
    return re.split(r"(?<=[.]) ", text)[0].rstrip(".")


def _own_rates(mode: str | None, *layers: list[str]) -> list[str]:
    """All arguments, the weakest layer first. A layer's --learning_rate for stage two, or for
    one_stage, is meant for it where layers below have a rate for these; stage one keeps its own."""
    lines: list[str] = []
    for layer in layers:
        below, own = define(), define()
        _read(below, lines)
        _read(own, layer)
        lines += layer
        given = [name for name in ("learning_rate", "stage2_learning_rate") if own[name].present]
        named = mode in WITH_REVERSE and given == ["learning_rate"]
        if named and below.stage2_learning_rate is not None:
            lines += [
                f"--stage2_learning_rate={own.learning_rate}",
                f"--learning_rate={below.learning_rate}",
            ]
    return lines


def _with_weights(config: Config, given: set[str]) -> Config:
    """Whoever starts from a model need not say what it is like."""
    if config.run.mode not in TRAINING_MODES:
        return config
    if config.run.preset == "finetune" and config.loop.warm_start is None:
        raise UsageError(
            "--preset=finetune goes on from a model: name one, such as --warm_start=celeba32"
        )
    settled = {*HELP["Model"][1], "image_size"} <= given  # as in a flagfile that repeats a run
    if config.loop.warm_start is None or settled:
        return config
    checks.keras_backend()
    with remarks.kept_out():
        from csi_tf import warm_start
    return warm_start.settled(config, given)


def _check_inputs(config: Config) -> None:
    """Whether masks and data can be had; not the business of Config, which outlives its files."""
    from csi_tf import data, masks

    masks.parse(config.masks.mask)
    if config.run.mode in (*STAGE_TWO_MODES, "one_stage", "reproduce"):
        size, convention = config.data.image_size, config.masks.mask_convention
        parts = [masks.Mixture((part,)) for part in masks.parse(config.masks.mask).components]
        if all(masks.sample(part, 4, size, 0, convention=convention).all() for part in parts):
            raise UsageError(
                f"--mask={config.masks.mask} hides nothing, so that a PixelCNN of holes would learn"
                " nothing: name another, such as --mask=rectangle (in mask files white is the hole,"
                " unless --mask_convention=black_is_hole)"
            )
    dataset, data_dir = config.data.dataset, config.data.data_dir
    # TensorFlow Datasets can only tell after a slow import, and perhaps a download.
    if dataset != "celeb_a" and not dataset.startswith("tfds:"):
        data.splits(dataset, data_dir)


def flagfile_text(config: Config) -> str:
    """A flagfile that says every setting, but for the directory the run happened to be in."""
    lines = [f"# csi-tf {csi_tf.__version__}; repeat with: python run.py --flagfile=THIS_FILE"]
    settings = asdict(config)
    for heading, (group, helps) in HELP.items():
        lines += ["", f"# {heading}"]
        kept = [name for name in helps if name != "run_dir"]
        lines += [f"--{name}={as_flag(settings[group][name])}" for name in kept]
    return "\n".join(lines) + "\n"


def help_text(argv: Sequence[str]) -> str | None:
    """The page that --help or --helpfull in `argv` asks for; without arguments, where to begin."""
    if len(argv) < 2:
        return _WELCOME
    asked = {argument.lstrip("-") for argument in argv[1:] if argument.startswith("-")}
    mode = _mode(argv[1:])
    usage = _USAGE
    if mode in COMMANDS:
        usage = _COMMAND_USAGE.format(mode)
    elif mode in WITH_OWN_FLAGS:
        usage = f"usage: python run.py --mode={mode} [--FLAG=VALUE ...]"
    if "helpfull" in asked:
        return "\n".join([usage, "", *_full_help(mode)])
    if asked & {"help", "h"}:
        more = ["", "--helpfull says more on each flag."]
        if mode is None:
            more.append(f"Modes with flags of their own: {', '.join(WITH_OWN_FLAGS)};")
            more.append("--mode=inpaint --help, say, lists them.")
        return "\n".join([usage, *_short_help(mode), *more])
    return None


def _short_help(mode: str | None) -> Iterator[str]:
    values = define(mode)
    for heading, (_, helps) in tables(mode).items():
        yield f"\n{heading}"
        for name in helps:
            flag = values[name]
            line = _first_sentence({heading: helps}, name)
            if names := getattr(flag.parser, "names", ()):
                line += f": {', '.join(names)}"
            yield from textwrap.wrap(
                f"  {_signature(flag):<32} {line}", _WIDTH, subsequent_indent=" " * 35
            )


def _full_help(mode: str | None) -> Iterator[str]:
    values = define(mode)
    indent = " " * 8
    for heading, (_, helps) in tables(mode).items():
        yield f"{heading}\n"
        for name, text in helps.items():
            flag = values[name]
            kind = "" if flag.boolean else f" Expects {flag.parser.syntactic_help}."
            yield f"  {_signature(flag)}"
            yield textwrap.fill(
                text + kind, _WIDTH, initial_indent=indent, subsequent_indent=indent
            )
        yield ""
    yield textwrap.fill(
        "--flagfile=FILE reads flags from a file, one a line; # starts a comment. The presets are"
        f" such files, in {PRESET_FOLDER}.",
        _WIDTH,
    )


def _signature(flag: absl_flags.Flag) -> str:
    if flag.boolean:
        return f"--[no]{flag.name} ({as_flag(flag.default)})"
    if flag.name == "mode":
        return "--mode=MODE"
    return f"--{flag.name}={as_flag(flag.default)}"
