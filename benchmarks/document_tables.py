"""Write the tables of results in the documents anew, from the files in benchmarks/results.

    python benchmarks/document_tables.py           # rewrites them in place, prints what changed
    python benchmarks/document_tables.py --check   # writes nothing; exits 1 if a table is not right

A table of results has a comment above it that says its kind and what it is of, such as
`<!-- readings: quantile -->`. Every number in it comes from a result file, or is computed here (the
errors of the stable law: a second). Where a kind is filled in, labels and columns are those of the
page; the other kinds are written whole, and one is a block of what a command printed. Prose is
never touched. `--check` and the tests leave out the kind "cost": CPU times change with the machine.
"""

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import escape_tables
import kesten_tables
import landscape_tables
import numpy as np
import prediction_tables
import stationary_tables
import verdict_tables

import noise_lens as nl

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
REFERENCE = ROOT / "tests" / "stable" / "density_reference.json"
PAGES = (
    *sorted((ROOT / "docs" / "estimators").glob("*.md")),
    ROOT / "docs" / "capture.md",
    ROOT / "docs" / "measuring.md",
    ROOT / "docs" / "theory" / "escape.md",
    ROOT / "docs" / "theory" / "kesten.md",
    ROOT / "docs" / "theory" / "landscape.md",
    ROOT / "docs" / "theory" / "prediction.md",
    ROOT / "docs" / "theory" / "stationary.md",
    ROOT / "docs" / "verdict.md",
    ROOT / "README.md",
)
TABLE = re.compile(
    r"(<!-- ([a-z ]+?)(?:: (.+?))? -->\n\n?)((?:\|.*\n)+|^```\n(?:.*\n)*?^```\n)", re.MULTILINE
)
Table = tuple[list[str], list[list[str]]]

COMPAT, NORM = "mohammadi, compat", "mohammadi_norm"
LIMITED = ("characteristic_function", "maximum_likelihood", "quantile")  # never inf
STABLE = (*LIMITED, "mohammadi", "log_moments")
DEFAULT_PAIR = ("characteristic_function", "mohammadi")
KINDS = ("independent", "elliptical")
LAW_RANGES = ("[0.4, 0.5)", "[0.5, 0.8)", "[0.8, 1.9)", "[1.9, 1.995]", "(1.995, 2)")
LAW_STARTS = (0.5, 0.8, 1.9, 1.9951)  # of the ranges after the first
ROUNDING = 5e-3  # relative: what the errors of the law may differ by on another machine


@cache
def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def entries(rows: list[dict], /, **wanted: object) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def reading(method: str, case: str) -> dict:
    (found,) = entries(result("estimator_readings")["readings"], method=method, case=case)
    return found


def cell(method: str, alpha: float, n: int) -> dict:
    (found,) = entries(result("efficiency")["rows"], method=method, alpha=alpha, n=n)
    return found


def efficiency_of(method: str, alpha: float, n: int) -> float:
    found = cell(method, alpha, n)
    return found["bound"] / found["rmse"]


@cache
def coverages() -> list[dict]:
    """Return one entry a cell of coverage.txt: rows, kind, method, share."""
    title, header, *lines = (RESULTS / "coverage.txt").read_text().splitlines()
    assert title == "share of intervals that hold alpha", title
    methods = header.split()[3:]
    found = []
    for rows, kind, _, *shares in map(str.split, lines):
        cells = zip(methods, map(float, shares), strict=True)
        found += [{"rows": int(rows), "kind": kind, "method": m, "share": s} for m, s in cells]
    return found


# ---- Numbers as they are printed ----


def digits(value: float | None) -> str:
    """Return two decimals; the result files have None for inf."""
    return "inf" if value is None else f"{value:.2f}"


def percent(share: float, decimals: int = 0) -> str:
    return f"{100 * share:.{decimals}f} %"


