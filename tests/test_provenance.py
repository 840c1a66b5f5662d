"""Where numbers come from: the command repeats them, the commit says when it is not all."""

import shlex
import subprocess

import csi_tf
import flags
from csi_tf import provenance
from csi_tf.evaluation.settings import Evaluation


def test_the_command_gives_the_settings_again():
    asked = Evaluation("runs/a b", parts="seam", clamped=True, seed=3, masks="mouth,eyes")
    words = shlex.split(provenance.command(asked))
    assert words[:2] == ["python", "run.py"]
    assert flags.parse(words[1:]) == asked
    assert len(words) == 8  # what is as by default goes unsaid


def test_a_changed_checkout_is_marked(tmp_path, monkeypatch):
    package = tmp_path / "csi_tf"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(csi_tf, "__file__", str(package / "__init__.py"))
    assert provenance.commit() == ""

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    clean = provenance.commit()
    assert len(clean) == 12
    (package / "__init__.py").write_text("x = 1\n")
    assert provenance.commit() == clean + "+"


def test_the_machine_is_told_by_kind_only():
    import platform

    assert platform.node() not in provenance.machine()
    assert "cores" in provenance.machine() or "gpu" in provenance.machine()
