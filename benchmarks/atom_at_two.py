"""How estimates that are cut at 2 scatter close to it: the constants of docs/decisions/0011.

    python benchmarks/atom_at_two.py > benchmarks/results/atom_at_two.txt

For n samples and an alpha that is r of its own standard errors below 2: the share of maximum
likelihood estimates that are exactly 2, and how far the 97.5 % and the 5 % points of the estimate
lie from alpha, in errors (normal: 1.96 and 1.645). 6000 replications a row; two minutes.
"""

import numpy as np

import noise_lens as nl
from noise_lens.estimators._maximum_likelihood import bound_deviations

REPEATS, BATCH = 6000, 500


def main() -> None:
    grid, deviation = bound_deviations()
    print("    n  alpha     r  share at 2  upper 2.5 %  lower 5 %")
    for n in (100, 200, 500, 1000, 4000):
        error = deviation / np.sqrt(n)
        apart = (2 - grid) / np.maximum(error, 1e-12)
        for r in (1.5, 1.8, 2.0, 2.2, 2.5, 3.0, 4.0):
            place = int(np.argmin(np.abs(apart - r) + 10 * (grid > 1.999)))
            law = nl.SymmetricStable(float(grid[place]))
            rng = np.random.default_rng([20261121, n, place])
            found = np.concatenate(
                [
                    nl.maximum_likelihood(law.rvs((n, BATCH), rng)).alpha
                    for _ in range(REPEATS // BATCH)
                ]
            )
            upper = (np.quantile(found, 0.975) - law.alpha) / error[place]
            lower = (law.alpha - np.quantile(found, 0.05)) / error[place]
            print(
                f"{n:5} {law.alpha:6.3f} {apart[place]:5.2f} {np.mean(found == 2):11.3f}"
                f" {upper:12.2f} {lower:10.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
