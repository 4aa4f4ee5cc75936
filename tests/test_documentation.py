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


def test_an_altered_number_is_seen(document_tables):
    page = (ROOT / "docs" / "estimators" / "quantile.md").read_text(encoding="utf-8")
    cell = "| stable 1.5 | 1.5 | 1.5 | 1.50 |"
    assert cell in page

    altered = page.replace(cell, cell.replace("1.50", "1.51"))

    assert document_tables.renewed(altered) == page


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
