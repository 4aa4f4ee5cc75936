"""Log density and survival of the standard stable law on a grid, to the last digit of a double.

    python benchmarks/density_reference.py

Writes tests/stable/density_reference.json, and uses nothing of noise_lens. The law has
E e^{itX} = e^{-|t|^alpha}. Two series with a proven error bound give the values; Zolotarev's
integral, by quadrature, must agree on every 7th point (`--every 1`: on all of them, eight minutes).
About two minutes; needs mpmath, which sympy brings.
"""

import argparse
import functools
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from mpmath import mp, mpf

# fmt: off
ALPHAS = [
    0.4, 0.45, 0.5, 0.5371, 0.6, 0.6632, 0.7, 0.7713, 0.8, 0.8497, 0.9, 0.9361, 0.99, 1.0, 1.0123,
    1.1, 1.1777, 1.3, 1.4142, 1.5, 1.6180, 1.7, 1.8, 1.8551, 1.9, 1.9333, 1.95, 1.975, 1.99, 1.995,
    1.999, 1.9999, 2.0,
]
XS = [
    0.0, 1e-8, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.0707, 0.1, 0.2, 0.3, 0.4321, 0.5, 0.7, 0.9, 1.0,
    1.2345, 1.5, 2.0, 2.5, 3.0, 3.7, 4.5, 5.0, 5.5, 6.0, 6.6, 7.3, 8.0, 9.0, 10.0, 12.5, 15.0, 20.0,
    25.0, 33.3, 50.0, 75.0, 100.0, 200.0, 500.0, 1000.0, 3000.0, 10000.0, 1e6,
]
# fmt: on
WANTED = mpf(10) ** -25  # relative error of a series
AGREED = mpf(10) ** -15  # relative difference between the two methods
TARGET = Path(__file__).parents[1] / "tests" / "stable" / "density_reference.json"
ABOUT = (
    "Written by benchmarks/density_reference.py. Standard symmetric stable law, "
    "E e^{itX} = e^{-|t|^alpha}: log f(x) and P(X > x), rows alpha, columns x. alpha and x are "
    "exactly the doubles that these digits read as; values are rounded to the nearest double. "
    "At alpha = 2 the survival is below the range of a double from x = 75 on, and is 0."
)

Pair = tuple[mpf, mpf]  # density and survival
Terms = Callable[[float, mpf], Iterator[tuple[Pair, Pair]]]


# ---- First method: two series ----
# Bergstrom (1952); Zolotarev (1986), sections 2.4 and 2.5; Feller II, XVII.6. The series in powers
# of x converges for alpha > 1 and is asymptotic below. The one in powers of 1/x is the other way
# round. Either may be cut anywhere: the bounds below hold whether it converges or not. So try the
# asymptotic one first; where its bound is not small enough, sum the convergent one, with as many
# digits as the cancellation eats.


def power_terms(alpha: float, x: mpf) -> Iterator[tuple[Pair, Pair]]:
    """Terms of the series at 0, and bounds on the error of stopping before them."""
    # It integrates the Taylor series of cos(xt) and sin(xt)/t against e^{-t^alpha}. What is left
    # of those is never larger than the first term left out.
    for k in itertools.count():
        density = power_coefficient(alpha, k, mp.dps) * x ** (2 * k)
        survival = density * x / (2 * k + 1)
        sign = (-1) ** k
        yield (sign * density, -sign * survival), (density, survival)


def tail_terms(alpha: float, x: mpf) -> Iterator[tuple[Pair, Pair]]:
    """Terms of the series at infinity, and bounds on the error of stopping before them."""
    # It integrates the Taylor series of e^{-t^alpha} against e^{ixt} on a ray of angle theta.
    # Where alpha theta <= pi/2 the real part of t^alpha is >= 0, and what is left from term n on
    # is at most |t|^(n alpha) / n!. The largest such angle up to pi/2 gives the best bound.
    sine = mp.sin(mp.pi / 2 / max(1, mpf(alpha)))
    for k in itertools.count(1):
        power = k * mpf(alpha)
        size = tail_coefficient(alpha, k, mp.dps) * x**-power
        term = -((-1) ** k) * mp.sinpi(power / 2) * size
        bound = size / sine ** (power + 1)
        yield (term / x, term / power), (bound / x, bound / power)


