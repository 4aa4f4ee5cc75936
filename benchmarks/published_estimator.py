"""What the published estimator reads on Gaussian noise, cause by cause, and what `pooled` reads.

    python benchmarks/published_estimator.py                         # measures: one minute
    python benchmarks/published_estimator.py --figures docs/figures  # draws published-*.svg
    python benchmarks/published_estimator.py --document              # writes the page's numbers
    python benchmarks/published_estimator.py --check                 # exits 1 if they are not right

The published estimator is that of Simsekli, Sagun & Gurbuzbalaban (ICML 2019) on all entries of
minibatch noise in one sequence, row by row. Rows are 200 minibatches x 500 coordinates unless a
case says otherwise: 100,000 entries, so blocks of 250. The first command writes
results/published_estimator.json, the others read it. In docs/published-estimator.md they write what
stands between a comment such as `<!-- table: scales -->` and the next empty line, nothing else.
"""

import argparse
import difflib
import json
import re
import sys
import textwrap
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, signal, special, stats

import noise_lens as nl

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "benchmarks" / "results" / "published_estimator.json"
PAGE, WIDTH = ROOT / "docs" / "published-estimator.md", 145

N_MINIBATCHES, N_COORDINATES = SHAPE = (200, 500)
N = N_MINIBATCHES * N_COORDINATES
BLOCK = 250  # the largest divisor of N that is not above its root
BLOCK_OVER_MINIBATCHES = 8
REPLICATIONS, FEW_REPLICATIONS = 100, 10  # few for `pooled`, whose spread is small
LOG_SDS = (0.0, 0.5, 1.0, 2.0, 3.0)
ZERO_SHARES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SHOWN_ZERO_SHARES = (0.01, 0.1, 0.3, 0.6)  # the others are in the figure
UNIT = 1000.0
CORRELATIONS = (0.01, 0.03, 0.1, 0.3, 0.5)
WITHIN_MINIBATCHES = "all coordinates of a minibatch correlated"  # names of cases
OWN_MEAN = "the mean of the same {} minibatches subtracted"
MEAN_LEFT = "a mean of {:g} sd left, {}"
MEMORY, WARM_UP = 0.9, 100
BLOCK_SIZES = (2, 5, 10, 25, 50, 100, 250, 1000)
LARGE_BLOCK_SIZES = (10_000, 100_000, 1_000_000)  # by formula alone
SAMPLE_SIZES = {1000: 100, 10_000: 100, 100_000: 100, 1_000_000: 20}  # and their replications
MILLION_BLOCK = 1000  # of a million entries
N_SEEDS, DIGITS_MINIBATCHES, DIGITS_BATCH, DIGITS_BLOCK = 10, 256, 32, 128

EPSILON = float(np.spacing(1))  # of the published code, inside its logarithms
LOG_EPSILON = float(-np.log(EPSILON))
LOG_NORMAL = float(special.digamma(0.5) + np.log(2)) / 2  # mean log|Z|, Z standard normal

Rng = np.random.Generator
Rows = np.ndarray
Draw = Callable[[Rng], Rows]
DrawWithFormula = Callable[[Rng], tuple[Rows, float]]


# ---- What is read ----


def published(x: Rows) -> float:
    return float(nl.mohammadi(x, compat="simsekli2019").alpha)


def published_with(x: Rows, block_size: int) -> float:
    """Return what the published arithmetic reads with another block size; the rest is left out."""
    x = np.ravel(x)[: np.size(x) // block_size * block_size]
    sums = x.reshape(-1, block_size).sum(axis=1)
    ratio = np.log(np.abs(sums) + EPSILON).mean() - np.log(np.abs(x) + EPSILON).mean()
    return float(np.log(block_size) / ratio)


READERS: dict[str, Callable[[Rows, Rng], float]] = {
    "published": lambda rows, _: published(rows),
    "by_coordinate": lambda rows, _: published(rows.T),
    "permuted": lambda rows, rng: published(rng.permutation(rows.ravel())),
    "over_minibatches": lambda rows, _: nl.pooled(rows, "mohammadi").alpha,
    "rows_permuted": lambda rows, rng: nl.pooled(rng.permutation(rows), "mohammadi").alpha,
    "pooled": lambda rows, _: nl.pooled(rows).alpha,
}


def generator(name: str) -> Rng:
    return np.random.default_rng([20261121, zlib.crc32(name.encode())])


def summary(values: list[float], decimals: int = 5) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), decimals),
        "spread": round(float(np.std(values, ddof=1)), decimals),
        "replications": len(values),
    }


