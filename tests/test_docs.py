"""What the documents say is there: files, names in them, flags."""

import ast
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

import flags
from csi_tf.evaluation import evaluate
from csi_tf.evaluation.report import Report
from csi_tf.figures import paper
from csi_tf.modes import MODES, WITH_OWN_FLAGS
from csi_tf.reproduce import ledger
from flags.definitions import define

REPOSITORY = Path(__file__).parent.parent
SHIPPED = REPOSITORY / "csi_tf" / "shipped"
DOCUMENTS = sorted(
    str(path.relative_to(REPOSITORY))
    for path in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"))
)
# `path`, or `path: name` or `path::name` and perhaps further names: `path: name`, `other`
REFERENCE = re.compile(r"`([\w./]*(?:/|\.py|\.md|\.cfg))(?:::? ?(\w+)`((?:, `\w+`)*)|`)")


def references(text):
    """(path, names in it)"""
    for path, first, further in REFERENCE.findall(text):
        yield path, [first, *re.findall(r"\w+", further)] if first else []


def defined(path):
    """Every function, class, method and variable of a file; nothing is imported."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def test_references_are_found():
    text = "`a/b.py`, `c` and `a.py: f`, `g`, `h` or `d/e.py::k`, `docs/x.md`, `a/`, `run`"
    expected = [("a/b.py", []), ("a.py", ["f", "g", "h"]), ("d/e.py", ["k"])]
    assert list(references(text)) == [*expected, ("docs/x.md", []), ("a/", [])]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_and_names_in_documents_exist(document):
    text = (REPOSITORY / document).read_text()
    made_by_runs = {"runs/", "worker-N/", "results.md", "evaluation.md", "checkpoints/"}
    made_by_runs |= {"tensorboard/", "evaluation/", "stage1/", "stage2/"}
    for path, names in references(text):
        if path not in made_by_runs:
            assert (REPOSITORY / path).exists(), path
        for name in names:
            assert name in defined(REPOSITORY / path), f"{path}: {name}"
    folder = (REPOSITORY / document).parent
    for link in re.findall(r"\]\((?!\w+:)([^)#]+)", text):
        assert (folder / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_flags_in_documents_exist(document):
    text = (REPOSITORY / document).read_text()
    always = {"flagfile", "help", "helpfull"}
    everywhere = set.union(*({*define(mode)} for mode in (None, *WITH_OWN_FLAGS)))
    commands = re.findall(r"python run\.py(?:.*\\\n)*.*", text)
    for place in (*commands, *re.findall(r"`(--\w[^`]*)`", text)):
        mode = re.search(r"--mode=(\w+)", place)
        # What a mode does not take is refused on the command line.
        known = ({*define(mode[1])} if mode and mode[1] in MODES else everywhere) | always
        for name in re.findall(r"--(\w+)", place):
            assert name in known or name.removeprefix("no") in known, name


def test_the_map_of_the_paper_points_into_files():
    """A name in a form of its own would not be checked."""
    first, _ = (REPOSITORY / "docs/paper_map.md").read_text().split("\n## ")
    rows = first.rstrip().splitlines()[4:]
    assert len(rows) > 20
    for row in rows:
        code = row.split("|")[2]
        assert list(references(code)), row
        assert not re.findall(r"`(?!--)[^`]*`", REFERENCE.sub("", code)), row


def test_the_models_of_the_figures_are_those_that_are_needed():
    _, second = (REPOSITORY / "docs/paper_map.md").read_text().split("\n## ")
    found = {}
    for row in second.rstrip().splitlines()[7:]:
        figures, models = (cell.strip().split(", ") for cell in row.strip("|").split("|"))
        found |= dict.fromkeys(figures, tuple(models))
    assert found == paper.NEEDS


def test_the_page_of_functions_is_what_the_docstrings_say():
    path = REPOSITORY / "docs" / "make_api.py"
    made = runpy.run_path(str(path))["page"]()
    assert (REPOSITORY / "docs" / "api.md").read_text() == made, "python docs/make_api.py"


def test_numbers_of_readme_and_cards_are_those_of_the_evaluations():
    made = runpy.run_path(str(REPOSITORY / "docs" / "make_results.py"))["pages"]()
    assert len(made) == 5
    for path, text in made.items():
        assert path.read_text() == text, "python docs/make_results.py"


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in (REPOSITORY / "docs/ledger").glob("*/claims.json"))
)
def test_the_ledger_is_what_the_evaluations_say(name, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    kept = ledger.read(Path("docs", "ledger", name, ledger.RECORD))
    asked = flags.parse(shlex.split(kept["about"]["command"])[1:])
    assert json.loads(json.dumps(ledger.judged_by_evaluations(asked))) == kept


def test_kept_pages_say_what_the_kept_numbers_say():
    kept = [*REPOSITORY.glob("docs/**/evaluation.json"), *SHIPPED.glob("**/evaluation.json")]
    assert len(kept) > 10
    for numbers in kept:
        page = numbers.with_name("evaluation.md")
        assert page.read_text() == evaluate.page(Report.read(page.parent)), page


def test_kept_numbers_name_no_place_of_a_machine():
    kept = [*REPOSITORY.glob("docs/**/*.json"), *SHIPPED.glob("**/*.json")]
    assert len(kept) > 10
    for path in kept:
        assert not re.findall(r'[":=]/\w+/', path.read_text()), path


def test_every_part_of_the_paper_has_its_place_in_the_map():
    rows = (REPOSITORY / "docs/paper_map.md").read_text().split("## Models of the figures")[0]
    said = " ".join(row.split("|")[1] for row in rows.splitlines() if row.startswith("|"))
    parts = [f"Figure {name}" for name in (1, 2, 3, 4, "5a", "5b", "5c", 6, 7, 8)]
    parts += [f"Table {number}" for number in (1, 2)] + [
        f"eq. ({number})" for number in range(1, 6)
    ]
    parts += ["section 3", "section 4", "section 5", "A.1", "A.2", "A.3", "B", "C.1", "C.2", "C.3"]
    for part in parts:
        assert re.search(rf"\b{re.escape(part)}(?!\w)", said), part