@functools.cache
def power_coefficient(alpha: float, k: int, dps: int) -> mpf:
    del dps  # the key of the cache: a coefficient is as good as the precision it was made in
    return mp.gamma((2 * k + 1) / mpf(alpha)) / (mp.pi * alpha * mp.factorial(2 * k))


@functools.cache
def tail_coefficient(alpha: float, k: int, dps: int) -> mpf:
    del dps
    return mp.gamma(k * mpf(alpha) + 1) / (mp.pi * mp.factorial(k))


def by_series(alpha: float, x: float) -> Pair:
    at_zero, at_infinity = (power_terms, mpf(0.5)), (tail_terms, mpf(0))
    if x == 0:
        return summed(alpha, x, *at_zero, converges=True)
    convergent, asymptotic = (at_zero, at_infinity) if alpha > 1 else (at_infinity, at_zero)
    found = summed(alpha, x, *asymptotic, converges=False)
    return found or summed(alpha, x, *convergent, converges=True)


def summed(alpha: float, x: float, terms: Terms, start: mpf, *, converges: bool) -> Pair | None:
    """Density and survival to WANTED, or None where an asymptotic series cannot give that."""
    dps = 50
    while True:
        with mp.workdps(dps):
            density, survival, before = mpf(0), start, mp.inf
            tallest, tallest_survival = mpf(0), start
            for term, bound in terms(alpha, mpf(x)):
                if bound[0] <= WANTED * abs(density) and bound[1] <= WANTED * abs(survival):
                    break
                if not converges and bound[0] > before:
                    return None  # from here on the bounds only grow
                before = bound[0]
                density += term[0]
                survival += term[1]
                tallest = max(tallest, abs(term[0]))
                tallest_survival = max(tallest_survival, abs(term[1]))
            # Thousands of terms, each good to `dps` digits: what that leaves of the sum.
            rounding = max(tallest / abs(density), tallest_survival / abs(survival))
            if rounding * mpf(10) ** (5 - dps) <= WANTED:
                return density, survival
        dps *= 2


def by_closed_form(alpha: float, x: float) -> Pair:
    x = mpf(x)
    if alpha == 1:  # Cauchy
        return 1 / (mp.pi * (1 + x**2)), mp.atan2(1, x) / mp.pi
    return mp.exp(-(x**2) / 4) / (2 * mp.sqrt(mp.pi)), mp.erfc(x / 2) / 2  # Gauss, variance 2


# ---- Second method: Zolotarev's integral ----
# Zolotarev (1986), section 2.2; Nolan (1997), theorem 1, at beta = 0. Nothing cancels in it:
#
#     f(x) = alpha / (pi |alpha - 1| x) * integral of g e^{-g} over (0, pi/2),
#     P(X > x) = 1/pi * integral of e^{-g} (alpha > 1) or of 1 - e^{-g} (alpha < 1),
#     g(theta) = x^p (cos theta / sin alpha theta)^p cos((alpha - 1) theta) / cos theta,
#
# with p = alpha / (alpha - 1). It does not cover alpha = 1 and x = 0.