def case(name: str, draw: DrawWithFormula, *readers: str) -> dict[str, Any]:
    """Return what the readers read on replications of a case, and what its formula says."""
    rng = generator(name)
    found: dict[str, list[float]] = {reader: [] for reader in (*readers, "formula")}
    for replication in range(REPLICATIONS):
        rows, formula = draw(rng)
        found["formula"].append(formula)
        for reader in readers:
            if reader != "pooled" or replication < FEW_REPLICATIONS:
                found[reader].append(READERS[reader](rows, rng))
    return {"case": name, **{reader: summary(values) for reader, values in found.items()}}


# ---- The formula: 1/alpha = 1/2 + excess / log m ----


def alpha_of(excess: float, block_size: int = BLOCK) -> float:
    return float(1 / (0.5 + excess / np.log(block_size)))


def excess_of_scales(scales: np.ndarray) -> float:
    """Log of the root mean square of a block's scales over their geometric mean."""
    mean_squares = (scales**2).reshape(-1, BLOCK).mean(axis=1)
    return float((np.log(mean_squares) / 2).mean() - np.log(scales).mean())


def excess_of_zeros(share: float, unit: float = 1.0) -> float:
    """For normal entries times `unit`; a sum has fewer terms by as many as there are zeros."""
    return float(np.log1p(-share) / 2 + share * (LOG_EPSILON + LOG_NORMAL + np.log(unit)))


def excess_of_correlations(by_lag: np.ndarray) -> float:
    """From those at lag 1, ..., m - 1: half the log of what they do to the variance of a sum."""
    m = len(by_lag) + 1
    weights = 1 - np.arange(1, m) / m
    return float(np.log1p(2 * (weights * by_lag).sum()) / 2)


def mean_log_normal(mean: float) -> float:
    """Return the mean of log|X| for normal X of variance 1: X**2 is a mixture of chi-squares."""
    j = np.arange(400)
    return float(stats.poisson(mean**2 / 2).pmf(j) @ (special.digamma(0.5 + j) + np.log(2)) / 2)


def excess_of_mean(mean: float, block_size: int) -> float:
    """Of a mean with one sign in all entries of a block, in standard deviations."""
    return mean_log_normal(mean * np.sqrt(block_size)) - mean_log_normal(mean)


def excess_of_own_mean(n: int, block_size: int) -> float:
    """Of blocks inside n samples from which their own mean was subtracted."""
    return float(np.log1p(-(block_size - 1) / (n - 1)) / 2)


# ---- The cases ----


def scaled(log_sd: float) -> DrawWithFormula:
    def draw(rng: Rng) -> tuple[Rows, float]:
        scales = np.exp(log_sd * rng.standard_normal(N_COORDINATES))
        return rng.standard_normal(SHAPE) * scales, alpha_of(excess_of_scales(scales))

    return draw


def with_dead_coordinates(share: float, unit: float = 1.0) -> DrawWithFormula:
    def draw(rng: Rng) -> tuple[Rows, float]:
        rows = unit * rng.standard_normal(SHAPE)
        rows[:, rng.permutation(N_COORDINATES)[: round(share * N_COORDINATES)]] = 0
        return rows, alpha_of(excess_of_zeros(share, unit))

    return draw


def correlated(correlation: float) -> DrawWithFormula:
    formula = alpha_of(excess_of_correlations(np.full(BLOCK - 1, correlation)))

    def draw(rng: Rng) -> tuple[Rows, float]:
        common, own = rng.standard_normal((N_MINIBATCHES, 1)), rng.standard_normal(SHAPE)
        return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own, formula

    return draw


def averaged(along: str) -> DrawWithFormula:
    """An AR(1), which is an exponential moving average up to its scale."""
    axis = ("minibatches", "coordinates").index(along)
    excess = excess_of_correlations(MEMORY ** np.arange(1, BLOCK)) if axis else 0.0

    def draw(rng: Rng) -> tuple[Rows, float]:
        shape = np.add(SHAPE, (0, WARM_UP) if axis else (WARM_UP, 0))
        series = signal.lfilter([1], [1, -MEMORY], rng.standard_normal(shape), axis=axis)
        return series[-N_MINIBATCHES:, -N_COORDINATES:], alpha_of(excess)

    return draw


