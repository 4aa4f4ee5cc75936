"""Streams against the estimators that see the whole sample; GPU twins at the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import noise_lens as nl
from noise_lens.capture.streaming import (
    StreamingCharacteristicFunction,
    StreamingLogHistogram,
    StreamingLogMoments,
)
from noise_lens.capture.streaming import stream as stream_module
from noise_lens.estimators.row_sums import WIDTH, N
from noise_lens.estimators.stable_fit import FREQUENCIES, deviations, fit_stable, fit_weights

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MAKERS = {
    "log-histogram": StreamingLogHistogram,
    "log-moments": StreamingLogMoments,
    "characteristic function": lambda device="cpu": StreamingCharacteristicFunction(
        0.8, device=device
    ),
}
every_stream = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def noise(rng, n, dtype=torch.float32, spread=1.0):
    """Stable 1.5 of unequal scales with some exact zeros."""
    x = nl.SymmetricStable(1.5).rvs(n, rng) * np.exp(spread * rng.standard_normal(n))
    x[rng.random(n) < 0.1] = 0
    return torch.from_numpy(x).to(dtype)


def estimated(stream):
    """What an estimator makes of the stream."""
    found = stream.compute()
    return nl.log_moments(found) if isinstance(found, nl.LogHistogram) else found


def elliptical(alpha, shape, rng):
    """Stable rows with one radius a row (sub-Gaussian), scale 1 a coordinate."""
    angle, wait = rng.uniform(0, np.pi, (shape[0], 1)), rng.exponential(size=(shape[0], 1))
    a = alpha / 2  # a positive stable variable after Kanter (1975)
    radius = np.sin(a * angle) / np.sin(angle) ** (1 / a)
    radius *= (np.sin((1 - a) * angle) / wait) ** ((1 - a) / a)
    return np.sqrt(2 * radius) * rng.standard_normal(shape)


# --- the log-histogram


def counted_by_numpy(x):
    """Counts by comparison with 32 edges an octave, no bits; and magnitudes of 2**128 or more."""
    magnitudes = np.abs(x.to(torch.float64).numpy())
    octaves = np.arange(-126, 128)[:, None]
    edges = np.ldexp(1 + np.arange(32) / 32, octaves).ravel()
    bins = 32 + np.searchsorted(edges, magnitudes, side="right") - 1
    small = (magnitudes > 0) & (magnitudes < edges[0])
    # 2**18 steps of a float32's smallest, 2**-149, make a bin
    steps = 0 if x.dtype == torch.float64 else np.floor(np.where(small, magnitudes, 0) * 2.0**131)
    bins = np.where(small, np.maximum(steps, 1), bins)
    beyond = np.isfinite(magnitudes) & (magnitudes >= 2.0**128)
    bins = np.where(np.isinf(magnitudes), 8160, np.where(np.isnan(magnitudes), 8176, bins))
    bins = np.where(magnitudes == 0, 0, bins).astype(np.int64)
    return np.bincount(bins[~beyond], minlength=8192), int(beyond.sum())


@pytest.mark.parametrize("dtype", FLOATS)
def test_counts_equal_numpy_in_every_type(dtype, rng):
    """200,000 magnitudes over 40 octaves and more, with zeros, subnormals, inf and NaN."""
    x = noise(rng, 200_000, spread=8.0, dtype=torch.float64)
    x[::1000] *= 1e-36
    x[1::1000] *= 1e36
    x[2:4], x[4] = math.inf, math.nan
    x = x.to(dtype)
    counts, beyond = counted_by_numpy(x)
    found = StreamingLogHistogram().update(x).compute()
    assert np.array_equal(found.counts[:8161], counts[:8161])
    assert found.n_beyond == beyond
    assert found.n_inf >= 2
    assert found.n_nan == counts[8161:].sum() == 1  # with more than one pattern of bits
    assert found.n_zero > 10_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_edge_is_closed_below(dtype):
    """An edge, and the number just below it, of all 8128 regular bins."""
    edges = torch.from_numpy(np.ldexp(1 + np.arange(32) / 32, np.arange(-126, 128)[:, None]))
    edges = edges.ravel().to(dtype)
    at = StreamingLogHistogram().update(edges).compute()
    below = torch.nextafter(edges, torch.zeros_like(edges))
    under = StreamingLogHistogram().update(below).compute()
    assert np.all(at.counts[32:8160] == 1)
    assert np.all(under.counts[32:8159] == 1)
    assert under.n_subnormal == 1
    assert under.counts.sum() == at.counts.sum() == len(edges)


@pytest.mark.parametrize(
    ("value", "dtype", "place"),
    [
        (0.0, torch.float32, 0),
        (-0.0, torch.float64, 0),
        (1e-45, torch.float32, 1),  # the smallest float32: its bits are below one bin
        (3e-40, torch.float32, 1),
        (-1.1e-38, torch.float32, 29),
        (1e-40, torch.bfloat16, 1),
        (1e-310, torch.float64, 1),
        (1e-39, torch.float64, 1),
        (2.0**-126, torch.float64, 32),
        (6e-8, torch.float16, 32 * (127 - 24)),  # the smallest float16, 2**-24
        (65504.0, torch.float16, 32 * (127 + 15) + 31),
        (1.0, torch.float64, 32 * 127),
        (math.inf, torch.float16, 8160),
        (-math.inf, torch.float32, 8160),
        (math.inf, torch.float64, 8160),
        (math.nan, torch.bfloat16, 8176),
        (math.nan, torch.float64, 8176),
    ],
)
def test_special_magnitudes_have_their_bins(value, dtype, place):
    found = StreamingLogHistogram().update(torch.full((3,), value, dtype=dtype)).compute()
    assert np.flatnonzero(found.counts).tolist() == [place]
    assert found.counts[place] == 3
    assert found.n_beyond == 0


def test_magnitudes_that_no_float32_holds_are_counted_apart():
    x = torch.tensor([2.0**128, -1e300, 2.0**128 * (1 - 2.0**-53)], dtype=torch.float64)
    found = StreamingLogHistogram().update(x).compute()
    assert found.n_beyond == 2
    assert found.counts[8159] == 1  # a cast to float32 would have made it inf
    with pytest.raises(nl.SamplesError, match=r"got 2 of 2\*\*128 or more"):
        nl.maximum_likelihood(found)


def test_zeros_are_told_from_subnormals_with_flush_denormal_on():
    """Floats compare equal to zero there; bits do not."""
    x = torch.tensor([0.0, 1e-45, 3e-40, 2e-39])
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush")
    try:
        found = StreamingLogHistogram().update(x).compute()
    finally:
        torch.set_flush_denormal(False)
    assert (found.n_zero, found.n_subnormal) == (1, 3)


def test_maximum_likelihood_of_the_stream_is_that_of_the_samples(rng):
    x = nl.SymmetricStable(1.6, 3e-5).rvs(30_000, rng).astype(np.float32)
    x[:500] = 0
    stream = StreamingLogHistogram()
    for part in torch.from_numpy(x).split(7_001):
        stream.update(part)
    found, expected = nl.maximum_likelihood(stream.compute()), nl.maximum_likelihood(x)
    assert found.alpha == pytest.approx(expected.alpha, rel=1e-12)
    assert found.sigma == pytest.approx(expected.sigma, rel=1e-12)
    assert (found.n, found.n_zero) == (expected.n, expected.n_zero) == (29_500, 500)


# --- what all streams have in common


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), n=st.integers(80, 400))
def test_any_cut_and_merge_equals_the_whole(data, seed, n):
    """Parts of any length, some empty, shared out over two streams; pieces of 64 elements."""
    x = noise(np.random.default_rng(seed), n, dtype=torch.float64)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=8)))
    sides = data.draw(st.lists(st.booleans(), min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "_CPU_CHUNK", 64)
        for make in MAKERS.values():
            whole, left, right = make().update(x), make(), make()
            for part, side in zip(torch.tensor_split(x, cuts), sides, strict=True):
                (left if side else right).update(part)
            merged = left.merge(right)
            if isinstance(merged, StreamingLogHistogram):
                assert torch.equal(merged.state, whole.state)
                continue
            scale = whole.state.abs().max()
            torch.testing.assert_close(merged.state, whole.state, rtol=1e-12, atol=1e-12 * scale)
            found, expected = merged.compute(), whole.compute()
            # The fit solves nearly collinear equations: it makes 1e-12 out of a rounding.
            reach = 1e-12 if isinstance(merged, StreamingLogMoments) else 1e-9
            assert found.alpha == pytest.approx(expected.alpha, rel=reach)
            assert found.sigma == pytest.approx(expected.sigma, rel=reach)
            assert found.standard_error == pytest.approx(expected.standard_error, rel=100 * reach)
            assert (found.n, found.n_zero) == (expected.n, expected.n_zero)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=6), seed=st.integers(0, 2**32 - 1))
def test_any_cut_of_rows_equals_the_whole(cuts, seed):
    """The same for rows of seven coordinates, each in a unit of its own, with a pilot."""
    rng = np.random.default_rng(seed)
    rows = noise(rng, 120 * 7, dtype=torch.float64).view(120, 7)
    scale = torch.from_numpy(np.exp(rng.standard_normal(7)))
    streams = [StreamingCharacteristicFunction(scale, n_pilot=50) for _ in range(3)]
    whole, left, right = streams
    whole.update(rows)
    for index, part in enumerate(torch.tensor_split(rows, sorted(cuts))):
        (left if index % 2 else right).update(part)
    found, expected = left.merge(right).compute(), whole.compute()
    torch.testing.assert_close(left.state, whole.state, rtol=1e-12, atol=0)
    assert found.alpha == pytest.approx(expected.alpha, rel=1e-9)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-7)


@every_stream
def test_layout_of_the_noise_does_not_matter(make, rng):
    """Transposed, strided, expanded and channels-last tensors of more than a piece of 65,536."""
    stream_of_rows = make is MAKERS["characteristic function"]
    x = noise(rng, 2 * 3 * 250 * 100)
    layouts = {
        "transposed": x.view(1500, 100).T,
        "strided": x[::2],
        "reversed stride": x.view(100, 1500)[:, ::3],
        "expanded": x[:40].expand(2500, 40),
    }
    if not stream_of_rows:
        layouts["channels last"] = x.view(2, 3, 250, 100).contiguous(
            memory_format=torch.channels_last
        )
        layouts["wide"] = x.view(2, -1)[:, :70_000]
        layouts["a number"] = x[7]
        layouts["empty"] = x[:0].view(0, 5)
    for name, view in layouts.items():
        one = make().update(view).state
        other = make().update(view.clone(memory_format=torch.contiguous_format)).state
        if not stream_of_rows:
            other = make().update(view.flatten()).state
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-9, msg=name)


def test_pieces_are_bounded_and_cover_everything():
    """No piece beyond 65,536 elements, none of a contiguous tensor copied."""
    x = torch.arange(300_000.0)
    views = [x, x.view(3, -1).T, x.view(-1, 3).T, x.view(3, -1)[:, ::2], x.view(2, 3, 5, -1).mT]
    for view in views:
        pieces = list(stream_module.pieces(view))
        assert max(len(piece) for piece in pieces) <= 65_536
        assert len(pieces) <= 2 * len(view.reshape(-1)) // 65_536 + 4
        assert torch.equal(torch.cat(pieces).sort().values, view.reshape(-1).sort().values)
    first = next(stream_module.pieces(x))
    assert first.data_ptr() == x.data_ptr()


@every_stream
@pytest.mark.parametrize("dtype", FLOATS)
def test_input_is_left_alone(make, dtype, rng):
    x = noise(rng, 500, dtype=dtype).requires_grad_()
    before = x.detach().clone()
    stream = make().update(x).update(x.detach())
    assert torch.equal(x.detach(), before)
    assert not stream.state.requires_grad


@every_stream
def test_short_types_are_widened_not_rounded(make, rng):
    """float16 and bfloat16 give what their exact float64 values give."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        x = noise(rng, 3_000, dtype=dtype)
        short, exact = make().update(x), make().update(x.double())
        torch.testing.assert_close(short.state, exact.state, rtol=1e-13, atol=0)