def span(shares: list[float]) -> str:
    if np.isnan(shares).any():
        return "-"
    return f"{100 * min(shares):.0f} to {percent(max(shares))}"


def centre_of(method: str) -> str:
    return "mean" if method in (*LIMITED, COMPAT) else "median"


# ---- Kinds that are written whole: header and rows, from the argument of the comment ----


def readings(method: str) -> Table:
    chosen = entries(result("estimator_readings")["readings"], method=method)
    centre = centre_of(method)
    shares = [name for name in ("inf", "refused") if any(entry[name] for entry in chosen)]
    header = ["case", "index of sums", "tail index", centre, "spread", "95 % interval"]
    header += ["median k"] * ("median_k" in chosen[0]) + shares
    rows = []
    for entry in chosen:
        row = [entry["case"], f"{entry['sums']:g}"]
        row.append("inf" if entry["tail"] is None else f"{entry['tail']:g}")
        if entry["refused"] == 1:
            row += ["-"] * 3
        else:
            row.append(digits(entry[centre]))
            row.append("-" if entry["spread"] is None else f"{entry['spread']:.3f}")
            row.append(f"{digits(entry['low'])} to {digits(entry['high'])}")
        if "median_k" in entry:
            row.append("-" if entry["median_k"] is None else f"{entry['median_k']:.0f}")
        rows.append(row + [percent(entry[name]) for name in shares])
    return header, rows


def efficiency(method: str) -> Table:
    chosen = entries(result("efficiency")["rows"], method=method)
    sizes, alphas = (sorted({entry[name] for entry in chosen}) for name in ("n", "alpha"))

    def shown(alpha: float, n: int) -> str:
        held = cell(method, alpha, n)["coverage"]
        return f"{efficiency_of(method, alpha, n):.2f}, {percent(held, 1)}"

    rows = [[f"{alpha:g}", *(shown(alpha, n) for n in sizes)] for alpha in alphas]
    return ["alpha", *(f"n = {n:,}" for n in sizes)], rows


def share_used(_: str) -> Table:
    """The bound over the root mean square error, squared, at n = 10,000."""
    rows = []
    for alpha in (1.2, 1.5, 1.8, 1.95):
        published = reading(COMPAT, f"stable {alpha}")
        square = (published["mean"] - alpha) ** 2 + published["spread"] ** 2
        ours = (efficiency_of(name, alpha, 10_000) for name in ("maximum_likelihood", "mohammadi"))
        shares = [share**2 for share in ours]
        shares.append(cell("mohammadi", alpha, 10_000)["bound"] ** 2 / square)
        rows.append([f"{alpha:g}", *(percent(share, 1) for share in shares)])
    return ["alpha", "maximum_likelihood", "blocks of 8", "published arithmetic"], rows


def refusals(_: str) -> Table:
    found = result("estimator_readings")["refusals"]
    laws = [name for name in found[0] if name != "n"]
    rows = [[f"{one['n']:,}", *(percent(one[law]) for law in laws)] for one in found]
    return ["n", *laws], rows


def row_coverage(_: str) -> Table:
    rows = [
        [f"{found['alpha']:g}", percent(found["as_samples"]), percent(found["pooled"])]
        for found in result("estimator_readings")["row_coverage"]
    ]
    return ["alpha", "as samples", "pooled"], rows


def coverage_by_rows(_: str) -> Table:
    """Ranges over alpha and methods; the others only where all of them were measured."""
    rows = []
    for n in sorted({found["rows"] for found in coverages()}):
        shares: dict[tuple[bool, str], list[float]] = {}
        for found in entries(coverages(), rows=n):
            key = found["method"] not in DEFAULT_PAIR, found["kind"]
            shares.setdefault(key, []).append(found["share"])
        keys = ((others, kind) for others in (False, True) for kind in KINDS)
        rows.append([str(n), *(span(shares[key]) for key in keys)])
    header = ["rows", "independent coordinates", "one radius for the whole row"]
    return header + [f"other methods, {name}" for name in ("independent", "one radius")], rows