def centred(n: int) -> DrawWithFormula:
    """As many entries in fewer minibatches."""
    size = BLOCK_OVER_MINIBATCHES
    formula = alpha_of(excess_of_own_mean(n, size), size)

    def draw(rng: Rng) -> tuple[Rows, float]:
        rows = rng.standard_normal((n, N // n))
        return rows - rows.mean(axis=0), formula

    return draw


def with_mean(mean: float, one_sign: bool) -> DrawWithFormula:
    size = BLOCK_OVER_MINIBATCHES
    formula = alpha_of(excess_of_mean(mean, size), size)

    def draw(rng: Rng) -> tuple[Rows, float]:
        signs = np.ones(N_COORDINATES) if one_sign else rng.choice([-1.0, 1.0], N_COORDINATES)
        return rng.standard_normal(SHAPE) + mean * signs, formula

    return draw


def scales() -> list[dict]:
    return [
        {"log_sd": log_sd} | case(f"log-sd {log_sd:g}", scaled(log_sd), "published", "pooled")
        for log_sd in LOG_SDS
    ]


def zeros() -> list[dict]:
    entries = []
    for share in ZERO_SHARES:
        name = f"{share:.0%} zeros"  # one name, one generator: the same noise in either unit
        entry = case(name, with_dead_coordinates(share), "published", "pooled")
        rescaled = case(name, with_dead_coordinates(share, UNIT), "published")
        entries.append({"share": share} | entry | {"rescaled": rescaled})
    return entries


def dependence() -> list[dict]:
    cases: dict[str, DrawWithFormula] = {"independent": correlated(0)}
    for correlation in CORRELATIONS:
        cases[f"{WITHIN_MINIBATCHES} {correlation:g}"] = correlated(correlation)
    cases[f"AR(1) of {MEMORY:g} along the coordinates"] = averaged("coordinates")
    cases[f"moving average of {MEMORY:g} over minibatches"] = averaged("minibatches")
    readers = ("published", "permuted", "over_minibatches", "rows_permuted", "pooled")
    return [case(name, draw, *readers) for name, draw in cases.items()]


def means() -> list[dict]:
    cases: dict[str, DrawWithFormula] = {OWN_MEAN.format(n): centred(n) for n in (200, 100, 50, 20)}
    for mean in (0.2, 1.0):
        cases[MEAN_LEFT.format(mean, "random signs")] = with_mean(mean, one_sign=False)
        cases[MEAN_LEFT.format(mean, "one sign")] = with_mean(mean, one_sign=True)
    readers = ("published", "by_coordinate", "over_minibatches", "pooled")
    return [case(name, draw, *readers) for name, draw in cases.items()]


# Name: draw, and log of the standard deviation less the mean of log|X|; None: there is no former.
LAWS: dict[str, tuple[Draw, float | None]] = {
    "Gaussian": (lambda rng: rng.standard_normal(SHAPE), -LOG_NORMAL),
    "Laplace": (lambda rng: rng.laplace(size=SHAPE), np.log(2) / 2 + np.euler_gamma),
    "Student t(3)": (
        lambda rng: rng.standard_t(3, SHAPE),
        (special.digamma(1.5) - special.digamma(0.5)) / 2,
    ),
    "stable 1.8": (lambda rng: nl.SymmetricStable(1.8).rvs(SHAPE, rng), None),
    "stable 1.5": (lambda rng: nl.SymmetricStable(1.5).rvs(SHAPE, rng), None),
}


def laws() -> list[dict]:
    """Independent entries of one law: the reading at every block size, and that of `pooled`."""
    entries = []
    for name, (draw, gap) in LAWS.items():
        rng = generator(name)
        by_size: dict[int, list[float]] = {size: [] for size in BLOCK_SIZES}
        own = []
        for replication in range(REPLICATIONS):
            rows = draw(rng)
            for size in BLOCK_SIZES:
                by_size[size].append(published_with(rows, size))
            if replication < FEW_REPLICATIONS:
                own.append(nl.pooled(rows).alpha)
        entry: dict[str, Any] = {"case": name, "pooled": summary(own)}
        entry["by_block_size"] = {str(size): summary(values) for size, values in by_size.items()}
        if gap is not None:
            sizes = (*BLOCK_SIZES, *LARGE_BLOCK_SIZES)
            formula = {str(size): round(alpha_of(gap + LOG_NORMAL, size), 5) for size in sizes}
            entry["formula"] = formula
        entries.append(entry)
    return entries


def stable_samples() -> list[dict]:
    entries = []
    for alpha in (1.2, 1.5, 1.8):
        rng, law = generator(f"stable samples {alpha}"), nl.SymmetricStable(alpha)
        by_n = {
            str(n): summary([published(law.rvs(n, rng)) for _ in range(replications)])
            for n, replications in SAMPLE_SIZES.items()
        }
        entries.append({"alpha": alpha, "by_n": by_n})
    return entries


def equivalents() -> list[dict]:
    """What alone brings a million Gaussian entries of unit scale to a reading, by the formulas."""
    logs = generator("equivalents").standard_normal((200, MILLION_BLOCK))

    def of_log_sd(log_sd: float) -> float:
        """Log of a block's root mean square scale: less than log_sd**2, as blocks are finite."""
        return float((np.log(np.exp(2 * log_sd * logs).mean(axis=1)) / 2).mean())

    def solved(excess_of: Callable[[float], float], excess: float, most: float) -> float:
        return optimize.brentq(lambda value: excess_of(value) - excess, 0, most)

    entries = []
    for alpha in (1.8, 1.5, 1.2, 1.0):
        excess = (1 / alpha - 0.5) * np.log(MILLION_BLOCK)
        found = {
            "log_sd": solved(of_log_sd, excess, 5),
            "share": solved(excess_of_zeros, excess, 0.5),
            "correlation": np.expm1(2 * excess) / (MILLION_BLOCK - 1),
        }
        rounded = {name: round(float(value), 5) for name, value in found.items()}
        entries.append({"alpha": alpha} | rounded)
    return entries


# ---- Real gradients ----


def in_own_units(rows: Rows) -> Rows:
    """Divide every coordinate by the geometric mean of its non-zero magnitudes."""
    used = rows[:, (rows != 0).sum(axis=0) >= 20]
    nonzero = used != 0
    logs = np.where(nonzero, np.log(np.abs(np.where(nonzero, used, 1))), 0)
    return used / np.exp(logs.sum(axis=0) / nonzero.sum(axis=0))


def steps(rows: Rows, rng: Rng) -> dict[str, float]:
    """Return what is read as the causes are taken away one by one, and on a Gaussian stand-in.

    Every row of the stand-in is a sum of all rows with Gaussian weights: Gaussian, with the
    covariance of the rows. A coordinate that is always zero stays zero.
    """
    own = in_own_units(rows)
    stand_in = rng.standard_normal((len(rows), len(rows))) @ rows / np.sqrt(len(rows))
    return {
        "published": published(rows),
        "published, times 1000": published(UNIT * rows),
        "zeros dropped": published_with(rows[rows != 0], DIGITS_BLOCK),
        "and each column in its own unit": published_with(own[own != 0], DIGITS_BLOCK),
        "and blocks of 8 over minibatches": nl.pooled(rows, "mohammadi").alpha,
        "pooled(rows)": nl.pooled(rows).alpha,
        "published, Gaussian stand-in": published(stand_in),
        "pooled(rows), Gaussian stand-in": nl.pooled(stand_in).alpha,
    }


def digits() -> dict[str, Any]:
    kinds = ("coordinates", "projections")
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    zero_shares, log_sds, units = [], [], []
    for seed in range(N_SEEDS):
        (group,) = nl.measure(
            "digits-mlp",
            n_minibatches=DIGITS_MINIBATCHES,
            batch_size=DIGITS_BATCH,
            groups="all",
            seed=seed,
        ).sketch.groups
        for kind in kinds:
            rows = getattr(group, kind).astype(np.float64)
            for step, alpha in steps(rows, generator(f"{kind} {seed}")).items():
                found[kind].setdefault(step, []).append(round(alpha, 4))
        rows = group.coordinates.astype(np.float64)
        live = rows[:, np.ptp(rows, axis=0) > 0]
        zero_shares.append(float(np.mean(rows == 0)))
        log_sds.append(float(np.log(live.std(axis=0)).std()))
        units.append(float(np.exp(np.log(np.abs(live[live != 0])).mean())))
    return {
        "n_parameters": group.n_parameters,
        "n_columns": {kind: getattr(group, kind).shape[1] for kind in kinds},
        "zero_share": summary(zero_shares),
        "log_sd": summary(log_sds),
        "geometric_mean": summary(units, 8),
        "readings": found,
    }


def measured() -> dict[str, Any]:
    parts: tuple[Callable[[], Any], ...] = (
        *(stable_samples, equivalents, scales, zeros, dependence, laws, means, digits),
    )
    found: dict[str, Any] = {}
    for part in parts:
        found[part.__name__] = part()
        print(f"\n{part.__name__}\n{lines_of(found[part.__name__])}", flush=True)
    return found


def lines_of(part: Any) -> str:
    """Return JSON with one entry a line."""
    if isinstance(part, list):
        return "[\n" + ",\n".join(map(json.dumps, part)) + "\n]"
    fields = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in part.items())
    return "{\n" + ",\n".join(fields) + "\n}"


@cache
def stored() -> dict[str, Any]:
    return json.loads(TARGET.read_text(encoding="utf-8"))


# ---- The page ----


def shown(reading: dict[str, float]) -> str:
    """Return mean ± spread; where the spread rounds to nothing, the mean alone."""
    alone = f"{reading['mean']:.2f}"
    return alone if reading["spread"] < 0.005 else f"{alone} ± {reading['spread']:.2f}"


def mean(reading: dict[str, float]) -> str:
    return f"{reading['mean']:.2f}"


def percent(share: float, decimals: int = 0) -> str:
    return f"{100 * share:.{decimals}f} %"


def entry(part: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in stored()[part] if one["case"] == name)
    return found


def markdown(header: list[str], rows: list[list[str]]) -> str:
    first, *lines = ("| " + " | ".join(line) + " |\n" for line in (header, *rows))
    return "".join([first, "|---" * len(header) + "|\n", *lines])


def table_of(part: str, columns: dict[str, str], leave: tuple[str, ...] = ()) -> str:
    """Return one row a case; cases to leave are in the result file alone."""

    def cell(reader: str, one: dict) -> str:
        return mean(one[reader]) if reader == "formula" else shown(one[reader])

    rows = [
        [one["case"], *(cell(reader, one) for reader in columns)]
        for one in stored()[part]
        if one["case"] not in leave
    ]
    return markdown(["Gaussian rows", *columns.values()], rows)


def stable_samples_table() -> str:
    header = ["stable law", *(f"n = {n:,}" for n in SAMPLE_SIZES)]
    rows = [
        [f"{one['alpha']:g}", *map(shown, one["by_n"].values())]
        for one in stored()["stable_samples"]
    ]
    return markdown(header, rows)


def formula_table() -> str:
    excess = {
        "unequal scales": "log of their root mean square in a block − mean log scale; "
        "s² if they are log-normal with log-sd s, in large blocks",
        "a share p of exact zeros": f"p ({LOG_EPSILON:.2f} + mean log of the other magnitudes) "
        "+ log(1 − p) / 2",
        "correlation ρ of all entries of a block": "log(1 + (m − 1) ρ) / 2",
        "entries that are not Gaussian, finite variance": "log sd − mean log of the magnitudes "
        f"− {-LOG_NORMAL:.3f}, for large m",
    }
    return markdown(["cause", "excess"], [list(pair) for pair in excess.items()])


def causes_table() -> str:
    """Scales and zeros, one case a column."""
    cases = {f"log-sd {one['log_sd']:g}": one for one in stored()["scales"]}
    cases |= {
        f"{percent(one['share'])} zeros": one
        for one in stored()["zeros"]
        if one["share"] in SHOWN_ZERO_SHARES
    }
    rows = [
        ["published", *(shown(one["published"]) for one in cases.values())],
        ["formula", *(mean(one["formula"]) for one in cases.values())],
        ["`pooled(rows)`", *(shown(one["pooled"]) for one in cases.values())],
    ]
    return markdown(["", *cases], rows)


def dependence_table() -> str:
    columns = {
        "published": "published",
        "formula": "formula",
        "permuted": "entries permuted",
        "over_minibatches": "blocks of 8 over minibatches",
        "rows_permuted": "these, rows permuted",
        "pooled": "`pooled(rows)`",
    }
    left = ("independent", *(f"{WITHIN_MINIBATCHES} {one:g}" for one in (0.03, 0.3)))
    return table_of("dependence", columns, left)


def laws_table() -> str:
    sizes = ("2", "10", "50", "250", "1000")
    header = ["independent entries", *(f"m = {size}" for size in sizes)]
    header += ["formula, m = 1,000,000", "`pooled(rows)`"]
    rows = []
    for one in stored()["laws"]:
        far = (
            f"{one['formula']['1000000']:.2f}"
            if "formula" in one
            else f"{float(one['case'].split()[-1]):.2f}"
        )
        found = [shown(one["by_block_size"][size]) for size in sizes]
        rows.append([one["case"], *found, far, shown(one["pooled"])])
    return markdown(header, rows)


def means_table() -> str:
    columns = {
        "published": "published",
        "by_coordinate": "published, coordinate by coordinate",
        "over_minibatches": "blocks of 8 over minibatches",
        "formula": "formula of these",
        "pooled": "`pooled(rows)`",
    }
    left = OWN_MEAN.format(100), *(MEAN_LEFT.format(1, s) for s in ("random signs", "one sign"))
    return table_of("means", columns, left)


def digits_table() -> str:
    readings = stored()["digits"]["readings"]

    def cell(values: list[float]) -> str:
        ends = [f"{end:.2f}" for end in (min(values), max(values))]
        return f"{np.mean(values):.2f}" + ("" if ends[0] == ends[1] else f" ({' to '.join(ends)})")

    rows = [
        [step, *(cell(of_kind[step]) for of_kind in readings.values())]
        for step in readings["coordinates"]
    ]
    return markdown(["", *readings], rows)


def distance(part: str, against: str = "published") -> str:
    """Return the largest distance of the formula from the mean reading."""
    return (
        f"{max(abs(one[against]['mean'] - one['formula']['mean']) for one in stored()[part]):.3f}"
    )


def shape_text() -> str:
    return (
        f"`python benchmarks/{Path(__file__).name}` measures every number here "
        f"([script](../benchmarks/{Path(__file__).name}), "
        f"[result](../benchmarks/results/{TARGET.name})); with `--document` it writes the tables, "
        "and each paragraph that has a measured number, from the result. Unless a section says "
        f"otherwise: Gaussian rows, {N_MINIBATCHES} minibatches x {N_COORDINATES} coordinates, so "
        f"blocks of {BLOCK}; mean ± spread of {REPLICATIONS} replications ({FEW_REPLICATIONS} for "
        "`pooled(rows)`); a spread under 0.005 is not printed."
    )


def stable_samples_text() -> str:
    at_most = max(
        abs(one["by_n"]["1000000"]["mean"] - one["alpha"]) for one in stored()["stable_samples"]
    )
    return (
        "On independent samples of one symmetric stable law it is consistent: at a million the "
        f"mean is within {at_most:.3f} of the truth ({SAMPLE_SIZES[1000]} samples a cell, "
        f"{SAMPLE_SIZES[1_000_000]} of a million). Entries of gradients are no such sample: their "
        "scales differ, some are zero, and those of one minibatch depend on each other."
    )


def formula_text() -> str:
    needs = [
        f"to {one['alpha']:g} by scales of log-sd {one['log_sd']:.2f}, by "
        f"{percent(one['share'], 1)} zeros, or by a correlation of {one['correlation']:.3f}"
        for one in stored()["equivalents"]
        if one["alpha"] in (1.5, 1.2)
    ]
    return (
        f"log m is {np.log(BLOCK):.1f} for 100,000 entries and {np.log(MILLION_BLOCK):.1f} for a "
        "million, so a larger sample hardly dilutes an excess. A million Gaussian entries of scale "
        f"1 are brought {'; '.join(needs)}."
    )


def causes_text() -> str:
    one, tenth = entry("scales", "log-sd 1"), entry("zeros", "10% zeros")
    return (
        "**Scales.** Each coordinate is Gaussian and has a scale of its own, log-normal; together "
        "they are a scale mixture, which is not Gaussian. A log-sd of 1 reads "
        f"{mean(one['published'])}, and no tail is involved. **Zeros** are coordinates that are "
        "zero in every minibatch, such as weights of a dead unit or of a black pixel. A zero "
        f"enters as log({EPSILON:.1e}) = "
        f"{-LOG_EPSILON:.2f}, where log|X| of a standard Gaussian has mean {LOG_NORMAL:.2f}: one "
        f"coordinate in ten reads {mean(tenth['published'])}. The constant "
        f"has no unit and the noise has one, so the same noise times {UNIT:g} reads "
        f"{mean(tenth['rescaled']['published'])}. The formula is within "
        f"{max(distance('scales'), distance('zeros'))} of every mean."
    )


def dependence_text() -> str:
    one, half = (
        entry("dependence", f"{WITHIN_MINIBATCHES} {correlation:g}") for correlation in (0.01, 0.5)
    )
    average = entry("dependence", f"moving average of {MEMORY:g} over minibatches")
    return (
        f"A correlation of 0.01 reads {mean(one['published'])}; the formula is within "
        f"{distance('dependence')} of every mean. With much correlation the reading goes to 1, "
        "since sums then grow like m. A permutation of all entries spreads the correlation but "
        "does not lower its average, which a sum of m entries holds m times over: at 0.5 it reads "
        f"{shown(half['permuted'])}. Blocks over independent minibatches read 2. Blocks over a "
        f"moving average read {mean(average['over_minibatches'])}, and permuting its "
        f"{N_MINIBATCHES} rows brings only {mean(average['rows_permuted'])}, for the same reason."
    )


def laws_text() -> str:
    laplace, stable = entry("laws", "Laplace"), entry("laws", "stable 1.8")
    by_size = laplace["by_block_size"]
    apart = max(abs(one["mean"] - 1.8) for one in stable["by_block_size"].values())
    return (
        f"Laplace noise reads {mean(by_size['2'])} with blocks of 2 and {mean(by_size['1000'])} "
        "with blocks of 1000; by the formula blocks of a million would read "
        f"{laplace['formula']['1000000']:.2f}. Stable 1.8 reads 1.80 at every size, within "
        f"{apart:.3f}. One block size cannot tell them apart; a curve can. "
        f"`pooled(rows)` is no better here: it reads {mean(laplace['pooled'])}, because it fits a "
        "stable law to single entries."
    )


def means_text() -> str:
    twenty, fifty = (entry("means", OWN_MEAN.format(n)) for n in (20, 50))
    small, mixed = (
        entry("means", MEAN_LEFT.format(0.2, signs)) for signs in ("one sign", "random signs")
    )
    return (
        f"A mean of 0.2 sd with one sign reads {mean(small['published'])}. With random signs it "
        f"reads {mean(mixed['published'])} row by row and {mean(mixed['by_coordinate'])} "
        "coordinate by coordinate, so the order of flattening decides. Subtracting the mean of "
        "the same minibatches makes their sum zero: blocks over minibatches read above 2 "
        f"({mean(twenty['over_minibatches'])} with 20 minibatches), and where a block holds whole "
        f"sets of minibatches, the sums are rounding error ({mean(fifty['by_coordinate'])})."
    )


def digits_text() -> str:
    found = stored()["digits"]
    columns, readings = found["n_columns"], found["readings"]
    pairs = [
        (of_kind["published"], of_kind["published, Gaussian stand-in"])
        for of_kind in readings.values()
    ]
    apart = max(abs(x - y) for pair in pairs for x, y in zip(*pair, strict=True))
    ours, of_stand_in = (
        f"{np.mean(readings['coordinates'][name]):.2f}"
        for name in ("pooled(rows)", "pooled(rows), Gaussian stand-in")
    )
    return (
        f"`nl.measure` on the built-in task `digits-mlp` ({found['n_parameters']} parameters, real "
        f"digits), {DIGITS_MINIBATCHES} minibatches of {DIGITS_BATCH}, exact gradient subtracted: "
        f"{columns['coordinates']} sampled coordinates and {columns['projections']} random "
        f"projections, blocks of {DIGITS_BLOCK}; mean and range over {N_SEEDS} seeds of weights, "
        "minibatches and sketch. Exact zeros are "
        f"{percent(found['zero_share']['mean'])} of the coordinates' entries; the standard "
        f"deviations of the other coordinates have a log-sd of {found['log_sd']['mean']:.1f}. The "
        "stand-in is Gaussian noise with the covariance of the same rows. The published estimator "
        f"reads the same on it as on the gradients, within {apart:.2f} at every seed, although the "
        f"laws differ: `pooled(rows)` reads {ours} on the coordinates and {of_stand_in} on their "
        "stand-in. Covariance and zeros explain the published reading; it needs no tail."
    )


TABLES: dict[str, Callable[[], str]] = {
    "stable samples": stable_samples_table,
    "formula": formula_table,
    "causes": causes_table,
    "dependence": dependence_table,
    "laws": laws_table,
    "means": means_table,
    "digits": digits_table,
}
TEXTS: dict[str, Callable[[], str]] = {
    "shape": shape_text,
    "stable samples": stable_samples_text,
    "formula": formula_text,
    "causes": causes_text,
    "dependence": dependence_text,
    "laws": laws_text,
    "means": means_text,
    "digits": digits_text,
}
WRITTEN = re.compile(r"(?<=^<!-- )(table|text): ([a-z ]+) -->\n(?:.+\n)*", re.MULTILINE)


def renewed(text: str) -> str:
    """Return the text of the page with what is under its comments written anew."""

    def replaced(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "table":
            body = TABLES[name]()
        else:
            body = textwrap.fill(TEXTS[name](), WIDTH, break_on_hyphens=False) + "\n"
        return f"{kind}: {name} -->\n{body}"

    return WRITTEN.sub(replaced, text)


def differences() -> Iterator[str]:
    """Yield what would change in the page, and what it lacks."""
    old = PAGE.read_text(encoding="utf-8")
    lines = (text.splitlines() for text in (old, renewed(old)))
    name = str(PAGE.relative_to(ROOT))
    yield from difflib.unified_diff(*lines, name, name, lineterm="", n=0)
    there = set(WRITTEN.findall(old))
    wanted = {("table", name) for name in TABLES} | {("text", name) for name in TEXTS}
    yield from (f"nothing has <!-- {kind}: {name} -->" for kind, name in sorted(wanted - there))


# ---- Figures ----


def draw_causes() -> Any:
    """Three causes: what they read and what the formula says."""
    from matplotlib.figure import Figure

    from noise_lens.figures.style import COLOURS, mark_gaussian

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    blue, orange, green, *_ = COLOURS
    found = stored()
    equal = [one for one in found["dependence"] if one["case"].startswith(WITHIN_MINIBATCHES)]
    panels: tuple[tuple[list[dict], np.ndarray, str], ...] = (
        (found["scales"], np.array(LOG_SDS), "log-sd of the coordinates' scales"),
        (found["zeros"], 100 * np.array(ZERO_SHARES), "exact zeros (%)"),
        (equal, np.array(CORRELATIONS), "correlation in a minibatch"),
    )

    def points(ax: Any, x: np.ndarray, readings: list[dict], **style: Any) -> None:
        means, spreads = ([one[name] for one in readings] for name in ("mean", "spread"))
        ax.errorbar(x, means, yerr=spreads, **{"ls": "", "ms": 5, "capsize": 2, "lw": 1} | style)

    for ax, (part, x, label) in zip(axes, panels, strict=True):
        mark_gaussian(ax)
        points(ax, x, [one["published"] for one in part], color=blue, marker="o", label="published")
        own = [one["pooled"] for one in part]
        points(ax, x, own, color=green, marker="^", mfc="white", label="pooled(rows)")
        ax.set(xlabel=label, ylim=(0, 2.3))
    # Curves of the formula; that of scales depends on the scales drawn.
    curve = {"color": blue, "lw": 1, "label": "formula"}
    axes[0].plot(LOG_SDS, [one["formula"]["mean"] for one in found["scales"]], **curve)
    shares = np.linspace(0, ZERO_SHARES[-1], 200)
    for unit, style in ((1.0, curve), (UNIT, {"color": orange, "lw": 1})):
        axes[1].plot(100 * shares, [alpha_of(excess_of_zeros(p, unit)) for p in shares], **style)
    rescaled = [one["rescaled"]["published"] for one in found["zeros"]]
    style = {"color": orange, "marker": "s", "ms": 4, "label": "published, the same times 1000"}
    points(axes[1], panels[1][1], rescaled, **style)
    correlations = np.geomspace(CORRELATIONS[0], CORRELATIONS[-1], 50)
    excesses = [excess_of_correlations(np.full(BLOCK - 1, each)) for each in correlations]
    axes[2].plot(correlations, [alpha_of(excess) for excess in excesses], **curve)
    axes[2].set_xscale("log")
    axes[2].set_xticks(CORRELATIONS, [f"{correlation:g}" for correlation in CORRELATIONS])
    axes[2].minorticks_off()
    axes[0].set_ylabel("reading of α (truth: 2)")
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def draw_block_sizes() -> Any:
    """The reading against the block size."""
    from matplotlib.figure import Figure

    from noise_lens.figures.style import COLOURS, MARKERS

    figure = Figure(figsize=(7, 3.8), layout="constrained")
    ax = figure.subplots()
    for index, one in enumerate(stored()["laws"]):
        by_size, colour = one["by_block_size"], COLOURS[index]
        ax.errorbar(
            [int(size) for size in by_size],
            [reading["mean"] for reading in by_size.values()],
            yerr=[reading["spread"] for reading in by_size.values()],
            color=colour,
            marker=MARKERS[index],
            ms=5,
            capsize=2,
            lw=1.2,
            label=one["case"],
        )
        if "formula" in one:
            sizes = [size for size in one["formula"] if int(size) >= BLOCK_SIZES[-1]]
            values = [one["formula"][size] for size in sizes]
            ax.plot([int(size) for size in sizes], values, color=colour, lw=1.2, ls="--")
    ax.plot([], [], color="0.4", lw=1.2, ls="--", label="formula for large m")
    ax.set(xscale="log", xlabel="block size m", ylabel="reading of α", ylim=(1.3, 2.1))
    ax.legend(loc="lower right")
    return figure


def draw_digits() -> Any:
    """Every seed of every step on real gradients."""
    from matplotlib.figure import Figure

    from noise_lens.figures.style import COLOURS, MARKERS

    figure = Figure(figsize=(7, 3.8), layout="constrained")
    ax = figure.subplots()
    readings = stored()["digits"]["readings"]
    names = list(readings["coordinates"])
    for place, (kind, of_kind) in enumerate(readings.items()):
        for row, name in enumerate(names):
            ax.plot(
                of_kind[name],
                np.full(N_SEEDS, row + 0.36 * place - 0.18),
                ls="",
                marker=MARKERS[place],
                ms=5,
                alpha=0.6,
                color=COLOURS[place],
                label=kind if row == 0 else None,
            )
    ax.axvline(2, color="0.5", ls=":", lw=1, label="α = 2: Gaussian")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="reading of α, one mark a seed", ylim=(len(names) - 0.4, -0.6), xlim=(0.2, 2.35))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


FIGURES: dict[str, Callable[[], Any]] = {
    "published-causes": draw_causes,
    "published-block-sizes": draw_block_sizes,
    "published-digits": draw_digits,
}


def draw(folder: Path) -> None:
    from noise_lens.report.svg import drawing, write_svg

    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in FIGURES.items():
        with drawing(name):
            write_svg(figure(), folder / f"{name}.svg")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--figures", type=Path, metavar="FOLDER", help="draw the page's figures")
    chosen.add_argument("--document", action="store_true", help="write the page's numbers anew")
    chosen.add_argument("--check", action="store_true", help="say what would change in the page")
    options = parser.parse_args()
    if options.figures:
        draw(options.figures)
        return 0
    if options.document or options.check:
        found = list(differences())
        print(*found or ["nothing changed"], sep="\n")
        if options.document:
            PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return bool(found) if options.check else 0
    warnings.simplefilter("error")  # an estimator that warns is a bug
    parts = measured()
    fields = (f"{json.dumps(name)}: {lines_of(part)}" for name, part in parts.items())
    TARGET.write_text("{\n" + ",\n".join(fields) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