@every_stream
def test_reset_forgets_everything(make, rng):
    x, other = noise(rng, 500), noise(rng, 300)
    stream = make().update(other)
    assert stream.reset() is stream
    assert torch.equal(stream.update(x).state, make().update(x).state)


@every_stream
def test_merge_onto_itself_counts_everything_twice(make, rng):
    x = noise(rng, 500, dtype=torch.float64)
    found = make().update(x)
    found.merge(found)
    twice = make().update(x).update(x)
    torch.testing.assert_close(found.state, twice.state, rtol=1e-12, atol=0)


@every_stream
def test_merge_leaves_the_other_alone_and_empty_streams_add_nothing(make, rng):
    left, right = make().update(noise(rng, 500)), make().update(noise(rng, 100))
    before, kept = left.state.clone(), right.state.clone()
    left.merge(make())
    assert torch.equal(left.state, before)
    assert torch.equal(make().merge(right).state, kept)
    left.merge(right)
    assert torch.equal(right.state, kept)
    right.update(noise(rng, 100))
    assert not torch.equal(left.state, before)


@every_stream
def test_memory_is_constant_over_a_thousand_updates(make, rng):
    stream, x = make(), noise(rng, 100)
    place, size = stream.state.data_ptr(), stream.state.numel()
    attributes = set(vars(stream))
    for _ in range(1_000):
        stream.update(x)
    assert (stream.state.data_ptr(), stream.state.numel()) == (place, size)
    assert set(vars(stream)) == attributes


