"""Which family describes the noise of single minibatches, or that the rows cannot say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from noise_lens.errors import NotEnoughDataError
from noise_lens.estimators import maximum_likelihood
from noise_lens.inference.rows import as_rows
from noise_lens.inference.standardise import MINIMUM_ROWS, log_magnitudes, standardise
from noise_lens.stable import SymmetricStable

FAMILIES = ("gaussian", "generalised_gaussian", "student_t", "stable")
LEVEL = 0.05  # two-sided, over the three comparisons with the best family (Bonferroni)
FEWEST_ENTRIES, FEWEST_ROWS, FEWEST_DEPENDENT_ROWS = 1000, 50, 1000
"""Fewer cannot separate families. The last holds where the magnitudes of a row go together: few
elliptical stable rows without a large radius look like Student-t in every coordinate at once."""
_NEGLIGIBLE_GAIN = 0.002  # nats an entry over the Gaussian: Student-t with nu = 20 in the limit
_MOST_ENTRIES, _HIGHEST_NU, _BINS = 200_000, 1e4, 64  # bins a unit of log abs(x)
_WORDS = {
    "generalised_gaussian": ("the generalised Gaussian", "beta"),
    "student_t": ("Student-t", "nu"),
    "stable": ("the stable law", "alpha"),
}

Floats = NDArray[np.float64]
Parameters = dict[str, float]
Density = Callable[[Floats, float, float], Floats]
LogScale = Callable[[Floats, Floats, float], float]


@dataclass(frozen=True)
class FamilyComparison:
    """How well four families describe the noise of single minibatches; nothing about their sums.

    It is relative: the best may be a poor description, above all where coordinates differ in shape.

    Attributes
    ----------
    families : tuple of str
        "gaussian", "generalised_gaussian", "student_t" and "stable".
    log_likelihood : dict of str to float
        Nats an entry; entries are in units of the geometric mean magnitude of their coordinate.
    parameters : dict of str to float
        Shapes: beta in [0.1, 20] of the generalised Gaussian (1 Laplace, 2 Gaussian, above 2
        lighter than Gaussian), nu from 0.1 of Student-t (inf Gaussian), alpha in [0.4, 2] of the
        stable law (2 Gaussian). At the end of its range a value is a bound.
    scales : dict of str to float
        In the same unit: standard deviation, `scale` of ``scipy.stats.gennorm`` and
        ``scipy.stats.t``, sigma of `SymmetricStable`.
    z : ndarray of shape (4, 4)
        Positive where the family of the row fits better than that of the column, 0 where they
        coincide.
    candidates : tuple of str
        Families that are not significantly worse than the best, best first; all four where there
        are too few data to exclude any.
    separable : bool
        Whether only one is left.
    n_rows, fewest_rows : int
        Minibatches with a non-zero entry, and how many it takes here to exclude a family: 50, or
        1000 where the magnitudes of one minibatch go together.
    n_entries, n_zero : int
        Non-zero entries that were used, and exact zeros beside them, which no density describes.
    """

    families: tuple[str, ...]
    log_likelihood: dict[str, float]
    parameters: dict[str, float]
    scales: dict[str, float]
    z: NDArray[np.float64]
    candidates: tuple[str, ...]
    separable: bool
    n_rows: int
    fewest_rows: int
    n_entries: int
    n_zero: int

    @property
    def best(self) -> str | None:
        """The family that is named; None where they are not separable."""
        return self.candidates[0] if self.separable else None

    @property
    def sentence(self) -> str:
        """The result in one plain sentence, with its numbers."""
        if self.n_rows < self.fewest_rows or self.n_entries < FEWEST_ENTRIES:
            together = ", because their magnitudes go together within a minibatch"
            return (
                f"Families are not separable with {self.n_entries} entries of {self.n_rows} "
                f"minibatches: that takes at least {FEWEST_ENTRIES} entries and "
                f"{self.fewest_rows} minibatches"
                f"{together if self.fewest_rows > FEWEST_ROWS else ''}."
            )
        first = max(self.families[1:], key=lambda name: self.log_likelihood[name])
        gained = self.log_likelihood[first] - self.log_likelihood["gaussian"]
        gain = f"{max(gained, 0.0):.2g} nats an entry"
        if self.best == "gaussian":
            return (
                f"The Gaussian describes the standardised noise of {self.n_rows} single "
                f"minibatches: no other family gains more than {gain}."
            )
        said = self._described(first)
        compared = set(self.families[1:] if self.separable else self.candidates) - {first}
        than = " and ".join(self._described(name, first) for name in sorted(compared & {*_WORDS}))
        if self.separable:
            return (
                f"{said[0].upper()}{said[1:]} describes the standardised noise of {self.n_rows} "
                f"single minibatches better than {than}, and than the Gaussian by {gain}."
            )
        if "gaussian" in self.candidates:
            than = f"the Gaussian (by {gain})"
        return (
            f"Families are not separable with these {self.n_rows} minibatches: {said} fits best, "
            f"but not significantly better than {than}."
        )

    def _described(self, family: str, against: str | None = None) -> str:
        name, symbol = _WORDS[family]
        inside = f"{symbol} = {self.parameters[family]:.3g}"
        if against is not None:
            first, second = (self.families.index(name) for name in (against, family))
            inside += f", z = {self.z[first, second]:.1f}"
        elif family == "student_t" and self.parameters[family] <= 2:
            # At nu = 1 it is Cauchy, which is stable: that law must be excluded first.
            without = "" if "stable" in self.candidates else " without stability"
            inside += f": infinite variance{without}"
        return f"{name} ({inside})"


def compare_families(rows: ArrayLike) -> FamilyComparison:
    """Compare Gaussian, generalised Gaussian, Student-t and stable law on minibatch noise.

    Coordinates are divided by the geometric mean of their own magnitudes and pooled; families [3]_
    are fitted by maximum likelihood. Two are compared by z, the sum of their log-likelihood
    differences over its standard error [1]_, without its skewness [2]_. The terms of that sum are
    whole minibatches, whose coordinates depend on each other: copying every column changes no z.

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One row a minibatch, zero location, independent of each other. Any unit, also one a column.

    Returns
    -------
    FamilyComparison
        Fits, z of each pair, and the families that the rows do not exclude.

    Raises
    ------
    SamplesError
        `rows` is not a finite real array of two axes.
    NotEnoughDataError
        Fewer than 20 rows, or no coordinate with 20 non-zero samples that vary.

    Notes
    -----
    A family is named if it beats each other one at a two-sided level of 5 % / 3 (z > 2.4): a
    wrong one in at most 2.5 % of data sets from any of the four. Of two that fit equally well
    one is named in 2 to 4 %, fewer where they coincide. At most M columns are used.

    The Gaussian lies in the other three: where it is not excluded none is. It is named if no
    other family gains 0.002 nats an entry, at the upper end of what the rows allow. That takes
    4000 to 8000 entries, and may miss a stable law with alpha near 1.99.

    References
    ----------
    .. [1] Q. H. Vuong, Econometrica 57(2), 1989. doi:10.2307/1912557
    .. [2] P. Hall, J. R. Statist. Soc. B 54(1), 1992, pages 221-228.
    .. [3] S. Nadarajah, J. Appl. Stat. 32(7), 2005. doi:10.1080/02664760500079464

    Examples
    --------
    >>> import numpy as np
    >>> found = compare_families(np.random.default_rng(0).laplace(size=(1000, 16)))
    >>> (found.best, round(found.parameters["generalised_gaussian"], 1))
    ('generalised_gaussian', 1.0)
    """
    checked = as_rows(rows, "compare_families")
    values, _, used = standardise(checked)
    if not used.any():
        most = int(np.count_nonzero(checked, axis=0).max(initial=0))
        n, what = most if most < MINIMUM_ROWS else 0, "non-zero samples that vary in a coordinate"
        raise NotEnoughDataError("compare_families", n=n, needed=MINIMUM_ROWS, what=what)
    # Scales of few rows vary: 400 columns of 50 make the Gaussian a Student-t with nu = 30, z = 3.
    n_columns = min(*values.shape, max(1, _MOST_ENTRIES // len(values)))
    values = values[:, np.linspace(0, values.shape[1] - 1, n_columns).round().astype(np.int64)]
    n_zero = int(np.count_nonzero(values == 0))
    values = values[(values != 0).any(axis=1)]
    logs, nonzero = log_magnitudes(values)
    n_rows, n_entries = len(values), int(nonzero.sum())
    parameters, scales = _fit(values, logs[nonzero])
    row_sums = np.where(nonzero, _log_densities(logs, parameters, scales), 0.0).sum(axis=2)
    totals = row_sums.sum(axis=1)
    gain, error, z = _vuong(row_sums[:, None] - row_sums)

    # Entries of a row that count as one: if all are independent, 1 +- sqrt(2 / M).
    copies = (logs.sum(axis=1) ** 2).sum() / (logs**2).sum()
    fewest_rows = FEWEST_DEPENDENT_ROWS if copies > 1 + 3 * np.sqrt(2 / n_rows) else FEWEST_ROWS
    enough = n_rows >= fewest_rows and n_entries >= FEWEST_ENTRIES
    critical = float(special.stdtrit(n_rows - 1, 1 - LEVEL / 6))
    # What a law gains in expectation, if that is less than log(1 / level), cannot be excluded.
    most_gained = (gain[1:, 0] + critical * error[1:, 0]).max() + copies * np.log(6 / LEVEL)
    kept = np.argsort(-totals, kind="stable")
    if enough and most_gained < _NEGLIGIBLE_GAIN * n_entries:
        kept = np.array([0])
    elif enough and z[kept[0], 0] > critical:
        kept = kept[z[kept[0], kept] <= critical]
    return FamilyComparison(
        families=FAMILIES,
        log_likelihood=dict(zip(FAMILIES, (totals / n_entries).tolist(), strict=True)),
        parameters=parameters,
        scales=scales,
        z=z,
        candidates=tuple(FAMILIES[place] for place in kept),
        separable=enough and len(kept) == 1,
        n_rows=n_rows,
        fewest_rows=fewest_rows,
        n_entries=n_entries,
        n_zero=n_zero,
    )


def _log_densities(logs: Floats, parameters: Parameters, scales: Parameters) -> Floats:
    # Shape (4, ...). A family that collapsed is the Gaussian to the last bit, and z between them 0.
    log_scale = {name: float(np.log(scale)) for name, scale in scales.items()}
    beta, nu, alpha = (parameters[name] for name in FAMILIES[1:])
    gaussian = -np.exp(2 * (logs - log_scale["gaussian"])) / 2
    gaussian -= log_scale["gaussian"] + np.log(2 * np.pi) / 2
    student_t = gaussian if np.isinf(nu) else _student_t(logs, nu, log_scale["student_t"])
    law = SymmetricStable(alpha, scales["stable"])
    stable = gaussian if alpha == 2 else law.logpdf(np.exp(logs))
    generalised = _generalised_gaussian(logs, beta, log_scale["generalised_gaussian"])
    return np.stack([gaussian, generalised, student_t, stable])


def _vuong(differences: Floats) -> tuple[Floats, Floats, Floats]:
    # Sum, its error, and their ratio without its skewness (Hall, 1992).
    n_rows = differences.shape[-1]
    mean, deviation = differences.mean(axis=-1), differences.std(axis=-1, ddof=1)
    unit = np.where(deviation > 0, deviation, 1.0)  # families that coincide: z = 0
    skewness = (((differences - mean[..., None]) / unit[..., None]) ** 3).mean(axis=-1)
    t, root = mean / unit, np.sqrt(n_rows)
    z = root * (t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * n_rows))
    return n_rows * mean, root * deviation, z


def _generalised_gaussian(logs: Floats, beta: float, log_scale: float) -> Floats:
    constant = np.log(beta / 2) - special.gammaln(1 / beta) - log_scale
    return np.asarray(constant - np.exp(beta * (logs - log_scale)))


def _student_t(logs: Floats, nu: float, log_scale: float) -> Floats:
    constant = -special.betaln(0.5, nu / 2) - np.log(nu) / 2 - log_scale
    spread = np.logaddexp(0.0, 2 * (logs - log_scale) - np.log(nu))
    return np.asarray(constant - (nu + 1) / 2 * spread)


def _generalised_gaussian_log_scale(logs: Floats, share: Floats, beta: float) -> float:
    return float(special.logsumexp(beta * logs, b=share) + np.log(beta)) / beta


def _student_t_log_scale(logs: Floats, share: Floats, nu: float) -> float:
    # The score of the scale falls in it and changes sign between the extreme magnitudes.
    def score(log_scale: float) -> float:
        return float((nu + 1) * share @ special.expit(2 * (logs - log_scale) - np.log(nu)) - 1)

    return float(optimize.brentq(score, logs[0] - 1e-9, logs[-1] + 1e-9))


def _fit(values: Floats, logs: Floats) -> tuple[Parameters, Parameters]:
    # On bins of 1.6 %, each at its mean: the likelihood is right to second order in their width.
    place = np.rint((logs - logs.min()) * _BINS).astype(np.int64)
    counts = np.bincount(place)
    filled = counts > 0
    share = counts[filled] / len(logs)
    middle = np.bincount(place, logs)[filled] / counts[filled]

    def fitted(log_density: Density, log_scale: LogScale, lowest: float) -> tuple[float, float]:
        def cost(heaviness: float) -> float:
            scale = log_scale(middle, share, 1 / heaviness)
            return -float(share @ log_density(middle, 1 / heaviness, scale))

        found = optimize.minimize_scalar(cost, bounds=(lowest, 10), options={"xatol": 1e-7})
        shape = float(1 / found.x)
        return shape, float(np.exp(log_scale(middle, share, shape)))

    deviation = float(np.exp((special.logsumexp(2 * logs) - np.log(len(logs))) / 2))
    beta, beta_scale = fitted(_generalised_gaussian, _generalised_gaussian_log_scale, 0.05)
    nu, nu_scale = fitted(_student_t, _student_t_log_scale, 0)
    if nu > _HIGHEST_NU:
        nu, nu_scale = np.inf, deviation
    stable = maximum_likelihood(values.ravel())
    alpha = float(np.asarray(stable.alpha))
    sigma = deviation / np.sqrt(2) if alpha == 2 else float(np.asarray(stable.sigma))
    shapes = {"generalised_gaussian": beta, "student_t": nu, "stable": alpha}
    return shapes, dict(zip(FAMILIES, (deviation, beta_scale, nu_scale, sigma), strict=True))
