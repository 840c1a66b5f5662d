"""Flags: one for every setting, parsed into the settings and written back as a flagfile."""

import re
import shlex
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import get_type_hints

import pytest
from absl import flags as absl_flags
from PIL import Image

import flags
from csi_tf.commands import Command
from csi_tf.config import Config, ModelConfig, OptimiserConfig, RunConfig
from csi_tf.modes import COMMANDS, MODES
from flags.definitions import COMMAND_HELP, HELP, PRESET_FOLDER, define, presets

DEFAULTS = Config(RunConfig("data"))


def parse(*arguments: str) -> Config:
    return flags.parse(["run.py", *arguments])


def test_every_setting_has_one_flag():
    by_group = dict(HELP.values())
    assert list(by_group) == [field.name for field in fields(Config)]
    for group, helps in by_group.items():
        assert set(helps) == {field.name for field in fields(get_type_hints(Config)[group])}
    names = [name for helps in by_group.values() for name in helps]
    assert len(names) == len(set(names))


def test_every_setting_of_a_command_has_one_flag():
    names = [name for helps in COMMAND_HELP.values() for name in helps]
    assert sorted(names) == sorted(field.name for field in fields(Command))


def test_each_mode_has_flags_of_its_own():
    """The same flag may mean one thing in training and another in use."""
    given = ("--model=m", "--input=i", "--mask=none", "--latents=smile=4", "--truncation=none")
    command = parse("--mode=inpaint", *given, "--run_dir=here")
    expected = Command("inpaint", "m", "i", "here", mask="none", latents="smile=4", truncation=None)
    assert command == expected
    assert parse("--mode=data", "--nolatents").model.latents is False
    with pytest.raises(flags.UsageError, match="--latents=smile=4"):
        parse("--mode=data", "--latents=smile=4")


def test_a_flagfile_may_name_the_mode_and_the_command_line_another(tmp_path):
    (tmp_path / "mine.cfg").write_text("--mode=inpaint\n--model=m\n--seed=3\n")
    asked = ("--input=i", "--mask=eyes", f"--flagfile={tmp_path}/mine.cfg")
    assert parse(*asked) == Command("inpaint", "m", "i", mask="eyes", seed=3)
    command = parse(asked[0], asked[2], "--mode", "traverse")
    assert command == Command("traverse", "m", "i", seed=3)


def test_without_flags_all_is_default():
    assert parse("--mode=data") == DEFAULTS


def test_values_of_every_type():
    config = parse(
        *("--mode", "summary", "--filters=48", "--dropout=.25", "--noreverse", "--xla"),
        *("--latents=false", "--clip_norm=1", "--beta=none", "--decay=none", "--mask=mouth"),
    )
    assert (config.run.mode, config.masks.mask) == ("summary", "mouth")
    model = ModelConfig(filters=48, dropout=0.25, reverse=False, latents=False)
    assert config.model == model
    assert config.optimiser == OptimiserConfig(clip_norm=1.0, xla=True)


def test_parsing_leaves_no_trace():
    """absl's own flags are global; ours are not, so one process can parse twice."""
    before = set(absl_flags.FLAGS)
    parse("--mode=data", "--filters=3")
    assert parse("--mode=data") == DEFAULTS
    assert set(absl_flags.FLAGS) == before


@pytest.mark.parametrize("asked", ["--preset=paper", f"--flagfile={PRESET_FOLDER}/paper.cfg"])
def test_paper_preset_is_the_defaults(asked):
    config = parse("--mode=data", asked)
    assert replace(config, run=RunConfig("data")) == DEFAULTS


def test_paper_preset_says_every_setting_of_the_model():
    text = (PRESET_FOLDER / "paper.cfg").read_text()
    said = {re.sub("^no(?!nlinearity)", "", n) for n in re.findall(r"^--(\w+)", text, re.M)}
    wanted = {name for group in ("Model", "Objective", "Optimiser") for name in HELP[group][1]}
    assert said >= wanted - {"beta"}  # InfoVAE-MMD has none


def test_presets_stand_on_their_own():
    assert presets() == ["cpu", "finetune", "paper", "tiny"]
    for name in presets():
        assert not re.search("preset|flagfile|--mode", (PRESET_FOLDER / f"{name}.cfg").read_text())
        as_file = parse("--mode=data", f"--flagfile={PRESET_FOLDER}/{name}.cfg")
        as_preset = parse("--mode=data", f"--preset={name}")
        assert replace(as_preset, run=as_file.run) == as_file