@every_stream
def test_update_never_looks_at_the_host(make):
    """A meta tensor has no values: reading one, or a size that depends on them, would raise."""
    for dtype in FLOATS:
        stream = make(device="meta").update(torch.empty(200, dtype=dtype, device="meta"))
        stream.update(torch.empty(3_000_000, dtype=dtype, device="meta")[::2])
        assert stream.state.device.type == "meta"
    with pytest.raises(RuntimeError):
        torch.empty(2, device="meta").sum().item()


@every_stream
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_overflow_surfaces(make, bad, rng):
    """One bad number among 200,000, in an early part or a merged one, is not lost."""
    x = noise(rng, 1_000)
    spoilt = x.clone()
    spoilt[17] = bad
    rest = noise(rng, 199_000)
    for stream in (
        make().update(spoilt).update(rest),
        make().update(rest).merge(make().update(spoilt)),
    ):
        with pytest.raises(nl.SamplesError, match=r"needs finite samples, got .*NaN") as caught:
            estimated(stream)
        assert "Find the step that overflowed" in str(caught.value)
        stream.reset().update(x).compute()


@every_stream
def test_too_few_samples(make):
    x = torch.linspace(1, 2, 30)
    x[19:] = 0
    with pytest.raises(nl.NotEnoughDataError, match="at least 20 non-zero samples, got 19"):
        estimated(make().update(x))