def own_model(_: str) -> Table:
    """n = 1000: errors over the bound, and the range of coverage over all alphas."""
    rows = []
    for label, method in (
        ("`maximum_likelihood`", "maximum_likelihood"),
        ("`characteristic_function` (default)", "characteristic_function"),
        ("`mohammadi`, blocks of 8", "mohammadi"),
    ):
        over = (1 / efficiency_of(method, alpha, 1000) for alpha in (1.2, 1.5, 1.8))
        held = [
            one["coverage"] for one in entries(result("efficiency")["rows"], method=method, n=1000)
        ]
        rows.append([label, " / ".join(f"{error:.2f}" for error in over), span(held)])
    header = ["", "error over the Cramér-Rao bound, α = 1.2 / 1.5 / 1.8"]
    return [*header, "95 % interval holds α, α = 0.8 to 1.95"], rows


def histogram_errors(_: str) -> Table:
    worst = result("estimator_readings")["histogram_errors"]
    rows = [[method, f"{error:g}"] for method, error in worst.items()]
    return ["method", "largest difference, in standard errors"], rows


def cost(_: str) -> Table:
    """One significant digit: the second changes from run to run."""
    rows = []
    for name, by_size in result("estimator_readings")["cost"].items():
        rounded = (float(f"{by_size[size]:.0e}") for size in ("10000", "1000000"))
        rows.append([name, *(f"{value:,.0f}" for value in rounded)])
    return ["what", "n = 10,000", "n = 1,000,000"], rows


def training_cost(_: str) -> Table:
    """On a CPU; entries of a GPU have no reads of the gradient and say its name."""
    rows = [
        [
            *(network, f"`{preset}`", f"{found['state_bytes'] / 1e6:.1f} MB"),
            *(f"{found['reads']:.1f}", percent(found["share"], 1)),
        ]
        for network, presets in result("training_cost").items()
        for preset, found in presets.items()
        if isinstance(found, dict) and "reads" in found
    ]
    return ["network", "preset", "between steps", "reads of the gradient", "share of a step"], rows


@cache
def law_errors(_: str) -> Table:
    """Largest errors of the law over 45 points x; that of P(X > x) is relative."""
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    x = np.array(reference["x"])
    errors = {name: np.zeros(3) for name in LAW_RANGES}
    columns = (reference[name] for name in ("alpha", "log_density", "survival"))
    for alpha, log_density, survival in zip(*columns, strict=True):
        if alpha in (1, 2):
            continue
        law, above = nl.SymmetricStable(alpha), np.array(survival)
        apart = law.logpdf(x) - log_density, law.sf(x) / above - 1, law.cdf(x) - (1 - above)
        name = LAW_RANGES[np.searchsorted(LAW_STARTS, alpha, side="right")]
        errors[name] = np.maximum(errors[name], [np.abs(one).max() for one in apart])
    rows = [[name, *(f"{error:.17e}" for error in worst)] for name, worst in errors.items()]
    return ["alpha", "log f", "P(X > x)", "P(X <= x)"], rows


WHOLE: dict[str, Callable[[str], Table]] = {
    function.__name__.replace("_", " "): function
    for function in (
        *(readings, efficiency, share_used, refusals, row_coverage, coverage_by_rows),
        *(own_model, histogram_errors, cost, training_cost, law_errors),
        *verdict_tables.KINDS,
        *kesten_tables.KINDS,
        *stationary_tables.KINDS,
        *escape_tables.KINDS,
        *landscape_tables.KINDS,
        *prediction_tables.KINDS,
    )
}
OUTPUTS: dict[str, Callable[[], str]] = {
    function.__name__.replace("_", " "): function for function in prediction_tables.OUTPUTS
}  # what a command printed: a block instead of a table


# ---- Kinds that are filled in: one cell, from the labels of its row and its column ----