def test_command_line_wins_over_flagfile_wins_over_preset(tmp_path):
    preset_filters = parse("--mode=data", "--preset=cpu").model.filters
    assert preset_filters not in (7, 8, ModelConfig().filters)
    flagfile = tmp_path / "mine.cfg"
    flagfile.write_text("# a comment\n--filters=7\n\n--latent_dim=9\n")
    for order in (1, -1):
        chosen = ["--filters=8", f"--flagfile={flagfile}", "--preset=cpu"][::order]
        config = parse("--mode=data", *chosen)
        assert (config.model.filters, config.model.latent_dim) == (8, 9)
        assert config.optimiser.decay == "cosine"
        config = parse("--mode=data", *[flag for flag in chosen if flag != "--filters=8"])
        assert config.model.filters == 7


def test_the_rate_given_to_a_stage_two_alone_is_its_own():
    def rates(*arguments):
        chosen = parse(*arguments).optimiser
        return chosen.learning_rate, chosen.stage2_learning_rate

    first, second = rates("--mode=stage2", "--preset=cpu")
    assert second is not None
    given = ("--preset=cpu", "--learning_rate=8e-4")
    assert rates("--mode=stage2", *given) == rates("--mode=one_stage", *given) == (first, 8e-4)
    assert rates("--mode=train", *given) == rates("--mode=stage1", *given) == (8e-4, second)
    assert rates("--mode=stage2", *given, "--stage2_learning_rate=1e-3") == (8e-4, 1e-3)
    # Without one of stage two's own, both stages have the rate.
    assert rates("--mode=stage2", "--preset=tiny", "--learning_rate=8e-4") == (8e-4, None)


def test_a_rate_given_by_hand_goes_before_those_of_a_flagfile(tmp_path):
    def rates(*arguments):
        chosen = parse(*arguments).optimiser
        return chosen.learning_rate, chosen.stage2_learning_rate

    for mode in ("stage2", "one_stage"):
        kept = tmp_path / f"{mode}.txt"  # as a run leaves it, with every setting
        kept.write_text(flags.flagfile_text(parse(f"--mode={mode}", "--preset=cpu")))
        first, second = rates(f"--flagfile={kept}")
        assert rates(f"--flagfile={kept}", "--learning_rate=5e-4") == (first, 5e-4)
        assert second not in (None, 5e-4)
    written = tmp_path / "mine.cfg"
    written.write_text("--preset=cpu\n--mode=stage2\n--learning_rate=5e-4\n")
    assert rates(f"--flagfile={written}") == (first, 5e-4)


@pytest.mark.parametrize("mode", ["stage2", "one_stage", "train", "reproduce"])
def test_training_on_holes_needs_holes(mode, tmp_path):
    black = tmp_path / "black.png"
    Image.new("L", (32, 32)).save(black)
    for mask in ("none", f"file:{black}"):
        with pytest.raises(flags.UsageError, match=f"--mask={re.escape(mask)} hides nothing"):
            parse(f"--mode={mode}", f"--mask={mask}")
    parse(f"--mode={mode}", f"--mask=file:{black}", "--mask_convention=black_is_hole")
    parse("--mode=stage1", "--mask=none")  # whose encoder may see all


def test_a_preset_named_in_a_flagfile_counts(tmp_path):
    (tmp_path / "mine.cfg").write_text("--preset=cpu\n--mode=data\n")
    config = parse("--flagfile", str(tmp_path / "mine.cfg"))
    assert config == parse("--mode=data", "--preset=cpu")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mode=data"],
        ["--mode=summary", "--preset=cpu", "--train_steps=none", "--nolatents", "--seed=4"],
        [
            "--mode=data",
            "--mask=rectangle:0.6,brush:0.4",
            "--mmd_weight=123456.789",
            "--ema=0.9999",
        ],
        ["--mode=data", "--dataset=tfds:a#b // c", "--data_dir=with space", "--limit=5"],
    ],
    ids=str,
)
def test_flagfile_round_trip(arguments, tmp_path):
    """Even where a preset says otherwise: what a run used is written, None included."""
    config = parse(*arguments)
    path = tmp_path / "flagfile.txt"
    path.write_text(flags.flagfile_text(config))
    assert parse(f"--flagfile={path}") == config
    assert "run_dir" not in path.read_text()


