"""What every estimator reads on laws that are known, its own and others, and what it costs.

    python benchmarks/estimator_readings.py   # writes results/estimator_readings.json
    python benchmarks/document_tables.py      # then writes the tables of docs/estimators anew

One series of 10,000 samples a replication, 100 replications a case; `mohammadi_norm` takes rows of
shape (1250, 8) instead. Costs are CPU times of one thread over that of log|x| on the same samples.
One minute.
"""

import json
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import signal, stats

import noise_lens as nl

N, REPLICATIONS, NORM_SHAPE = 10_000, 100, (1250, 8)
SHAPE = (N, REPLICATIONS)
TAIL_K = N // 20
RESULTS = Path(__file__).parent / "results"
TARGET = RESULTS / "estimator_readings.json"

Draw = Callable[[np.random.Generator], np.ndarray]
inf = np.inf


def stable(alpha: float) -> Draw:
    return lambda rng: nl.SymmetricStable(alpha).rvs(SHAPE, rng)


def pareto(index: float) -> Draw:
    return lambda rng: rng.choice([-1.0, 1.0], SHAPE) * (1 + rng.pareto(index, SHAPE))


def mixture(log_sd: float) -> Draw:
    return lambda rng: rng.standard_normal(SHAPE) * np.exp(log_sd * rng.standard_normal(SHAPE))


def averaged(innovations: np.ndarray) -> np.ndarray:
    """Return an AR(1) of .9, which is an exponential moving average up to its scale."""
    return signal.lfilter([1], [1, -0.9], innovations, axis=0)[100:]


def autoregressive(alpha: float) -> Draw:
    law = nl.SymmetricStable(alpha)
    return lambda rng: averaged(law.rvs((N + 100, REPLICATIONS), rng))


def coordinates(rng: np.random.Generator, repeat: Callable[..., np.ndarray]) -> np.ndarray:
    scales = np.exp(rng.standard_normal((100, REPLICATIONS)))
    return rng.standard_normal(SHAPE) * repeat(scales)


def with_zeros(rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(SHAPE) < 0.3, 0, rng.standard_normal(SHAPE))


def with_atom(rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(SHAPE) < 0.2, -0.7, rng.standard_normal(SHAPE))


# Name: index of the law that sums come to, tail index, draw.
CASES: dict[str, tuple[float, float, Draw]] = {
    "Gaussian": (2, inf, stable(2)),
    "stable 1.95": (1.95, 1.95, stable(1.95)),
    "stable 1.8": (1.8, 1.8, stable(1.8)),
    "stable 1.5": (1.5, 1.5, stable(1.5)),
    "stable 1.2": (1.2, 1.2, stable(1.2)),
    "Laplace": (2, inf, lambda rng: rng.laplace(size=SHAPE)),
    "Student t(5)": (2, 5, lambda rng: rng.standard_t(5, SHAPE)),
    "Student t(3)": (2, 3, lambda rng: rng.standard_t(3, SHAPE)),
    "Pareto magnitudes, index 3": (2, 3, pareto(3)),
    "Pareto magnitudes, index 1.5": (1.5, 1.5, pareto(1.5)),
    "Gaussian, each sample its own scale, log-sd 0.5": (2, inf, mixture(0.5)),
    "Gaussian, each sample its own scale, log-sd 1": (2, inf, mixture(1)),
    "100 Gaussian coordinates, log-sd 1, one after the other": (
        2, inf, lambda rng: coordinates(rng, lambda scales: np.repeat(scales, 100, axis=0)),
    ),
    "100 Gaussian coordinates, log-sd 1, interleaved": (
        2, inf, lambda rng: coordinates(rng, lambda scales: np.tile(scales, (100, 1))),
    ),
    "Gaussian, 30 % exact zeros": (2, inf, with_zeros),
    "Gaussian, 20 % of samples at -0.7 sd": (2, inf, with_atom),
    "Gaussian, rounded to 0.5 sd": (
        2, inf, lambda rng: np.round(2 * rng.standard_normal(SHAPE)) / 2,
    ),
    "Gaussian, location 0.2 sd": (2, inf, lambda rng: rng.standard_normal(SHAPE) + 0.2),
    "Gaussian, location 1 sd": (2, inf, lambda rng: rng.standard_normal(SHAPE) + 1),
    "Gaussian AR(1) of .9": (2, inf, autoregressive(2)),
    "stable 1.5, moving average of .9": (1.5, 1.5, autoregressive(1.5)),
}  # fmt: skip

