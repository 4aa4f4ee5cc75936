"""How exact the Kesten tail is, and how honest its Monte Carlo; see docs/theory/kesten.md.

    python benchmarks/kesten_anchors.py    # writes benchmarks/results/kesten_anchors.json

Anchors: the step sizes at which alpha is 2, 4, 10, 40 and 100, found by the exact even moments of
chi-squares in rational numbers, not by quadrature; what the quadrature says there; and the time of
this thread. Monte Carlo: 60 runs of each of six processes whose alpha is exact (Gaussian inputs;
a data set, pairs of it without replacement, and momentum, by the spectral radius of the mean
Kronecker square of the step's matrix); z = (estimate - alpha) / standard error. Two minutes.
"""

import json
import math
import time
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from noise_lens.theory.kesten import (
    critical_step_size,
    gaussian_inputs,
    kesten_tail_index,
    kesten_tail_of_inputs,
)

OUT = Path(__file__).parent / "results" / "kesten_anchors.json"
CELLS = ((1, 1), (1, 2), (2, 2), (1, 10), (5, 10), (1, 100), (10, 100), (64, 1), (64, 100))
SEEDS = 60
SIZE = {"n_particles": 1000, "n_steps": 200}


def even_moment(k: int, a: Fraction, b: int, d: int) -> Fraction:
    """h(2k): the binomial expansion of the base, by chi-square moments."""
    x = [math.prod(b + 2 * i for i in range(m)) for m in range(2 * k + 1)]
    y = [math.prod(d - 1 + 2 * i for i in range(m)) for m in range(k + 1)]
    total = Fraction(0)
    for j in range(k + 1):
        n = 2 * (k - j)
        inner = sum(math.comb(n, i) * (-a) ** i * x[i + j] for i in range(n + 1))
        total += math.comb(k, j) * y[j] * a ** (2 * j) * inner
    return total


def exact_step_size(alpha: int, b: int, d: int) -> float:
    """Halve an interval about h(alpha) = 1 until it is two floats wide."""
    if alpha == 2:
        return 2 * b / (d + b + 1)
    low, high = 0.0, 2 * b / (d + b + 1)
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        above = even_moment(alpha // 2, Fraction(middle) / b, b, d) > 1
        low, high = (low, middle) if above else (middle, high)


def anchors() -> list[dict]:
    kesten_tail_index(0.3, 1, 2)
    rows = []
    for b, d in CELLS:
        for alpha in (2, 4, 10, 40, 100):
            step_size = exact_step_size(alpha, b, d)
            start = time.thread_time()
            ours = float(kesten_tail_index(step_size, b, d))
            cost = time.thread_time() - start
            rows.append(
                {
                    "batch_size": b, "dim": d, "alpha": alpha, "step_size": step_size,
                    "error": ours - alpha, "milliseconds": round(1e3 * cost, 1),
                }
            )  # fmt: skip
    return rows


def of_second_moment(hessians: list, momentum: float) -> float:
    """The step size at which the second moment of the product stands still: alpha = 2."""

    def excess(eta: float) -> float:
        squares = []
        for hessian in hessians:
            d = len(hessian)
            one = np.eye(d)
            step = one - eta * hessian
            if momentum:
                step = np.block([[step + momentum * one, -momentum * one], [one, np.zeros((d, d))]])
            squares.append(np.kron(step, step))
        return float(np.abs(np.linalg.eigvals(np.mean(squares, axis=0))).max()) - 1

    high = 0.01
    while excess(high) < 0:
        high *= 1.1
    return float(brentq(excess, high / 1.1, high))


def monte_carlo() -> list[dict]:
    data = np.random.default_rng(5).standard_normal((30, 3)) * [1.0, 0.6, 0.3]
    rows = [np.outer(a, a) for a in data]
    pairs = [(first + second) / 2 for first, second in combinations(rows, 2)]
    cases = [
        ("Gaussian inputs, b = 1, d = 2", 1.5, gaussian_inputs(2), 1, {},
         critical_step_size(1, 2, alpha=1.5)),
        ("Gaussian inputs, b = 1, d = 1", 3.0, gaussian_inputs(1), 1, {},
         critical_step_size(1, 1, alpha=3)),
        ("30 rows, d = 3", 2.0, data, 1, {}, of_second_moment(rows, 0.0)),
        ("pairs of 30 rows, without replacement", 2.0, data, 2, {"replace": False},
         of_second_moment(pairs, 0.0)),
        ("30 rows, momentum 0.5", 2.0, data, 1, {"momentum": 0.5}, of_second_moment(rows, 0.5)),
        ("30 rows, momentum 0.9", 2.0, data, 1, {"momentum": 0.9}, of_second_moment(rows, 0.9)),
    ]  # fmt: skip
    found = []
    for name, alpha, inputs, b, options, eta in cases:
        tails = [
            kesten_tail_of_inputs(inputs, eta, b, **options, **SIZE, seed=seed)
            for seed in range(SEEDS)
        ]
        numbers = [tail for tail in tails if tail.standard_error is not None]
        z = [float((tail - alpha) / tail.standard_error) for tail in numbers]
        errors = [tail.standard_error for tail in numbers]
        found.append(
            {
                "inputs": name, "alpha": alpha, "step_size": eta, "runs": SEEDS,
                "numbers": len(z), "mean_z": np.mean(z), "spread_z": np.std(z, ddof=1),
                "standard_error": float(np.median(errors)),
            }
        )  # fmt: skip
        print(found[-1], flush=True)
    return found


if __name__ == "__main__":
    result = {"anchors": anchors(), "monte_carlo": monte_carlo()}
    OUT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
