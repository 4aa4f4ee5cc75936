"""The examples run as a user runs them, offline, and what they leave can be read and drawn.

What docs/training.md shows of them is in them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import noise_lens as nl

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MARK = "# <- noise-lens"
PAGE = ROOT / "docs" / "training.md"
BLOCK = re.compile(r"^```python\n# (examples/\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def command_of(example):
    """The indented line of the docstring."""
    found = re.search(r"^    ((?:python|torchrun) .*)$", example.read_text(), re.MULTILINE)
    assert found
    assert found[1].endswith(f" examples/{example.name}")
    return found[1]


def marked(example):
    return [line for line in example.read_text().splitlines() if line.endswith(MARK)]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_it_runs_and_its_folder_can_be_read(example, tmp_path):
    for framework in ("lightning", "transformers", "accelerate"):
        used = re.search(rf"^from {framework}\b", example.read_text(), re.MULTILINE)
        absent = used and find_spec(framework) is None
        if absent and os.environ.get("NOISE_LENS_REQUIRE_FRAMEWORKS") != "1":
            pytest.skip(f"{framework} is not installed")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    python = shlex.quote(sys.executable)
    command = command_of(example).replace("torchrun", "python -m torch.distributed.run")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run(
        shlex.split(command.replace("python", python, 1)),
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={
            **os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
            "PET_MASTER_PORT": str(port),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "NoiseLens" not in done.stderr, done.stderr[-3000:]
    run = nl.read_run(tmp_path / "runs" / example.stem)
    assert run.closed["status"] == "finished"
    assert run.closed["problems"] == []
    assert {"all"} < {record["group"] for record in run.records}
    assert {record["n_minibatches"] for record in run.records} == {256}
    page = nl.write_report(run.folder, tmp_path / "report.html")
    assert "Passive trend" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_noise_lens_is_an_import_and_at_most_two_lines_more(example):
    _, _, code = example.read_text().removeprefix('"""').partition('"""')
    own = [
        line for line in code.splitlines() if re.search(r"\b(nl|lens|noise_lens|NoiseL\w+)\b", line)
    ]
    assert marked(example) == own
    # Two more where the lens's state goes with a checkpoint.
    assert len(marked(example)) <= (5 if example.stem == "resume" else 3)
    assert "import" in marked(example)[0]


def test_the_page_shows_every_example():
    shown = {name for name, _ in BLOCK.findall(PAGE.read_text(encoding="utf-8"))}
    assert shown == {f"examples/{example.name}" for example in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_page_shows_lines_of_the_example(example):
    """In their order; all that are marked among them. "..." stands for what is left out."""
    text = PAGE.read_text(encoding="utf-8")
    block = next(b for name, b in BLOCK.findall(text) if name == f"examples/{example.name}")
    shown = [line for line in block.splitlines() if line.strip() not in ("", "...")]
    there = iter(example.read_text().splitlines())
    for line in shown:
        assert line in there, f"{line!r} is not in {example.name}, or not after the line before"
    assert set(marked(example)) <= set(shown)
