"""The view ``momentum`` by itself, on gradients of known law."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import noise_lens as nl
from noise_lens.capture.views import window_of
from noise_lens.capture.views.momentum import Momentum
from noise_lens.inference.moments import excess_kurtosis, log_scale
from noise_lens.theory import averaging

CPU = torch.device("cpu")


def momentum(beta, *shapes, dtype=torch.float32, **options):
    return Momentum(beta, [torch.Size(shape) for shape in shapes], CPU, dtype, **options)


def stable(alpha, n, generator):
    """Symmetric stable, sigma 1, by Chambers, Mallows & Stuck (1976)."""
    if alpha == 2:
        return torch.randn(n, generator=generator).mul_(math.sqrt(2))
    # The distance of the angle from pi / 2, never 0: its cosine keeps all digits there.
    edge = torch.rand(n, generator=generator).add_(2**-25).mul_(math.pi / 2)
    wait = torch.empty(n).exponential_(generator=generator)
    angle = math.pi / 2 - edge
    tilt = torch.cos((1 - alpha) * angle).div_(wait).pow_((1 - alpha) / alpha)
    found = torch.sin(alpha * angle).div_(torch.sin(edge).pow_(1 / alpha)).mul_(tilt)
    flips = torch.randint(2, (n,), generator=generator, dtype=torch.int8).mul_(2).sub_(1)
    return found.mul_(flips)


def one_vector(view, draw):
    """The first vector of a view, fed with gradients of one wide parameter."""
    for _ in range(view.window - 1):
        assert view.update([draw()]) is None
    (vector,) = view.update([draw()])
    return vector


# The false-alarm rate of a bound of z standard errors is given with each; seeds are fixed.


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8, 2.0])
@pytest.mark.parametrize("beta", [0.5, 0.9, pytest.param(0.99, marks=pytest.mark.slow)])
def test_stable_noise_keeps_alpha_and_has_the_scale_of_the_closed_form(alpha, beta):
    """E log|X| = gamma (1/alpha - 1) + log sigma. Of 400,000 entries the mean has a standard
    error of 1.4 / sqrt(n) = 0.0022 at alpha = 1.2, so 1 % is 4.5 of them: 7e-6. The interval is
    that of a false alarm in 10,000.
    """
    n = 400_000
    generator = torch.Generator().manual_seed(int(100 * beta + 10 * alpha))
    view = momentum(beta, (n,))
    found = one_vector(view, lambda: stable(alpha, n, generator)).double().numpy()

    expected = averaging.stable_scale_ratio(alpha, beta, view.window)
    log_of_sigma = log_scale(found[:, None]) - np.euler_gamma * (1 / alpha - 1)
    assert math.exp(log_of_sigma) / expected == pytest.approx(1, abs=0.01)
    low, high = nl.characteristic_function(found[:100_000]).confidence_interval(0.9999)
    assert low <= alpha <= high


@pytest.mark.parametrize(("beta", "n"), [(0.5, 2_000_000), (0.9, 3_000_000)])
def test_laplace_noise_loses_the_excess_kurtosis_of_the_closed_form(beta, n):
    """Laplace has 3. The sample's has a standard error of about sqrt(24 / n), 1.3 times that for
    what is left of the tails at 0.9: 5 % of the ratio are 4.3 of them (2e-5) at 0.9, more at 0.5.
    """
    generator = torch.Generator().manual_seed(3)

    def laplace():
        place = torch.rand(n, generator=generator).mul_(2).sub_(1 - 2**-24)
        return torch.log1p(place.abs().neg_()).mul_(place.sign_())

    view = momentum(beta, (n,))
    found = excess_kurtosis(one_vector(view, laplace).double().numpy()[:, None])
    weights = averaging.ema_weights(beta, view.window)
    expected = (weights**4).sum() / (weights**2).sum() ** 2
    assert found / 3 / expected == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("beta", [0.3, 0.5, 0.9, 0.99])
def test_weights_are_those_of_the_bias_corrected_moment(beta):
    """Gradients that are unit vectors read the weights, the newest last."""
    window = window_of(beta)
    view = momentum(beta, (window,), dtype=torch.float64)
    for place in range(window):
        vector = view.update([torch.eye(window, dtype=torch.float64)[place]])
    weights = averaging.ema_weights(beta, window)
    assert vector[0].numpy()[::-1] == pytest.approx(weights, rel=1e-12)
    assert float(vector[0].sum()) == pytest.approx(1, rel=1e-12)


def test_a_vector_is_the_moment_of_adam_by_its_own_recursion():
    """m = beta m + (1 - beta) g from 0, over 1 - beta**W: Zhou et al. (2020), Sec. 3.2."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(22, 3, 4, generator=generator, dtype=torch.float64)
    view = momentum(0.9, (3, 4), dtype=torch.float64)
    moment = torch.zeros(3, 4, dtype=torch.float64)
    for row in rows:
        vector = view.update([row])
        moment = 0.9 * moment + 0.1 * row
    assert torch.allclose(vector[0], moment / (1 - 0.9**22), rtol=1e-12)