def comparison(method: str, column: str, old: str) -> str:
    if column != "efficiency" or method not in STABLE:
        return old
    return " / ".join(f"{efficiency_of(method, a, 10_000):.2f}" for a in (1.2, 1.5, 1.8))


def by_method(method: str, case: str, _: str) -> str:
    found = reading(method, case)
    return "-" if found["refused"] == 1 else digits(found[centre_of(method)])


FILLED = {"comparison": comparison, "by method": by_method}


# ---- Pages ----


def parsed(text: str) -> Table:
    header, _, *rows = (
        [part.strip() for part in line.strip().strip("|").split("|")] for line in text.splitlines()
    )
    return header, rows


def markdown(header: list[str], rows: list[list[str]]) -> str:
    first, *lines = ("| " + " | ".join(line) + " |\n" for line in (header, *rows))
    return "".join([first, "|---" * len(header) + "|\n", *lines])


def settled(measured: str, old: str) -> str:
    """Return the old cell where it is what rounds from almost the same number."""
    near = [f"{float(measured) * factor:.1e}" for factor in (1, 1 - ROUNDING, 1 + ROUNDING)]
    return old if old in near else near[0]


def table(kind: str, argument: str, old: str) -> str:
    if kind in OUTPUTS:
        return f"```\n{OUTPUTS[kind]()}\n```\n"
    header, rows = parsed(old)
    if kind in FILLED:
        filled = [
            [label, *(FILLED[kind](label, *at) for at in zip(header[1:], cells, strict=True))]
            for label, *cells in rows
        ]
        return markdown(header, filled)
    if kind not in WHOLE:
        kinds = ", ".join((*WHOLE, *FILLED, *OUTPUTS))
        raise ValueError(f"kind must be one of {kinds}; got {kind!r}")
    new_header, new_rows = WHOLE[kind](argument)
    if kind == "law errors":
        known = {(label, place): one for label, *cells in rows for place, one in enumerate(cells)}
        new_rows = [
            [label, *(settled(one, known.get((label, at), "")) for at, one in enumerate(cells))]
            for label, *cells in new_rows
        ]
    return markdown(new_header, new_rows)


def renewed(text: str, leave: tuple[str, ...] = ()) -> str:
    """Return the text of a page with its tables written anew, but for kinds to leave."""

    def replaced(match: re.Match[str]) -> str:
        comment, kind, argument, old = match.groups()
        return match.group() if kind in leave else comment + table(kind, argument or "", old)

    return TABLE.sub(replaced, text)


def missing() -> list[str]:
    """Return the comments that no page has: every method and every kind needs a table."""
    found = {
        (match[2], match[3] or "") for page in PAGES for match in TABLE.finditer(page.read_text())
    }
    of_something = {"readings", "efficiency", "verdict power", "verdict labels"}
    wanted = [(kind, "") for kind in (*WHOLE, *FILLED, *OUTPUTS) if kind not in of_something]
    wanted += [("readings", row["method"]) for row in result("estimator_readings")["readings"]]
    wanted += [("efficiency", row["method"]) for row in result("efficiency")["rows"]]
    absent = [key for key in dict.fromkeys(wanted) if key not in found]
    return [f"no table has <!-- {kind}: {of} -->" for kind, of in absent]


def differences(leave: tuple[str, ...] = ("cost",)) -> Iterator[str]:
    """Yield what would change, a line of a difference each, and what tables there are not."""
    for page in PAGES:
        old, name = page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))
        new = renewed(old, leave)
        yield from difflib.unified_diff(
            old.splitlines(), new.splitlines(), name, name, lineterm="", n=0
        )
    yield from missing()


def main() -> int:
    check = "--check" in sys.argv
    found = list(differences() if check else differences(leave=()))
    print(*found or ["no table changed"], sep="\n")
    if check:
        return bool(found)
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    return bool(missing())


if __name__ == "__main__":
    sys.exit(main())
