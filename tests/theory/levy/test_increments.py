from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from noise_lens.stable import SymmetricStable
from noise_lens.theory.levy import increments, stable_increments

ALPHAS = (0.5, 0.8, 1.0, 1.2, 1.5, 1.8, 1.99, 2.0)
DTYPES = (torch.float32, torch.float64)


def drawn(alpha, size, seed, **options):
    generator = torch.Generator().manual_seed(seed)
    return stable_increments(alpha, size, generator=generator, **options)


def test_characteristic_functions_are_those_of_the_two_processes():
    """z-tests with the exact variance (1 + phi(2t))/2 - phi(t)^2: 192 at 5 sigma, 1e-4 in all."""
    frequencies = torch.tensor([[0.7, 0.0], [0.5, -0.5], [1.5, 0.2]], dtype=torch.float64)
    n = 1 << 16
    for seed, alpha in enumerate(ALPHAS):
        for jumps in ("independent", "isotropic"):
            for dtype in DTYPES:
                rows = drawn(alpha, (n, 2), seed, jumps=jumps, dtype=dtype, duration=0.6)
                assert rows.dtype == dtype
                assert rows.isfinite().all()
                for t in frequencies:
                    size = t.abs() if jumps == "independent" else t.norm()[None]
                    decay = 0.6 * float((size**alpha).sum())
                    phi, phi_twice = math.exp(-decay), math.exp(-decay * 2**alpha)
                    found = float((rows.double() @ t).cos().mean())
                    z = (found - phi) / math.sqrt(((1 + phi_twice) / 2 - phi**2) / n)
                    assert abs(z) < 5, (alpha, jumps, dtype, t)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.2, 1.8, 2.0])
def test_coordinates_and_projections_are_standard_stable(alpha, dtype):
    """Kolmogorov-Smirnov against the table of the law, and every isotropic projection too."""
    law = SymmetricStable(alpha)
    seed = round(100 * alpha)
    independent = drawn(alpha, (20_000, 3), seed, dtype=dtype).double()
    isotropic = drawn(alpha, (20_000, 3), seed, dtype=dtype, jumps="isotropic").double()
    direction = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
    for sample in (independent[:, 1], isotropic[:, 2], isotropic @ direction):
        assert stats.kstest(sample.numpy(), law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_far_tails_are_those_of_the_law_in_float32(alpha):
    """Exceedances down to a probability of 1e-5 are binomial."""
    n = 1 << 22
    sizes = drawn(alpha, (n, 1), 5, dtype=torch.float32).abs().double()
    for chance in (1e-2, 1e-3, 1e-4, 1e-5):
        x = chance ** (-1 / alpha)
        exceeded = int((sizes > x).sum())
        p = 2 * float(SymmetricStable(alpha).sf(x))
        assert abs(exceeded - n * p) < 5 * math.sqrt(n * p), chance


@pytest.mark.parametrize("alpha", [1.0, 1.0001, 1.3, 1.7, 1.9999])
def test_float32_keeps_every_digit_that_tails_need(alpha):
    """The same uniforms through the textbook formulas in long doubles, at the very ends too."""
    r = np.array([2.0**-33, 2.0**-30, 1e-6, 0.01, 0.2, 0.4, 0.4999, 0.499999])
    pole, exponential = (
        part.ravel() for part in np.meshgrid(np.r_[r, -r], [1e-7, 0.01, 1.0, 5.0, 22.0])
    )
    pole, exponential = pole.astype(np.float32), exponential.astype(np.float32)
    r, w = pole.astype(np.longdouble), exponential.astype(np.longdouble)
    pi = np.longdouble("3.14159265358979323846")
    v = np.sign(r) * pi * (0.5 - np.abs(r))
    cos_v = np.sin(pi * np.abs(r))
    one = np.sin(alpha * v) / cos_v ** (1 / np.longdouble(alpha))
    symmetric = one * (np.cos((1 - alpha) * v) / w) ** ((1 - np.longdouble(alpha)) / alpha)
    a = np.longdouble(alpha) / 2
    u = np.where(r > 0, pi * np.abs(r), pi * (1 - np.abs(r)))
    positive = np.sin(a * u) / cos_v ** (1 / a) * (np.sin((1 - a) * u) / w) ** ((1 - a) / a)

    inputs = torch.from_numpy(pole), torch.from_numpy(exponential)
    found = increments._symmetric(alpha, inputs[0].clone(), inputs[1].clone()).numpy()
    # Near V = 0 the angle has the absolute error of a float32, and so has the number.
    np.testing.assert_allclose(found, symmetric.astype(float), rtol=3e-5, atol=3e-6)
    found = increments._positive(alpha / 2, inputs[0].clone(), inputs[1].clone()).numpy()
    np.testing.assert_allclose(found, positive.astype(float), rtol=3e-5)


def test_large_jumps_lie_on_the_axes_or_everywhere():
    """Of two processes with the same coordinates, one jumps along axes and one in all directions.

    Isotropic: P(smaller / larger coordinate < r) is 4 atan(r) / pi.
    """
    shares = {}
    for jumps in ("independent", "isotropic"):
        rows = drawn(1.2, (200_000, 2), 1, jumps=jumps).abs()
        largest = rows[rows.norm(dim=1).topk(500).indices]
        shares[jumps] = float((largest.amin(1) / largest.amax(1) < 0.1).double().mean())
    expected = 4 * math.atan(0.1) / math.pi
    assert shares["independent"] > 0.98
    assert abs(shares["isotropic"] - expected) < 4.5 * math.sqrt(expected * (1 - expected) / 500)


@pytest.mark.parametrize("jumps", ["independent", "isotropic"])
@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.6, 2.0])
def test_over_a_duration_the_same_draws_are_wider(alpha, jumps):
    one = drawn(alpha, (50, 2), 3, jumps=jumps)
    longer = drawn(alpha, (50, 2), 3, jumps=jumps, duration=0.01)
    torch.testing.assert_close(longer, one * 0.01 ** (1 / alpha))


