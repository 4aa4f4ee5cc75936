"""Execute every percent script here, and check or write its notebook.

    python notebooks/execute.py                   # `make notebooks`: check
    python notebooks/execute.py --write           # write all of them
    python notebooks/execute.py --write 04_adai   # write one

The check runs every script without run folders, on comparisons so small that it takes minutes, and
fails where one fails or a committed notebook has other cells than its script; it writes nothing.
`--write` reads the run folders in runs/ (or in $NOISE_LENS_RUNS) and refuses where one is missing.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from PIL import Image
from run_folders import command_for, is_finished

FOLDER = Path(__file__).resolve().parent
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
RUN_FOLDER = re.compile(r'"(found-\w+)"')
DRAWN = ("<matplotlib.", "Text(")  # what a cell ends with that draws: the figure stands below it
WORKERS = 2
COLOURS = 128  # of a figure: a third of the bytes, and no difference to the eye


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="scripts without .py; all if none is given")
    parser.add_argument("--write", action="store_true", help="write notebooks from run folders")
    options = parser.parse_args()
    scripts = sorted(FOLDER.glob("[0-9]*.py"))
    if unknown := sorted(set(options.names) - {script.stem for script in scripts}):
        parser.error(f"no script is called {', '.join(unknown)}")
    scripts = [script for script in scripts if script.stem in options.names or not options.names]
    # One thread: a number depends on how many there are in its last bits.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # There are no widgets here, and a notebook has no use for that news.
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
    if options.write:
        runs = Path(os.environ.get("NOISE_LENS_RUNS", FOLDER.parent / "runs")).resolve()
        os.environ["NOISE_LENS_RUNS"] = str(runs)
        if missing := missing_folders(scripts, runs):
            sys.exit("\n".join(missing))
        for script in scripts:
            jupytext.write(tidy(executed(script), script.stem), script.with_suffix(".ipynb"))
            print(f"wrote {script.stem}.ipynb")
        return
    wrong = [script.stem for script in scripts if not is_paired(script)]
    if wrong:
        sys.exit(
            f"the cells of {', '.join(wrong)} are not those of the script: "
            "python notebooks/execute.py --write " + " ".join(wrong)
        )
    with tempfile.TemporaryDirectory() as nothing:
        os.environ["NOISE_LENS_RUNS"] = nothing
        with ProcessPoolExecutor(WORKERS) as workers:  # a kernel computes with one thread
            for script, _ in zip(scripts, workers.map(executed, scripts), strict=True):
                print(f"executed {script.name}", flush=True)


def missing_folders(scripts: list[Path], runs: Path) -> list[str]:
    """Return a line for each run folder that a script reads and that is not finished."""
    read = {name for script in scripts for name in RUN_FOLDER.findall(script.read_text("utf-8"))}
    return [
        f"{runs.name}/{name} is not there or not finished; make it by: {command_for(name)}"
        for name in sorted(read)
        if not is_finished(runs / name)
    ]


def is_paired(script: Path) -> bool:
    """Return whether the notebook is there and has the cells of the script."""
    notebook = script.with_suffix(".ipynb")
    if not notebook.exists():
        return False
    cells = [[(c.cell_type, c.source) for c in jupytext.read(p).cells] for p in (script, notebook)]
    return cells[0] == cells[1]


def executed(script: Path) -> Any:
    """Return the notebook of a script with outputs; a warning fails it, as an error does."""
    notebook = jupytext.read(script)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": FOLDER}}).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                sys.exit(f"{script.name} wrote to stderr:\n{output['text']}")
    return notebook


def tidy(notebook: Any, stem: str) -> Any:
    """Return a notebook without what differs from one execution or machine to the next."""
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{stem}-{number}"
        cell.metadata = {}
        if "outputs" in cell:
            cell["outputs"] = [o for o in cell["outputs"] if not is_leftover(o)]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/plain" in data:
                data["text/plain"] = ADDRESS.sub("", data["text/plain"])
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
    notebook.metadata.pop("widgets", None)
    return notebook


def is_leftover(output: Any) -> bool:
    """Return whether an output is no more than the name of what was drawn."""
    text = output.get("data", {}).get("text/plain", "")
    return output["output_type"] == "execute_result" and text.startswith(DRAWN)


def smaller(png: str) -> str:
    """Return a figure with few colours."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    found = io.BytesIO()
    image.quantize(COLOURS).save(found, "PNG", optimize=True)
    return base64.b64encode(found.getvalue()).decode()


if __name__ == "__main__":
    main()
