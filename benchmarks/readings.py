"""What the estimators read where the truth is known: the tables of README.md and docs/measuring.md.

    python benchmarks/readings.py

1000 minibatches x 100 coordinates, 50 seeds a row; about one minute on one core.
"""

import numpy as np

import noise_lens as nl

SHAPE = (1000, 100)
N_SEEDS = 50


def published(rows: np.ndarray) -> float:
    """Simsekli et al., 2019: flatten, blocks of the largest divisor below the root, one number."""
    x = rows.ravel()
    m = max(size for size in range(1, int(np.sqrt(len(x))) + 1) if len(x) % size == 0)
    blocks = x.reshape(-1, m).sum(axis=1)
    epsilon = np.spacing(1)
    ratio = np.log(np.abs(blocks) + epsilon).mean() - np.log(np.abs(x) + epsilon).mean()
    return float(np.log(m) / ratio)


def scaled(rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.standard_normal(SHAPE[1]))


def gaussian_with_everything(rng: np.random.Generator) -> np.ndarray:
    common, own = rng.standard_normal((SHAPE[0], 1)), rng.standard_normal(SHAPE)
    rows = (np.sqrt(0.3) * common + np.sqrt(0.7) * own) * scaled(rng)
    rows[rng.random(SHAPE) < 0.4] = 0
    return rows


CASES = {
    "Gaussian: scales, 40 % zeros, correlation .3": gaussian_with_everything,
    "Gaussian": lambda rng: rng.standard_normal(SHAPE),
    "stable 1.8, scales": lambda rng: nl.SymmetricStable(1.8).rvs(SHAPE, rng) * scaled(rng),
    "stable 1.5, scales": lambda rng: nl.SymmetricStable(1.5).rvs(SHAPE, rng) * scaled(rng),
    "stable 1.2, scales": lambda rng: nl.SymmetricStable(1.2).rvs(SHAPE, rng) * scaled(rng),
    "Laplace": lambda rng: rng.laplace(size=SHAPE),
    "Student t, 3 degrees": lambda rng: rng.standard_t(3, SHAPE),
    "Gaussian, common lognormal radius, log-sd 1": lambda rng: (
        rng.standard_normal(SHAPE) * np.exp(rng.standard_normal((SHAPE[0], 1)))
    ),
}


def main() -> None:
    print(f"{'':45} {'published':>16} {'mohammadi':>16} {'char. function':>18} {'sums of 16':>16}")
    for name, draw in CASES.items():
        readings = []
        for seed in range(N_SEEDS):
            rows = draw(np.random.default_rng([20261121, seed]))
            curve = nl.aggregation_curve(rows, np.random.default_rng(seed))
            readings.append(
                [published(rows), nl.pooled(rows, "mohammadi").alpha, nl.pooled(rows).alpha,
                 curve.alpha[-1]]
            )  # fmt: skip
        mean, spread = np.mean(readings, axis=0), np.std(readings, axis=0)
        print(f"{name:45}", *(f"{m:9.3f} ± {s:.4f}" for m, s in zip(mean, spread, strict=True)))


if __name__ == "__main__":
    main()