@every_stream
def test_wrong_noise_is_refused(make):
    name = type(make()).__name__
    with pytest.raises(ValueError, match=f"{name} takes float16.*got torch.int64. Convert"):
        make().update(torch.arange(5))
    with pytest.raises(ValueError, match=r"state on cpu, got noise on meta.*device=.meta"):
        make().update(torch.empty(5, device="meta"))
    other = StreamingLogMoments() if name != "StreamingLogMoments" else StreamingLogHistogram()
    with pytest.raises(TypeError, match=f"{name} merges with its own kind, got Streaming"):
        make().merge(other)


# --- log-moments


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_moments_of_the_stream_are_those_of_the_whole(dtype, rng):
    """150,000 samples, far from 1 in unit: three chunks, each with a mean of its own."""
    x = noise(rng, 150_000, dtype=dtype) * 1e-9
    found, expected = StreamingLogMoments().update(x).compute(), nl.log_moments(x.numpy())
    assert found.alpha == pytest.approx(expected.alpha, rel=1e-12)
    assert found.sigma == pytest.approx(expected.sigma, rel=1e-12)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-12)
    assert (found.n, found.n_zero) == (expected.n, expected.n_zero)


def test_one_magnitude_has_no_tail():
    signs = torch.where(torch.arange(70_000) % 3 == 0, 0.3, -0.3)
    with pytest.raises(nl.SamplesError, match="got one magnitude 70000 times"):
        StreamingLogMoments().update(signs).update(signs[:0]).compute()