def test_flagfile_says_every_setting_and_the_version():
    text = flags.flagfile_text(DEFAULTS)
    assert re.match(r"# csi-tf \d+\.\d+", text)
    said = re.findall(r"^--(\w+)=", text, re.M)
    everything = [name for group in asdict(DEFAULTS).values() for name in group]
    assert sorted([*said, "run_dir"]) == sorted(everything)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--mode", "data, summary"]),
        (["--mode=trian"], ["--mode=trian", "data, summary"]),
        (["--mode=data", "--filtres=3"], ["--filtres", "did you mean --filters?"]),
        (["--mode=data", "--nolatent"], ["--nolatent", "did you mean --nolatents?"]),
        (["--mode=data", "--zzz"], ["--zzz", "--help"]),
        (["--mode=data", "stray"], ["'stray'", "--name=value"]),
        (["--mode=data", "--xla", "true", "--filters=3"], ["'true'"]),
        (["--mode=data", "--filters=many"], ["--filters=many", "whole number"]),
        (["--mode=data", "--filters=1.5"], ["--filters=1.5", "whole number"]),
        (["--mode=data", "--ema=big"], ["--ema=big", "number, or none"]),
        (["--mode=data", "--xla=perhaps"], ["--xla=perhaps", "true or false"]),
        (["--mode=data", "--objective=gan"], ["--objective=gan", "info_vae_mmd", "aae"]),
        (["--mode=data", "--filters"], ["--filters"]),
        (["--mode=data", "--input=x"], ["--input has no place in --mode=data"]),
        (["--mode=data", "--nopaste_back"], ["--nopaste_back has no place"]),
        (["--mode=sample", "--preset=cpu"], ["--preset has no place in --mode=sample", "--help"]),
        (["--mode=sample", "--latent=1=2"], ["--latent", "did you mean --latents?"]),
        (["--mode=sample", "--model=x", "--seed=-1"], ["seed", "2147483647"]),
        (["--mode=sample", "--model=x", "--order=best"], ["--order=best", "likelihood"]),
        (["--mode=data", "--preset=gpu"], ["--preset=gpu", "cpu, finetune, paper, tiny"]),
        (["--mode=data", "--flagfile"], ["--flagfile"]),
        (["--mode=data", "--flagfile="], ["--flagfile"]),
        (["--mode=data", "--flagfile=no/such.cfg"], ["no/such.cfg"]),
        (["--mode=data", "--receptive_field=8x8"], ["8x8", "7x15"]),
        (["--mode=data", "--objective=aae", "--beta=2"], ["beta", "aae"]),
        (["--mode=data", "--mask=rectangel"], ["rectangel", "rectangle, published_rectangle"]),
        (["--mode=data", "--dataset=celeba"], ["celeba", "celeb_a"]),
        (["--mode=data", "--dataset=npz:no/such.npz"], ["no/such.npz"]),
        (["--mode=data", "--data_dir=x"], ["data_dir", "procedural_faces"]),
    ],
    ids=str,
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(flags.UsageError) as caught:
        parse(*arguments)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_flagfile_that_is_no_text(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(flags.UsageError, match=r"text file.*picture\.png"):
        parse("--mode=data", f"--flagfile={tmp_path}/picture.png")


def test_short_help_is_one_screen_or_two_and_grouped():
    page = flags.help_text(["run.py", "--mode=data", "--help"])
    lines = page.splitlines()
    headings = [line for line in lines if re.fullmatch(r"[A-Z]\w+", line)]
    assert headings == ["Run", "Data", "Masks", "Model", "Objective", "Optimiser", "Loop"]
    assert len(lines) <= 90
    assert max(map(len, lines)) <= 100
    for name in define():
        assert re.search(rf"--(\[no\])?{name}\b", page), name


@pytest.mark.parametrize("mode", COMMANDS)
def test_help_of_a_mode_that_uses_a_model(mode):
    short, full = (flags.help_text(["run.py", f"--mode={mode}", h]) for h in ("-h", "--helpfull"))
    lines = short.splitlines()
    assert lines[0].startswith(f"usage: python run.py --mode={mode} --model=")
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    said = " ".join(full.split())
    for helps in COMMAND_HELP.values():
        for name, text in helps.items():
            assert re.search(rf"--(\[no\])?{name}\b", short), name
            assert text in said
    assert "--filters" not in said


def test_full_help_says_what_each_flag_takes():
    page = " ".join(flags.help_text(["run.py", "--helpfull"]).split())
    for _, helps in HELP.values():
        for name, text in helps.items():
            assert re.search(rf"--(\[no\])?{name}\b", page), name
            assert text in page
    for names in (MODES, presets(), ["white_is_hole", "info_beta_tcvae", "mixed_bfloat16"]):
        for name in names:
            assert name in page


def test_without_arguments_it_says_where_to_begin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FOLDER" / "a.png").touch()
    lines = flags.help_text(["run.py"]).splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 100
    commands = [re.split(" {2,}", line.strip())[0] for line in lines if "python run.py" in line]
    assert len(commands) >= 6
    for command in commands:
        argv = shlex.split(command)[1:]
        assert flags.help_text(argv) or flags.parse(argv)


def test_no_help_unless_asked():
    assert flags.help_text(["run.py", "--mode=data", "--mask=help"]) is None


def test_parsing_imports_no_tensorflow():
    code = (
        "import sys, flags; flags.help_text(['', '--helpfull']);"
        "flags.parse(['', '--mode=data', '--preset=cpu']);"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    folder = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0
