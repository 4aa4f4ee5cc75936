"""Committed notebooks are their scripts, executed; `make notebooks` runs the scripts themselves."""

import base64
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
# The root of a path on someone's machine; a link or a fraction has something before the slash.
ABSOLUTE = re.compile(r"(?<![\w.:/<])/(home|root|tmp|work|usr|opt|mnt|Users|private)/|[A-Z]:\\\\")
LARGEST = 400_000

each = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def notebook_of(script):
    return json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))


def outputs_of(script):
    return [output for cell in notebook_of(script)["cells"] for output in cell.get("outputs", [])]


def text_of(output):
    """All that a reader sees of an output but figures."""
    shown = {**output.get("data", {}), "stream": output.get("text", "")}
    return "\n".join(
        "".join(value) for kind, value in shown.items() if not kind.startswith("image")
    )


def cells_of(text):
    """Kind and source of the cells of a percent script, read by hand and not by jupytext."""
    cells = []
    for part in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        kind, _, source = part.partition("\n")
        lines = source.strip("\n").split("\n")
        if kind.strip() == "[markdown]":
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
        cells.append(("markdown" if kind.strip() else "code", "\n".join(lines)))
    return cells


def test_every_notebook_has_a_script():
    assert SCRIPTS
    assert sorted(FOLDER.glob("*.ipynb")) == [script.with_suffix(".ipynb") for script in SCRIPTS]


@each
def test_cells_are_those_of_the_script(script):
    cells = notebook_of(script)["cells"]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells] == cells_of(
        script.read_text(encoding="utf-8")
    )


@each
def test_it_was_executed_from_top_to_bottom_without_errors_or_warnings(script):
    code = [cell for cell in notebook_of(script)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for output in outputs_of(script):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr"


@each
def test_it_shows_a_finished_comparison_and_no_substitute(script):
    shown = "\n".join(map(text_of, outputs_of(script)))
    assert "There is no finished run folder" not in shown
    if "found-" in script.read_text(encoding="utf-8"):
        assert re.search(r"^found-\w+: \d+ optimizers, \d+ seeds", shown, re.MULTILINE)


@each
def test_nothing_names_a_place_of_one_machine(script):
    text = script.read_text(encoding="utf-8") + "\n".join(map(text_of, outputs_of(script)))
    assert not ABSOLUTE.search(text)
    assert not re.search(r"\bat 0x[0-9a-f]+", text)


@each
def test_figures_are_there_and_small(script):
    figures = [
        o["data"]["image/png"] for o in outputs_of(script) if "image/png" in o.get("data", {})
    ]
    assert figures
    for figure in figures:
        assert base64.b64decode("".join(figure)).startswith(b"\x89PNG")
    assert script.with_suffix(".ipynb").stat().st_size < LARGEST


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("saved in /home/someone/runs", True),
        ("/tmp/x", True),
        (r'"C:\\Users"', True),
        ("../docs/published-estimator.md and runs/work/x", False),
        ("https://arxiv.org/abs/2006.15815", False),
        ("v / v̄", False),
    ],
)
def test_what_counts_as_a_place(text, found):
    assert bool(ABSOLUTE.search(text)) is found
