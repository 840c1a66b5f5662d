"""The README's commands and lines of Python, run one after another as a reader would.

Training and measuring are made short by further flags; everything else runs as it is printed, but
for installations (`.ci/run` makes one) and what has tests of its own, which are named below.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tiny
from commanding import load_once, picture
from tensorboard import program

import flags
import run
from csi_tf import loading, masks
from flags.definitions import MODEL

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text()
BLOCKS = [
    textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", README, re.M)
]
COMMANDS = [
    re.split(r"\s+#", line)[0].strip()
    for block in BLOCKS
    for line in block.replace("\\\n", "").splitlines()
]
PROGRAM = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("python run.py")]
TRAINING = ("train", "stage1", "stage2", "one_stage")
SHORT = [line for line in tiny.flags(tiny.config("train")) if "mode" not in line]
OF_MODEL = {*MODEL, "image_size"}  # which a warm start brings along
MEASURED = ["--images=10", "--num_samples=2", "--posterior_draws=2", "--train_images=100"]
MEASURED += ["--encoded_images=64", "--control_images=10", "--control_values=3"]


def mode_of(argv):
    return next((a.removeprefix("--mode=") for a in argv if a.startswith("--mode=")), None)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What a reader has: pictures, masks for some of them, a checkout."""
    place = tmp_path_factory.mktemp("reader")
    for i in range(100):  # the fewest of which enough are held out for an evaluation
        picture(str(place / f"photos/{i}.png"), 24, 20, seed=i)
    for i in range(3):
        picture(str(place / f"album/{i}.png"), 24, 20, seed=i)
        picture(str(place / f"holes/{i}.png"), 24, 20, seed=i)
    picture(str(place / "face.png"), 24, 24)
    shutil.copytree(REPOSITORY / "flags", place / "flags")
    return place


@pytest.fixture
def at_hand(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def test_the_commands_are_found():
    assert len(PROGRAM) > 25
    assert {*TRAINING, "inpaint", "evaluate", "figures", "reproduce"} <= {*map(mode_of, PROGRAM)}


def shortened(argv):
    """The same command, over in seconds."""
    mode = mode_of(argv)
    if mode in TRAINING:
        is_warm = any(each.startswith("--warm_start") for each in argv)
        short = [each for each in SHORT if not (is_warm and each[2:].split("=")[0] in OF_MODEL)]
        return [argv[0], *short, *argv[1:]]
    if mode == "data":
        return [*argv, "--image_size=16"]
    if mode == "evaluate":
        return [*argv, *MEASURED]
    if mode == "whole":
        return [*argv, "--steps=3"]
    return [word.replace("test:0-15", "test:0-1") for word in argv]


# One test, as later commands use what earlier ones leave; they take 3 minutes on an old processor.
@pytest.mark.timeout(1500)
def test_every_command_runs(at_hand, monkeypatch, capsys):
    monkeypatch.setattr(loading, "load", load_once)
    for argv in PROGRAM:
        mode = mode_of(argv)
        asked = shortened(argv)
        if mode == "studio":  # driven in tests/test_studio_page.py
            assert flags.parse(asked).names
        elif mode == "ledger" and "--evaluations" not in " ".join(asked):
            claims = f"--claims={REPOSITORY / 'docs/ledger/procedural_faces/claims.json'}"
            asked = [each for each in asked if not each.startswith("--claims=")]
            assert run.main([*asked, claims]) == 0
        elif mode == "reproduce" or "--model=runs/all" in argv:
            assert flags.parse(asked)  # run in tests/test_reproduce.py, with --smoke
        elif argv[1:] == ["--mode=stage2", "--receptive_field=7x15"]:
            assert flags.parse(asked)  # run at its real size in tests/test_training.py
        elif mode in TRAINING:
            with tiny.eagerly():
                assert run.main(asked) == 0, (asked, capsys.readouterr().err)
        else:
            assert run.main(asked) == 0, (asked, capsys.readouterr().err)
    (shown,) = [shlex.split(line) for line in COMMANDS if line.startswith("tensorboard")]
    capsys.readouterr()
    tensorboard = program.TensorBoard()
    tensorboard.configure([*shown, "--inspect"])
    assert tensorboard.main() == 0
    told = capsys.readouterr().out
    assert "runs/mine" in told
    assert "bits_per_dim" in told, "of which the curves are"


def test_commands_of_make_and_of_other_backends_are_understood():
    """Their modes are run in test_demo.py, test_studio_page.py and test_training.py."""
    # What the tests' own make was given (`make test ARGS=...`) is handed down in the environment.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    made = subprocess.run(
        ["make", "-n", "demo", "studio"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    asked = [line for line in made if "run.py" in line]
    asked += [line for line in COMMANDS if line.startswith("KERAS_BACKEND=")]
    assert len(asked) == 3
    for line in asked:
        words = shlex.split(line)
        assert flags.parse(words[words.index("run.py") :])


def test_every_line_of_python_runs(address):
    """One after another, as names are used again."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    given = {
        "images_u8": pictures,
        "images": (pictures / np.float32(127.5) - 1).astype("float32"),
        "context_mask": np.stack([masks.named("mouth", 32)] * 2),
        "maps": np.zeros((2, 32, 32, 8), "float32"),
    }
    snippets = [block for block in BLOCKS if re.match(r"\s*(import|from) ", block)]
    assert len(snippets) >= 5
    for code in snippets:
        # The studio of this test has an address and a model of its own.
        code = code.replace("http://127.0.0.1:7860", address)
        if "Client(" in code:
            code = code.replace('"procedural_faces"', 'studio.predict(api_name="/models")[0]')
        exec(compile(code, "README.md", "exec"), given)
    assert given["session"]["latents"] == {"3": 2.0}
    assert given["made"].images.shape == (2, 8, 32, 32, 3)


def test_what_make_and_pip_are_asked_is_there():
    targets = re.findall(r"^([a-z-]+):.*##", (REPOSITORY / "Makefile").read_text(), re.M)
    asked = re.findall(r"(?:`|^    )make ([a-z-]+)", README, re.M)
    assert {"demo", "studio", "test", "lint"} <= set(asked) <= set(targets)
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for name in re.findall(r"\.\[(\w+)\]", README):
        assert name in extras["optional-dependencies"]
    for line in COMMANDS:
        if line.startswith("pip install -r"):
            assert (REPOSITORY / line.split()[3]).is_file()


def test_the_benchmark_that_is_named_draws_its_sheet(tmp_path):
    (line,) = [each for each in re.findall(r"`(python benchmarks/[^`]*)`", README) if "--" in each]
    words = [*shlex.split(line)[1:], "--train=300"]
    said = subprocess.run(
        [sys.executable, REPOSITORY / words[0], *words[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "light_direction" in said
    assert (tmp_path / "faces.png").stat().st_size > 10_000