# --- the characteristic function


@pytest.mark.parametrize("alpha", [0.8, 1.5, 1.9])
def test_characteristic_function_of_the_stream_is_that_of_the_whole(alpha, rng):
    x = nl.SymmetricStable(alpha, 1e-4).rvs(100_000, rng)
    x[:3_000] = 0
    expected = nl.characteristic_function(x)
    scale = float(np.median(np.abs(x[x != 0])))
    found = StreamingCharacteristicFunction(scale).update(torch.from_numpy(x)).compute()
    assert found.alpha == pytest.approx(expected.alpha, abs=1e-9)
    assert found.sigma == pytest.approx(expected.sigma, rel=1e-9)
    assert (found.n, found.n_zero) == (97_000, 3_000)
    # The sample's covariance of the cosines in place of the law's, at a relative error of some
    # percent.
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.1)


def test_units_of_coordinates_are_divided_out(rng):
    """Scales over seven orders of magnitude; sigma is that of the law in those units."""
    scale = np.exp(4 * rng.standard_normal(20))
    rows = nl.SymmetricStable(1.4, 1.3).rvs((4_000, 20), rng)
    with_scales = StreamingCharacteristicFunction(torch.from_numpy(scale))
    found = with_scales.update(torch.from_numpy(rows * scale)).compute()
    one_unit = StreamingCharacteristicFunction(1.0).update(torch.from_numpy(rows)).compute()
    assert found.alpha == pytest.approx(one_unit.alpha, rel=1e-9)
    assert found.sigma == pytest.approx(one_unit.sigma, rel=1e-9)
    assert found.sigma == pytest.approx(1.3, rel=0.02)


def test_rows_wider_than_a_chunk(rng):
    """30 rows of 150,000: each row is one row, however many pieces it takes."""
    rows = torch.from_numpy(rng.standard_cauchy((30, 150_000)).astype(np.float32))
    scale = torch.linspace(0.5, 2.0, 150_000)
    stream = StreamingCharacteristicFunction(scale).update(rows * scale)
    assert stream.state[0, 0] == 30
    assert stream.state[0, N] == rows.numel()
    found = stream.compute()
    assert abs(found.alpha - 1) < 4 * found.standard_error


def test_weights_are_the_derivative_of_the_fit():
    """Against central differences of `fit_stable` at three laws and a blurred one."""
    for alpha in (0.8, 1.5, 1.9):
        defect = -np.expm1(-((1.1 * FREQUENCIES) ** alpha))
        steps = np.diag(1e-6 * defect)
        up, down = fit_stable(defect[:, None] + steps)[0], fit_stable(defect[:, None] - steps)[0]
        slopes = (up - down) / (2e-6 * defect)
        assert fit_weights(alpha, np.log(1.1)) == pytest.approx(slopes, rel=1e-5, abs=1e-5)