def test_windows_hold_nine_tenths_of_the_weight():
    """beta**W <= 0.1 < beta**(W - 1); 0.1 itself is 0.1, whatever floats make of it."""
    assert [window_of(beta) for beta in (0, 0.1, 0.5, 0.9, 0.99)] == [1, 1, 4, 22, 230]
    assert window_of(math.sqrt(0.1)) == 2
    for beta in np.linspace(0.01, 0.995, 60):
        window = window_of(beta)
        assert beta**window <= 0.1 * (1 + 1e-7) < beta ** (window - 1) * (1 + 1e-6)
    for bad in (-0.1, 1, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"beta must lie in \[0, 1\), got"):
            window_of(bad)


def test_windows_are_disjoint():
    """Another minibatch k changes the vector k // W alone, and windows begin at 0."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(19, 5, generator=generator)

    def vectors(rows):
        view = momentum(0.5, (5,))
        return [v[0] for v in (view.update([row]) for row in rows) if v is not None]

    before = vectors(rows)
    assert len(before) == 4  # 19 // 4; three minibatches are left over
    for k in range(len(rows)):
        changed = rows.clone()
        changed[k] += 1
        differ = [not torch.equal(a, b) for a, b in zip(before, vectors(changed), strict=True)]
        assert differ == [place == k // 4 for place in range(4)]


def test_without_decay_it_is_the_gradient_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        gradient = torch.randn(50, generator=generator).to(dtype)
        kept = torch.promote_types(dtype, torch.float32)
        assert torch.equal(momentum(0, (50,), dtype=kept).update([gradient])[0], gradient.to(kept))


def test_a_vector_is_not_written_to_again():
    """A pair waits for its second vector while that is made."""
    generator = torch.Generator().manual_seed(0)
    view, kept = momentum(0.5, (3,), (2,)), []
    for _ in range(20):
        vector = view.update([torch.randn(n, generator=generator) for n in (3, 2)])
        if vector is not None:
            kept.append((vector, [part.clone() for part in vector]))
    assert all(torch.equal(a, b) for own, copy in kept for a, b in zip(own, copy, strict=True))
    assert all(one[0].data_ptr() != two[0].data_ptr() for (one, _), (two, _) in pairwise(kept))


def test_gradients_are_left_alone_in_any_form():
    """None, bfloat16, other strides and no elements: read as they are, not written to."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(4, 6, generator=generator)
    given = [
        wide.t(), None, torch.ones(2, dtype=torch.bfloat16), torch.empty(0), torch.tensor(3.0),
    ]  # fmt: skip
    copies = [None if g is None else g.clone() for g in given]
    view = momentum(0.1, (6, 4), (3,), (2,), (0,), ())
    found = view.update(given)
    assert all(g is c or torch.equal(g, c) for g, c in zip(given, copies, strict=True))
    assert torch.equal(found[0], wide.t())
    assert torch.equal(found[1], torch.zeros(3))
    assert found[2].dtype == torch.float32
    assert float(found[4]) == 3


def test_a_parameter_without_a_gradient_now_and_then_counts_as_zero():
    view = momentum(0.5, (1,))
    for gradient in (torch.ones(1), None, None, torch.ones(1)):
        vector = view.update([gradient])
    newest_first = averaging.ema_weights(0.5, 4)
    assert float(vector[0]) == pytest.approx(newest_first[0] + newest_first[3])


def test_reset_forgets_the_open_window():
    rows = torch.arange(1.0, 9.0)[:, None]
    view, other = momentum(0.5, (1,)), momentum(0.5, (1,))
    for row in rows[:3]:
        assert view.update([row]) is None
    view.reset()
    for row in rows[4:]:
        one, two = view.update([row]), other.update([row])
    assert one is not None
    assert torch.equal(one[0], two[0])


def test_what_the_optimizer_makes_of_gradients_comes_before_the_average():
    class Scaled:
        n_bytes = 8

        def __call__(self, gradients):
            return [g * g.abs().sum() for g in gradients]

    view = momentum(0.5, (2,), transform=Scaled())
    assert view.state_bytes == 16
    assert not view.linear
    rows = torch.arange(8.0).view(4, 2)
    for row in rows:
        vector = view.update([row])
    weights = torch.from_numpy(averaging.ema_weights(0.5, 4).copy()).flip(0)
    expected = (weights[:, None] * rows * rows.sum(dim=1, keepdim=True)).sum(dim=0)
    assert torch.allclose(vector[0].double(), expected)
