"""The tables of docs/verdict.md from their result files, for document_tables.py."""

import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LABELS = ("gaussian", "gaussianising", "drifting", "point-mass", "stable", "inconclusive")
Table = tuple[list[str], list[list[str]]]


@cache
def result(part: str) -> Any:
    path = ROOT / "benchmarks" / "results" / f"verdict_{part}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


@cache
def power_table() -> Any:
    path = ROOT / "noise_lens" / "inference" / "rotation_power.json"
    return json.loads(path.read_text(encoding="utf-8"))


def share(counts: dict[str, int], *labels: str) -> float:
    return sum(counts.get(label, 0) for label in labels) / sum(counts.values())


def percent(value: float, decimals: int = 0) -> str:
    return f"{100 * value:.{decimals}f} %"


def verdict_size(_: str) -> Table:
    """Pooled over the nulls a cell of M and d, and the largest single cell of each M."""
    cells = {tuple(row["cell"]): share(row["counts"], "rejected") for row in result("size")}
    columns = sorted({d for _, _, d in cells})
    rows = []
    for n in sorted({n for _, n, _ in cells}):
        here = {d: [v for (_, m, c), v in cells.items() if (m, c) == (n, d)] for d in columns}
        means = [percent(sum(v) / len(v), 1) if v else "" for v in here.values()]
        highest = max(value for values in here.values() for value in values)
        rows.append([f"{n:,}", *means, percent(highest, 1)])
    total = sum(sum(row["counts"].values()) for row in result("size"))
    pooled = percent(sum(cells.values()) / len(cells), 2)
    rows.append(["all", f"{pooled} of {total:,}", *[""] * len(columns)])
    return ["M", *(f"d = {d}" for d in columns), "highest of the cells"], rows


def verdict_power(law: str) -> Table:
    table = power_table()
    pairs = zip(table["n_columns"], table["power"][law], strict=True)
    rows = [[str(d), *(f"{value:.2f}" for value in powers)] for d, powers in pairs]
    return ["d", *(f"M = {n}" for n in table["n_rows"])], rows


def verdict_labels(shape: str) -> Table:
    """Shares of each label; columns that no family has are left out."""
    n, d = map(int, shape.split(" x "))
    chosen = [row for row in result("labels") if row["cell"][1:] == [n, d]]
    there = [label for label in LABELS if any(row["counts"].get(label) for row in chosen)]
    rows = []
    for row in chosen:
        counts = row["counts"]
        cells = [percent(share(counts, label), 1) if counts.get(label) else "" for label in there]
        rows.append([row["cell"][0], str(sum(counts.values())), *cells])
    return ["noise", "n", *there], rows


def verdict_misses(_: str) -> Table:
    cells = {
        tuple(row["cell"]): percent(share(row["counts"], "gaussian", "gaussianising"), 1)
        for row in result("stable_cells")
    }
    sizes = sorted({n for _, n, _ in cells})
    rows = [
        [f"{law}, d = {d}", *(cells.get((law, n, d), "") for n in sizes)]
        for law, d in sorted({(law, d) for law, _, d in cells})
    ]
    return ["rows", *(f"M = {n:,}" for n in sizes)], rows


def verdict_coverage(_: str) -> Table:
    rows = []
    for row in sorted(result("coverage"), key=lambda row: row["cell"]):
        law, alpha, n, d = row["cell"]
        counts = row["counts"]
        total = counts.get("largest", 0) + counts.get("missed", 0)
        held = [percent(counts.get(key, 0) / total, 1) for key in ("largest", "single", "drift")]
        rows.append([law, f"{alpha:g}", f"{n:,}", str(d), *held])
    return ["law", "α", "M", "d", "α(m_max)", "α(1)", "drift"], rows


KINDS = (verdict_size, verdict_power, verdict_labels, verdict_misses, verdict_coverage)