NORM_CASES: dict[str, tuple[float, float, Draw]] = {
    "Gaussian rows": (2, inf, lambda rng: rng.standard_normal(NORM_SHAPE)),
    "stable 1.5, independent coordinates": (
        1.5, 1.5, lambda rng: nl.SymmetricStable(1.5).rvs(NORM_SHAPE, rng),
    ),
    "Gaussian rows, each row its own scale, log-sd 1": (
        2, inf, lambda rng: rng.standard_normal(NORM_SHAPE)
        * np.exp(rng.standard_normal((NORM_SHAPE[0], 1))),
    ),
    "Gaussian rows, AR(1) of .9": (
        2, inf, lambda rng: averaged(rng.standard_normal((NORM_SHAPE[0] + 100, NORM_SHAPE[1]))),
    ),
}  # fmt: skip

METHODS: dict[str, Callable[[np.ndarray], nl.TailIndexEstimate]] = {
    "characteristic_function": nl.characteristic_function,
    "maximum_likelihood": nl.maximum_likelihood,
    "quantile": nl.quantile,
    "log_moments": nl.log_moments,
    "mohammadi": nl.mohammadi,
    "hill, k = 5 %": lambda x: nl.hill(x, TAIL_K),
    "moment, k = 5 %": lambda x: nl.moment(x, TAIL_K),
}
COMPAT, CHOSEN, NORM = "mohammadi, compat", "hill, chosen k", "mohammadi_norm"


def parts(found: nl.TailIndexEstimate) -> list[np.ndarray]:
    low, high = found.confidence_interval()
    return [np.asarray(part, dtype=float) for part in (found.alpha, low, high)]


def at_chosen_k(column: np.ndarray) -> list[float]:
    k = nl.hill_path(column).choose_k()
    return [np.nan] * 4 if k is None else [*map(float, parts(nl.hill(column, k))), k]