def test_error_by_rows_with_unequal_counts_equals_the_residuals(rng):
    """Rows with 0 to 12 non-zeros: the error is that of a ratio of sums, written out row by row."""
    rows = elliptical(1.5, (200, 12), rng)
    rows[rng.random((200, 12)) < rng.random((200, 1)) ** 2] = 0
    rows[5:9] = 0
    found = StreamingCharacteristicFunction(1.0).update(torch.from_numpy(rows)).compute()

    defects = (1 - np.cos(rows[:, :, None] * FREQUENCIES)).sum(axis=1)
    counts = np.count_nonzero(rows, axis=1)
    ratio = defects.sum(axis=0) / counts.sum()
    apart = defects - counts[:, None] * ratio
    used = np.count_nonzero(counts)
    weights = fit_weights(found.alpha, float(np.log(found.sigma)))
    variance = np.sum((apart @ weights) ** 2) * used / (used - 1) / counts.sum() ** 2
    assert used < 200
    assert found.standard_error == pytest.approx(np.sqrt(variance), rel=1e-9)
    assert (found.n, found.n_zero) == (counts.sum(), rows.size - counts.sum())
    assert found.degrees_of_freedom == used - 1


@pytest.mark.parametrize("alpha", [1.2, 1.8])
def test_error_bar_is_right_under_a_common_radius_and_zeros(alpha, rng):
    """z-scores of 400 streams of 800 elliptical rows: mean 0, spread 1; false alarm 1e-3 each.

    A bias of order 1/rows and the error of the error widen both bounds by 0.1.
    """
    scores = []
    for _ in range(400):
        rows = elliptical(alpha, (800, 5), rng)
        rows[rng.random(rows.shape) < 0.5 * rng.random((800, 1))] = 0
        found = StreamingCharacteristicFunction(1.0).update(torch.from_numpy(rows)).compute()
        scores.append((found.alpha - alpha) / found.standard_error)
    assert abs(np.mean(scores)) < 0.165 + 0.1
    assert abs(np.std(scores) - 1) < 0.116 + 0.1


def test_a_common_radius_makes_the_error_several_times_wider(rng):
    """100 coordinates a row: the error for independent entries is 4 times too small and more."""
    rows = torch.from_numpy(elliptical(1.5, (1_000, 100), rng))
    found = StreamingCharacteristicFunction(torch.ones(100)).update(rows).compute()
    independent = np.interp(found.alpha, *deviations()) / np.sqrt(found.n)
    assert 4 < found.standard_error / independent < 10
    shuffled = rows.view(-1)[torch.from_numpy(rng.permutation(rows.numel()))].view(1_000, 100)
    apart = StreamingCharacteristicFunction(torch.ones(100)).update(shuffled).compute()
    assert apart.standard_error / independent == pytest.approx(1, abs=0.2)


def pilot_replications(alpha, repeats, n_coordinates, n_pilot, n_rows, rng):
    """Estimate, error, cover and uncorrected estimate of streams that follow a pilot."""
    found = []
    for _ in range(repeats):
        scale = np.exp(rng.standard_normal(n_coordinates))
        rows = nl.SymmetricStable(alpha).rvs((n_pilot + n_rows, n_coordinates), rng) * scale
        units = torch.from_numpy(np.exp(np.log(np.abs(rows[:n_pilot])).mean(axis=0)))
        stream = StreamingCharacteristicFunction(units, n_pilot=n_pilot)
        plain = StreamingCharacteristicFunction(units)
        plain.state.copy_(stream.update(torch.from_numpy(rows[n_pilot:])).state)
        estimate = stream.compute()
        low, high = estimate.confidence_interval()
        found.append(
            (estimate.alpha, estimate.standard_error, low <= alpha <= high, plain.compute().alpha)
        )
    return np.array(found).T


