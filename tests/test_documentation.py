"""The tables are those of the result files, links lead somewhere, and examples run.

`python benchmarks/document_tables.py` writes the tables anew; the test compares text, so a table
is right to the digits that it prints.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "estimators").glob("*.md"))
LINKED = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def document_tables():
    """Return the script as a module; benchmarks is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module("document_tables")


def test_tables_are_those_of_the_result_files(document_tables):
    """No table would change, no result is without its table, and the errors of the law hold."""
    assert list(document_tables.differences()) == []


@pytest.mark.parametrize(
    ("name", "cell", "altered"),
    [
        ("estimators/quantile.md", "| 1.5 | 1.5 | 1.50 |", "| 1.5 | 1.5 | 1.51 |"),
        ("capture.md", "| transformer-10m | `full` |", "| transformer-10m | `whole` |"),
        ("theory/landscape.md", "| 0.003 / 10 | 0.0003 |", "| 0.003 / 10 | 0.0004 |"),
        ("theory/prediction.md", "digits, step 0, all:", "digits, step 1, all:"),
    ],
)
def test_an_altered_cell_is_seen(document_tables, name, cell, altered):
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert cell in page

    assert document_tables.renewed(page.replace(cell, altered)) == page


def test_what_we_found_is_what_the_results_say(monkeypatch):
    """The tables of the comparisons, and not those of an altered page."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    compared = importlib.import_module("optimizers_compared")

    assert compared.document(check=True)

    tables = {**compared.TABLES, "text tails": lambda: ["| optimizer |", "|---|"]}
    monkeypatch.setattr(compared, "TABLES", tables)
    assert not compared.document(check=True)


def test_the_cost_of_training_is_that_of_a_cpu(document_tables, monkeypatch):
    """A result of a GPU has other columns: it must not come into this table."""
    measured = {"reads": 2.54, "share": 0.0112, "state_bytes": 4_199_168}
    gpu = {"floor_ms_read_at_4.3_TB_s": 0.1, "light": {"share": 0.5, "state_bytes": 1}}
    results = {"net": {"light": measured}, "net, bfloat16, a GPU": gpu}
    monkeypatch.setattr(document_tables, "result", lambda name: results)

    _, rows = document_tables.training_cost("")

    assert rows == [["net", "`light`", "4.2 MB", "2.5", "1.1 %"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run_and_print_what_they_say(page, monkeypatch, capsys):
    """What follows "# " on a line that prints, or alone on the line below, is what it prints."""
    monkeypatch.chdir(ROOT)
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        exec(block, {})
        promised = re.findall(r"^(?: *print\(.*\)  | +|)# (.*)$", block, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == promised


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:", "#")):
            path = page.parent / target.partition("#")[0]
            assert path.exists(), f"{page.name} links to {target}, which does not exist"