def by_quadrature(alpha: float, x: float) -> Pair:
    with mp.workdps(40):
        a, x = mpf(alpha), mpf(x)
        p = a / (a - 1)

        # theta = pi/2 / (1 + e^-w) sends both ends to infinity, where the integrand dies like
        # e^-|w|. `rest` is pi/2 - theta without the subtraction, and below the sines and cosines
        # that vanish at pi/2 (for alpha = 2, all) are written in it.
        def angles(w: mpf) -> Pair:
            return mp.pi / 2 / (1 + mp.exp(-w)), mp.pi / 2 / (1 + mp.exp(w))

        def log_g(w: mpf) -> mpf:
            theta, rest = angles(w)
            gap = (2 - a) * mp.pi / 2
            sine = mp.sin(a * theta if theta < rest else gap + a * rest)  # of alpha theta
            ratio = mp.sin(gap + (a - 1) * rest) / mp.sin(rest)  # of the two cosines
            return p * mp.log(x * mp.sin(rest) / sine) + mp.log(ratio)

        def both(w: mpf) -> mp.mpc:
            """The two integrands, as the parts of one complex number: they share g."""
            theta, rest = angles(w)
            log = log_g(w)
            g = mp.exp(log)
            left = mp.exp(-g) if log < 100 else mpf(0)
            return theta * rest * mp.mpc(g * left, left if a > 1 else -mp.expm1(-min(g, 1e9)))

        ends = pieces(log_g, abs(p))
        middles = [(low + high) / 2 for low, high in itertools.pairwise(ends)]
        samples = [both(w) for w in ends + middles]
        top = [max(part) for part in zip(*((s.real, s.imag) for s in samples), strict=True)]

        def scaled(w: mpf) -> mp.mpc:  # the error estimate of `quad` is absolute
            value = both(w)
            return mp.mpc(value.real / top[0], value.imag / top[1])

        total, error = mp.quad(scaled, ends, method="gauss-legendre", maxdegree=7, error=True)
        assert error < 1e-18 * min(total.real, total.imag), f"alpha={alpha}, x={x}: {error} off"
        jacobian = 2 / mp.pi  # d theta / dw = theta * rest * 2/pi
        density = total.real * top[0] * jacobian * a / (mp.pi * abs(a - 1) * x)
        return density, total.imag * top[1] * jacobian / mp.pi


def pieces(log_g: Callable[[mpf], mpf], steepness: mpf, reach: int = 112) -> list[mpf]:
    """Ends of the intervals to integrate over: fine where g passes 1, else 4 long.

    g is monotone and changes by a factor e over 1/p, which is short when alpha is near 1. The
    other length is that of the singularities: the nearest lie at a distance of pi.
    """
    ends = {mpf(w) for w in range(-reach, reach + 1, 4)}
    low, high = mpf(-reach), mpf(reach)
    falls = log_g(low) > 0
    if falls != (log_g(high) > 0):
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if (log_g(middle) > 0) == falls else (low, middle)
        steps = (0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64)
        fine = [low + sign * step / steepness for step in steps for sign in (-1, 1)]
        ends |= {w for w in fine if abs(w) < reach}
    return sorted(ends)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=7, help="check every so many points")
    every = parser.parse_args().every

    mp.dps = 50
    log_density, survival, worst, checked = [], [], mpf(0), 0
    for row, alpha in enumerate(ALPHAS):
        method = by_closed_form if alpha in {1, 2} else by_series
        values = [method(alpha, x) for x in XS]
        log_density.append([float(mp.log(f)) for f, _ in values])
        survival.append([float(s) for _, s in values])
        worst_here = mpf(0)
        for column, (x, value) in enumerate(zip(XS, values, strict=True)):
            if (row * len(XS) + column) % every or x == 0 or alpha == 1:
                continue
            other = by_quadrature(alpha, x)
            apart = max(abs(b / a - 1) for a, b in zip(value, other, strict=True))
            assert apart < AGREED, f"alpha={alpha}, x={x}: {value} by series, {other} by quadrature"
            worst_here = max(worst_here, apart)
            checked += 1
        worst = max(worst, worst_here)
        print(f"alpha {alpha:<7} largest difference {mp.nstr(worst_here, 2)}", flush=True)

    entries = {"about": ABOUT, "alpha": ALPHAS, "x": XS}
    lines = [f'  "{name}": {json.dumps(entry)}' for name, entry in entries.items()]
    for name, table in (("log_density", log_density), ("survival", survival)):
        rows = ",\n    ".join(json.dumps(row) for row in table)
        lines.append(f'  "{name}": [\n    {rows}\n  ]')
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{checked} of {len(ALPHAS) * len(XS)} points checked, largest {mp.nstr(worst, 2)}")


if __name__ == "__main__":
    main()