def test_errors_of_the_pilot_are_taken_out(rng):
    """Stable 1.5, 100 coordinates, 100 pilot rows, 1000 rows, 40 replications.

    Without the correction the bias is near the -0.013 of the study (4 standard errors of the
    mean: false alarm 3e-4), with it none is seen (the same), and the interval covers at least 34
    of 40 times (false alarm 3e-3).
    """
    alpha, error, covered, uncorrected = pilot_replications(1.5, 40, 100, 100, 1_000, rng)
    reach = 4 * alpha.std(ddof=1) / np.sqrt(40)
    assert uncorrected.mean() - 1.5 == pytest.approx(-0.013, abs=reach)
    assert uncorrected.mean() - 1.5 < -reach
    assert abs(alpha.mean() - 1.5) < reach
    assert covered.mean() >= 0.85
    # sd of a standard deviation from 40: 11 %
    assert error.mean() == pytest.approx(alpha.std(ddof=1), rel=0.4)


def test_few_units_make_the_error_wider_and_one_does_no_harm(rng):
    """Four units from 30 rows: without their own term the error would be half the spread.

    100 replications: the spread is known to 7 %, false alarm at 25 % 4e-4. One unit errs for all
    entries alike, which is a scale: nothing is corrected.
    """
    alpha, error, covered, uncorrected = pilot_replications(1.5, 100, 4, 30, 2_000, rng)
    assert error.mean() == pytest.approx(alpha.std(ddof=1), rel=0.25)
    assert covered.mean() >= 0.85
    assert abs(alpha.mean() - 1.5) < 4 * alpha.std(ddof=1) / 10
    assert uncorrected.mean() - 1.5 < -0.015
    alpha, _, _, uncorrected = pilot_replications(1.5, 3, 1, 30, 2_000, rng)
    assert alpha == pytest.approx(uncorrected, rel=1e-12)


def test_blurred_law_is_sharpened_exactly():
    """With the blurred law's own defects in place of a sample's, alpha comes back.

    The blur is integrated by 61 nodes here, by 7 there.
    """
    nodes, weights = special.roots_hermitenorm(61)
    for alpha in (1.2, 1.5, 1.8):
        width = np.sqrt(np.pi**2 / 6 * (1 / alpha**2 + 0.5) * (1 - 1 / 50) / 30)
        exponent = (1.1 * FREQUENCIES) ** alpha
        blurred = -np.expm1(-exponent[:, None] * np.exp(alpha * width * nodes))
        stream = StreamingCharacteristicFunction(torch.ones(50), n_pilot=30)
        # Rows alike but for their counts would be refused: half have a tenth more.
        for share in (0.9, 1.1):
            kept = np.zeros(WIDTH)
            kept[:3], kept[4:] = (1, 1, 50), share * 50 * blurred @ weights / weights.sum()
            stream.state += 500 * torch.from_numpy(np.outer(kept, kept))
        found = stream.compute()
        assert found.alpha == pytest.approx(alpha, abs=2e-4)
        assert found.sigma == pytest.approx(1.1, abs=2e-3)


def test_close_to_two_the_error_is_what_rows_can_tell(rng):
    """Gaussian rows: alpha is cut at 2, and the interval reaches down from it."""
    rows = torch.from_numpy(rng.standard_normal((1_000, 30)))
    found = StreamingCharacteristicFunction(0.7).update(rows).compute()
    low, high = found.confidence_interval()
    assert found.alpha <= 2
    assert high == 2
    assert found.standard_error > 0.005
    assert 1.9 < low < 1.99
    assert found.sigma == pytest.approx(2**-0.5, rel=0.02)


def test_heavier_than_the_fit_reaches_down_to_nothing(rng):
    """Magnitudes over hundreds of octaves: alpha stops at 0.1, its interval does not."""
    rows = torch.from_numpy(np.exp(80 * rng.standard_normal((500, 4))))
    found = StreamingCharacteristicFunction(1.0).update(rows).compute()
    assert found.alpha == pytest.approx(0.1)
    assert found.standard_error == pytest.approx(0.1)
    assert found.confidence_interval().low == 0


