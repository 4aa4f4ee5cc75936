"""docs/optimizers says what the catalogue does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import noise_lens as nl

PAGES = Path(__file__).parents[2] / "docs" / "optimizers"
ROW = re.compile(r"^\| `([a-z-]+)` \|.*\| \[\w+\]\((\w+\.md)\) \| `([^`]+)` \|", re.MULTILINE)


@pytest.fixture(scope="module")
def rows():
    if not PAGES.exists():
        pytest.skip("the pages are not in this distribution")
    return ROW.findall((PAGES / "README.md").read_text(encoding="utf-8"))


def test_the_table_is_the_catalogue(rows):
    assert tuple(name for name, _, _ in rows) == nl.optim.names()
    for name, page, options in rows:
        wanted = ", ".join(f"{k}={v!r}" for k, v in nl.optim.default_options(name).items())
        assert options == wanted
        assert name in (PAGES / page).read_text(encoding="utf-8").splitlines()[0]


def test_every_page_names_its_source(rows):
    for page in {page for _, page, _ in rows}:
        text = (PAGES / page).read_text(encoding="utf-8")
        assert "**Source:**" in text
        assert re.search(r"arXiv:|doi:|NeurIPS", text)