def readings(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return alpha and both ends of its interval, shape (3, replications), of every method.

    At the chosen k there is a fourth row: that k.
    """
    found = {name: np.array(parts(estimate(x))) for name, estimate in METHODS.items()}
    columns = np.ascontiguousarray(x.T)
    published = [parts(nl.mohammadi(column, compat="simsekli2019")) for column in columns]
    found[COMPAT] = np.array(published).T
    found[CHOSEN] = np.array([at_chosen_k(column) for column in columns]).T
    return found


def summary(method: str, name: str, truth: tuple[float, float], found: np.ndarray) -> dict:
    """Return one entry of the result file; None stands for inf, and for what does not exist."""

    def number(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    alpha, low, high = found[:3, ~np.isnan(found[0])]
    entry = {
        "method": method,
        "case": name,
        "sums": truth[0],
        "tail": number(truth[1]),
        "mean": None,
        "spread": None,
        "median": None,
        "low": None,
        "high": None,
        "inf": float(np.mean(np.isinf(alpha))) if len(alpha) else 0.0,
        "refused": float(np.mean(np.isnan(found[0]))),
    }
    if len(alpha):
        if np.isfinite(alpha).all():
            entry |= {"mean": float(alpha.mean()), "spread": float(alpha.std())}
        entry |= {
            "median": number(np.median(alpha)),
            "low": number(np.median(low)),
            "high": number(np.median(high)),
        }
    if len(found) > 3:
        entry["median_k"] = float(np.nanmedian(found[3])) if len(alpha) else None
    return entry


def measured() -> list[dict]:
    entries = []
    for name, (sums, tail, draw) in CASES.items():
        x = draw(np.random.default_rng([20261121, zlib.crc32(name.encode())]))
        assert x.shape == SHAPE
        entries += [summary(m, name, (sums, tail), found) for m, found in readings(x).items()]
        print(f"{name:57}", *(f"{shown(e):>14}" for e in entries[-len(METHODS) - 2 :]), flush=True)
    print(f"\n{'':57} {NORM:>14}")
    for name, (sums, tail, draw) in NORM_CASES.items():
        rng = np.random.default_rng([20261121, zlib.crc32(name.encode())])
        found = np.array([parts(nl.mohammadi_norm(draw(rng))) for _ in range(REPLICATIONS)]).T
        entries.append(summary(NORM, name, (sums, tail), found))
        print(f"{name:57} {shown(entries[-1]):>14}", flush=True)
    return entries


def shown(entry: dict) -> str:
    """Return mean ± spread, or the median and the share of inf, or the share that was refused."""
    if entry["refused"] > 0:
        median = "" if entry["median"] is None else f"{entry['median']:.2f} "
        return f"{median}({entry['refused']:.0%} no)"
    if entry["inf"] > 0:
        median = "inf" if entry["median"] is None else f"{entry['median']:.2f}"
        return f"{median} ({entry['inf']:.0%})"
    return f"{entry['mean']:.3f} ±{entry['spread']:.3f}"


def seconds(call: Callable[[np.ndarray], object], x: np.ndarray, repeats: int = 7) -> float:
    """Return the least CPU time; of several calls the first fills caches and does not count."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call(x)
        taken.append(time.process_time() - start)
    return min(taken[1:] or taken)


TIMED: dict[str, Callable[[np.ndarray], object]] = METHODS | {
    "hill, k = 5 %": lambda x: nl.hill(x, len(x) // 20),
    "moment, k = 5 %": lambda x: nl.moment(x, len(x) // 20),
    CHOSEN: lambda x: nl.hill(x, nl.hill_path(x).choose_k()),
    COMPAT: lambda x: nl.mohammadi(x, compat="simsekli2019"),
    NORM: lambda x: nl.mohammadi_norm(x.reshape(-1, 8)),
    "logpdf of the law": nl.SymmetricStable(1.5).logpdf,
    "sf of the law": nl.SymmetricStable(1.5).sf,
}


def costs() -> dict[str, dict[str, float]]:
    """Return CPU time over that of log|x|, by number of samples of stable 1.5."""
    found: dict[str, dict[str, float]] = {name: {} for name in TIMED}
    for n in (10_000, 1_000_000):
        x = nl.SymmetricStable(1.5).rvs(n, np.random.default_rng([20261121, n]))
        yardstick = seconds(lambda x: np.log(np.abs(x)), x, 25)
        for name, call in TIMED.items():
            found[name][str(n)] = float(f"{seconds(call, x) / yardstick:.2g}")
    return found


def beside_scipy() -> dict[str, float]:
    """Return what scipy's own stable law reads and costs, on 200 samples of stable 1.5."""
    x = nl.SymmetricStable(1.5).rvs(200, np.random.default_rng(20261121))
    ours = seconds(nl.maximum_likelihood, x)
    many = np.tile(x, 5000)
    our_density = seconds(nl.SymmetricStable(1.5).logpdf, many) / len(many)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of scipy's quadrature
        start = time.process_time()
        scipys = nl.scipy_fit(x)
        taken = time.process_time() - start
        density = seconds(stats.levy_stable(1.5, 0).logpdf, x, 1) / len(x)
    found = nl.maximum_likelihood(x)
    return {
        "n": len(x),
        "alpha": found.alpha,
        "scipy_alpha": scipys.alpha,
        "standard_error": found.standard_error,
        "fit_cost_ratio": float(f"{taken / ours:.2g}"),
        "density_cost_ratio": float(f"{density / our_density:.2g}"),
    }


def histogram_errors() -> dict[str, float]:
    """Return how far an estimate from a log-histogram is from that of its samples, at worst.

    In units of the estimate's own standard error, over 100 series of stable 1.5 and of 1.95.
    """
    takes_one = (
        "maximum_likelihood",
        "quantile",
        "log_moments",
        "hill, k = 5 %",
        "moment, k = 5 %",
    )
    worst = dict.fromkeys(takes_one, 0.0)
    for alpha in (1.5, 1.95):
        rng = np.random.default_rng([20261121, round(100 * alpha)])
        for column in nl.SymmetricStable(alpha).rvs(SHAPE, rng).T.astype(np.float32):
            bits = column.view(np.uint32) & np.uint32(0x7FFF_FFFF)
            histogram = nl.LogHistogram(np.bincount(bits >> 18, minlength=8192))
            for name in takes_one:
                samples = METHODS[name](column)
                apart = METHODS[name](histogram).alpha - samples.alpha
                worst[name] = max(worst[name], abs(apart) / samples.standard_error)
    return {name: float(f"{value:.2g}") for name, value in worst.items()}


LAWS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "Gaussian": lambda n, rng: rng.standard_normal(n),
    "Laplace": lambda n, rng: rng.laplace(size=n),
    "Student t(3)": lambda n, rng: rng.standard_t(3, n),
    "stable 1.95": lambda n, rng: nl.SymmetricStable(1.95).rvs(n, rng),
    "stable 1.8": lambda n, rng: nl.SymmetricStable(1.8).rvs(n, rng),
    "stable 1.5": lambda n, rng: nl.SymmetricStable(1.5).rvs(n, rng),
}


def refusals() -> list[dict[str, float]]:
    """Return how often `choose_k` refuses samples of light and of heavy tails."""
    found = []
    for n in (1000, 10_000, 100_000):
        rng = np.random.default_rng([20261121, n, 0])
        entry: dict[str, float] = {"n": n}
        for name, draw in LAWS.items():
            chosen = [nl.hill_path(draw(n, rng)).choose_k() for _ in range(REPLICATIONS)]
            entry[name] = float(np.mean([k is None for k in chosen]))
        found.append(entry)
    return found


def row_coverage() -> list[dict[str, float]]:
    """Return how often 95 % intervals hold the truth where a row shares one radius.

    Elliptical stable rows of shape (1000, 64), 400 replications (standard error 1.1 %): once as
    64,000 independent samples, once as 1000 rows.
    """
    found = []
    for alpha in (1.5, 1.8):
        rng = np.random.default_rng([20261121, round(100 * alpha), 64])
        held = np.zeros(2)
        for _ in range(400):
            # The square of the radius is positive stable of half the index (Kanter).
            a, angle, wait = alpha / 2, rng.uniform(0, np.pi, (1000, 1)), rng.exponential(size=1000)
            square = np.sin(a * angle) / np.sin(angle) ** (1 / a)
            square *= (np.sin((1 - a) * angle) / wait[:, None]) ** ((1 - a) / a)
            rows = np.sqrt(square) * rng.standard_normal((1000, 64))
            for place, one in enumerate(
                (nl.characteristic_function(rows.ravel()), nl.pooled(rows))
            ):
                low, high = one.confidence_interval()
                held[place] += low <= alpha <= high
        samples, by_row = (held / 400).tolist()
        found.append({"alpha": alpha, "as_samples": samples, "pooled": by_row})
    return found


def main() -> None:
    warnings.simplefilter("error")  # an estimator that warns is a bug
    print(f"{'':57}", *(f"{name.replace(', k = 5 %', ' 5 %')[:14]:>14}" for name in METHODS),
          *(f"{name:>14}" for name in ("published", CHOSEN)))  # fmt: skip
    entries = measured()
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    head = {
        "replications": REPLICATIONS,
        "n": N,
        "norm_shape": NORM_SHAPE,
        "cost": costs(),
        "histogram_errors": histogram_errors(),
        "row_coverage": row_coverage(),
        "refusals": refusals(),
        "scipy": beside_scipy(),
    }
    fields = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items())
    TARGET.write_text(f'{{{fields},\n"readings": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
