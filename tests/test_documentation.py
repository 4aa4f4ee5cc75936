"""The documents agree with the result files, their links lead somewhere, and their code runs.

A table that holds results has a comment above it: its kind and what it is of. Every cell of a kind
below is written anew from the result file and compared as text, so a table is right to the digits
that it prints. `python benchmarks/estimator_readings.py --tables` prints new ones.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "estimators").glob("*.md"))
LINKED = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
TABLE = re.compile(r"<!-- ([a-z ]+)(?:: (.+?))? -->\n\n?((?:\|.*\n)+)")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")

MEANS = ("characteristic_function", "maximum_likelihood", "quantile", "mohammadi, compat")
STABLE = ("characteristic_function", "maximum_likelihood", "mohammadi", "log_moments", "quantile")
TAIL = ("hill", "moment")
READ = (*STABLE, "mohammadi, compat", "mohammadi_norm", "hill, k = 5 %", "hill, chosen k",
        "moment, k = 5 %")  # fmt: skip
EXPECTED = {
    *(("readings", method) for method in READ),
    *(("efficiency", method) for method in (*STABLE, *TAIL)),
    *((kind, None) for kind in ("comparison", "share used", "refusals", "row coverage")),
    ("law errors", None),
}


@cache
def results(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def entry(rows, **wanted):
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def digits(value):
    return "inf" if value is None else f"{value:.2f}"


def reading(method, case, column):
    """A cell of the readings of one method; "centre" is the mean or the median, as it prints."""
    found = entry(results("estimator_readings")["readings"], method=method, case=case)
    centre = "mean" if method in MEANS else "median"
    if column == "index of sums":
        return f"{found['sums']:g}"
    if column == "tail index":
        return "inf" if found["tail"] is None else f"{found['tail']:g}"
    if column in {"inf", "refused"}:
        return f"{100 * found[column]:.0f} %"
    if found["refused"] == 1:
        return "-"
    if column in {centre, "centre"}:
        return digits(found[centre])
    if column == "spread":
        return "-" if found["spread"] is None else f"{found['spread']:.3f}"
    if column == "median k":
        return f"{found['median_k']:.0f}"
    assert column == "95 % interval", f"{method} has no column {column}"
    return f"{digits(found['low'])} to {digits(found['high'])}"


def efficiency_of(method, alpha, n):
    found = entry(results("efficiency")["rows"], method=method, alpha=alpha, n=n)
    return found["bound"] / found["rmse"], found["coverage"]


def efficiency(method, alpha, column):
    n = int(column.removeprefix("n = ").replace(",", ""))
    share, coverage = efficiency_of(method, float(alpha), n)
    return f"{share:.2f}, {100 * coverage:.1f} %"


def share_used(_, alpha, column):
    """The bound over the root mean square error, squared, at n = 10,000."""
    if column == "published arithmetic":
        case = f"stable {alpha}"
        found = entry(
            results("estimator_readings")["readings"], method="mohammadi, compat", case=case
        )
        bound = entry(
            results("efficiency")["rows"], method="mohammadi", alpha=float(alpha), n=10_000
        )["bound"]
        square = (found["mean"] - float(alpha)) ** 2 + found["spread"] ** 2
        return f"{100 * bound**2 / square:.1f} %"
    method = {"blocks of 8": "mohammadi"}.get(column, column)
    return f"{100 * efficiency_of(method, float(alpha), 10_000)[0] ** 2:.1f} %"


def comparison(_, method, column):
    if column == "efficiency" and method in STABLE:
        shares = (efficiency_of(method, alpha, 10_000)[0] for alpha in (1.2, 1.5, 1.8))
        return " / ".join(f"{share:.2f}" for share in shares)
    if column == "cost":
        by_size = results("estimator_readings")["cost"][method]
        return " / ".join(f"{by_size[size]:g}" for size in ("10000", "1000000"))
    return None


def by_method(_, method, case):
    return reading(method, case, "centre")


def refusals(_, n, column):
    found = entry(results("estimator_readings")["refusals"], n=int(n.replace(",", "")))
    field = {"refused": "refused", "median k": "median_k", "median": "median"}[column]
    formats = {"refused": lambda x: f"{100 * x:.0f} %", "median k": "{:.0f}".format}
    return formats.get(column, digits)(found[field])


def row_coverage(_, alpha, column):
    found = entry(results("estimator_readings")["row_coverage"], alpha=float(alpha))
    return f"{100 * found[{'as samples': 'as_samples', 'pooled': 'pooled'}[column]]:.0f} %"


CELLS = {
    "readings": reading,
    "efficiency": efficiency,
    "share used": share_used,
    "comparison": comparison,
    "by method": by_method,
    "refusals": refusals,
    "row coverage": row_coverage,
}


def tables(page):
    """Yield kind, argument, header and rows of every table of results on a page."""
    for kind, argument, text in TABLE.findall(page.read_text(encoding="utf-8")):
        header, _, *rows = (
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in text.splitlines()
        )
        yield kind, argument or None, header, rows


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_result_files(page):
    for kind, argument, (_, *columns), rows in tables(page):
        if kind == "law errors":
            continue
        assert rows, f"{page.name}: the table of {kind} {argument} is empty"
        for label, *cells in rows:
            for column, cell in zip(columns, cells, strict=True):
                expected = CELLS[kind](argument, label, column)
                place = f"{page.name}, {kind} {argument or ''}, {label}, {column}"
                assert expected is None or cell == expected, f"{place}: {cell} in the document"


def test_every_result_is_in_a_table():
    """All methods, and in the table of a method all cases that were measured."""
    found = [table for page in PAGES for table in tables(page)]
    assert {(kind, argument) for kind, argument, _, _ in found} >= EXPECTED
    for kind, method, _, rows in found:
        if kind == "readings":
            measured = [
                row["case"]
                for row in results("estimator_readings")["readings"]
                if row["method"] == method
            ]
            assert [row[0] for row in rows] == measured


def test_errors_of_the_law_are_those_printed(monkeypatch):
    """Runs the code of the page. The numbers are errors of interpolation: 10 % of them is slack."""
    page = ROOT / "docs" / "estimators" / "stable-law.md"
    monkeypatch.chdir(ROOT)
    (code,) = [block for block in BLOCK.findall(page.read_text()) if "density_reference" in block]
    namespace = {}
    exec(code, namespace)
    ((_, *columns), rows) = next(table[2:] for table in tables(page) if table[0] == "law errors")
    assert columns == ["log f", "P(X > x)", "P(X <= x)"]
    assert [row[0] for row in rows] == list(namespace["errors"])
    for label, *cells in rows:
        measured = namespace["errors"][label]
        assert np.array(cells, dtype=float) == pytest.approx(measured, rel=0.1), label


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run_and_print_what_they_say(page, monkeypatch, capsys):
    """What follows "# " on a line that prints is what it prints."""
    monkeypatch.chdir(ROOT)
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        exec(block, {})
        promised = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == promised


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:", "#")):
            path = page.parent / target.partition("#")[0]
            assert path.exists(), f"{page.name} links to {target}, which does not exist"