def test_interval_is_that_of_student():
    """20 rows that vary: the half width is t(19) errors."""
    rows = torch.tan(torch.pi * ((torch.arange(600) * 0.618034 + 0.1) % 1 - 0.5)).view(20, 30)
    found = StreamingCharacteristicFunction(1.0).update(rows).compute()
    low, high = found.confidence_interval()
    assert high - low == pytest.approx(2 * stats.t(19).ppf(0.975) * found.standard_error)


def test_settings_of_the_characteristic_function_are_checked():
    make = StreamingCharacteristicFunction
    with pytest.raises(ValueError, match=r"got 2 of 3 that are not. Leave out coordinates"):
        make(torch.tensor([1.0, 0.0, math.nan]))
    with pytest.raises(ValueError, match="got 1 of 1"):
        make(math.inf)
    with pytest.raises(ValueError, match=r"number or have shape \(d,\), got shape \(2, 2\)"):
        make(torch.ones(2, 2))
    with pytest.raises(ValueError, match="n_pilot must be at least 1, got 0"):
        make(1.0, n_pilot=0)
    with pytest.raises(ValueError, match=r"shape \(m, 3\), got \(4, 2\)"):
        make(torch.ones(3)).update(torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"shape \(m, 3\), got \(3,\)"):
        make(torch.ones(3)).update(torch.ones(3))
    with pytest.raises(ValueError, match=r"shape \(m,\) or \(m, d\), got \(1, 2, 3\)"):
        make(1.0).update(torch.ones(1, 2, 3))
    for other in (make(torch.ones(3)), make(2.0), make(1.0, n_pilot=10), make(torch.ones(1))):
        with pytest.raises(ValueError, match="same scale and n_pilot"):
            make(1.0).merge(other)


def test_rows_that_are_all_alike_have_no_error(rng):
    """The same minibatch again and again would give a standard error of 0."""
    row = torch.from_numpy(rng.standard_cauchy(50))
    with pytest.raises(nl.SamplesError, match="needs rows that vary, got 40 alike"):
        StreamingCharacteristicFunction(1.0).update(row.expand(40, 50)).compute()


# --- on a GPU


@pytest.mark.gpu
@every_stream
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_gpu_counts_the_same_and_never_waits(make, dtype, rng):
    """Three updates of 1.5 million with host waits forbidden; the state of the CPU to 1e-12."""
    x = noise(rng, 1_500_000, dtype=dtype)
    x[5], x[6] = 1e-7, 3e4
    there, here = x.cuda(), make().update(x).update(x[::2]).update(x[:10])
    stream = make(device="cuda").update(there[:100]).reset()  # libraries load on first use
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        stream.update(there).update(there[::2]).update(there[:10])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(stream.state.cpu(), here.state, rtol=1e-12, atol=0)


@pytest.mark.gpu
def test_rows_with_scales_on_a_gpu(rng):
    rows, scale = noise(rng, 500 * 300).view(500, 300), torch.linspace(0.5, 2, 300)
    here = StreamingCharacteristicFunction(scale, n_pilot=50).update(rows)
    there = StreamingCharacteristicFunction(scale, n_pilot=50, device="cuda")
    far = rows.cuda()
    there.update(far[:3]).reset()
    torch.cuda.set_sync_debug_mode("error")
    try:
        there.update(far)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(there.state.cpu(), here.state, rtol=1e-12, atol=0)
    assert there.compute().alpha == pytest.approx(here.compute().alpha, rel=1e-10)
    here.merge(there)
    assert here.compute().n == 2 * there.compute().n


@pytest.mark.gpu
@every_stream
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_overflow_surfaces_on_a_gpu(make, bad, rng):
    x = noise(rng, 1_000).cuda()
    x[17] = bad
    found = make(device="cuda").update(x)
    with pytest.raises(nl.SamplesError, match="needs finite samples"):
        estimated(found)
