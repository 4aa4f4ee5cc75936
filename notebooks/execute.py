"""Execute every percent script here and write its notebook: `make notebooks`."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def main() -> None:
    for script in sorted(FOLDER.glob("[0-9]*.py")):
        notebook = jupytext.read(script)
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": FOLDER}}).execute()
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"{script.stem}-{number}"
            cell.metadata = {}
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if "text/plain" in data:
                    data["text/plain"] = ADDRESS.sub("", data["text/plain"])
        notebook.metadata.pop("widgets", None)
        jupytext.write(notebook, script.with_suffix(".ipynb"))
        print(f"executed {script.name}")


if __name__ == "__main__":
    main()