@pytest.mark.parametrize("alpha", [1.0, 1.5, 1.999])
def test_no_word_of_bits_makes_nan_or_infinity(alpha):
    """W = 0 of the word -2^31 gave a NaN once in 4e7 draws. Every pair of ends is a number."""
    ends = torch.tensor([0, 1, -1, 2**31 - 1, -(2**31), -(2**31) + 1], dtype=torch.int32)
    words = torch.cartesian_prod(ends, ends).unbind(-1)
    for small in (False, True):
        pole, exponential = increments._of_words(*words, small)
        assert (pole != 0).all()
        assert (exponential > 0).all()
        make = increments._positive if small else increments._symmetric
        assert make(alpha / 2 if small else alpha, pole, exponential).isfinite().all()


def test_float32_distances_from_the_pole_have_32_bits():
    """A uniform of 24 bits would cut tails at 1e-7: its small values are multiples of 2^-24."""
    bits = torch.randint(-(2**31), 2**31, (1 << 20,), generator=torch.Generator().manual_seed(0))
    pole, _ = increments._of_words(bits.int(), bits.int(), False)
    drawn_poles, _ = increments._raw(
        1 << 20, 1.5, False, torch.empty(0), torch.Generator().manual_seed(1)
    )
    for r in (pole, drawn_poles):
        near = r[r.abs() < 2**-9] * 2**24
        assert (near != near.round()).double().mean() > 0.9
        assert stats.kstest(r.double().numpy(), stats.uniform(-0.5, 1).cdf).pvalue > 1e-4
        assert len(near) == pytest.approx(2**12, rel=0.1)


def test_no_global_state_is_touched():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = drawn(1.5, (7, 2), 11)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, drawn(1.5, (7, 2), 11))
    assert not torch.equal(first, drawn(1.5, (7, 2), 12))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": 0.0}, r"\(0, 2\], got 0"),
        ({"alpha": 2.1}, r"\(0, 2\], got 2.1"),
        ({"alpha": math.nan}, r"\(0, 2\], got nan"),
        ({"duration": 0.0}, "duration must be positive and finite, got 0"),
        ({"duration": -1.0}, "got -1"),
        ({"jumps": "levy"}, "got 'levy'"),
        ({"dtype": torch.float16}, "asked for torch.float16"),
        ({"size": ()}, "an axis for the coordinates"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, said):
    options = {"alpha": 1.5, "size": (2, 1)} | options
    with pytest.raises(ValueError, match=said):
        stable_increments(options.pop("alpha"), options.pop("size"), **options)
