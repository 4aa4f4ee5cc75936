from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from noise_lens import NotEnoughDataError, SamplesError
from noise_lens.capture import probe
from noise_lens.inference.jackknife import group_labels
from noise_lens.inference.noise_scale import noise_scale
from noise_lens.tasks import load_task, minibatches_of

REFERENCES = ["full", "pair", "mean"]


def rows_of(gradients, reference, truth):
    """What a probe keeps of minibatch gradients, shape (M, d)."""
    squares, rows = (gradients**2).sum(axis=1), gradients
    if reference == "pair":
        noise, rows = gradients[::2] - gradients[1::2], gradients[::2] + gradients[1::2]
        squares = squares[::2] + squares[1::2]
    else:
        centre = truth if reference == "full" else gradients.mean(axis=0)
        noise = gradients - centre
    labels = group_labels(len(rows))
    sums = np.stack([rows[labels == block].sum(axis=0) for block in range(labels[-1] + 1)])
    return {
        "norms": np.linalg.norm(noise, axis=1),
        "gradient_squares": squares,
        "block_squares": (sums**2).sum(axis=1),
        "reference_square": float(truth @ truth),
        "reference": reference,
    }


def regression_gradients(rng, n_minibatches, batch_size, offset, noise=1.0):
    """Half squared error on Gaussian inputs, `offset` away from the true weights: G = offset."""
    inputs = rng.standard_normal((n_minibatches, batch_size, len(offset)))
    residuals = inputs @ offset + noise * rng.standard_normal((n_minibatches, batch_size))
    return (inputs * residuals[..., None]).mean(axis=1)


def regression_trace(offset, noise=1.0):
    """E|x (x'w + e)|^2 - |w|^2 = (d + 2) |w|^2 + d noise^2 - |w|^2, by Isserlis' theorem."""
    return (len(offset) + 1) * offset @ offset + len(offset) * noise**2


def test_pairs_by_hand():
    """Gradients (2, 1) and (2, -1) ten times two rows: noise (0, 2), inner product 3. A block of
    four has the sum (8, 0); 64 - 20 = 44 over 12 ordered pairs. B = 8 / 2 * 4 / (11 / 3).
    """
    found = noise_scale(
        [2.0] * 40, [10.0] * 40, block_squares=[64.0] * 20, reference="pair", batch_size=8
    )
    assert found.trace == 16
    assert found.gradient_square == pytest.approx(11 / 3)
    assert (found.low, found.value, found.high) == pytest.approx((48 / 11,) * 3)
    assert (found.n_rows, found.confidence_level, found.reason) == (40, 0.95, None)


@pytest.mark.parametrize("replacement", [True, False])
def test_all_minibatches_of_a_small_data_set_give_its_covariance(replacement, rng):
    """6 examples, every minibatch of 3 there is: the trace is that of the data set, exactly."""
    examples = rng.standard_normal((6, 4)) + 1
    truth = examples.mean(axis=0)
    trace = ((examples - truth) ** 2).sum(axis=1).mean()
    drawn = (
        itertools.product(range(6), repeat=3)
        if replacement
        else itertools.combinations(range(6), 3)
    )
    gradients = np.stack([examples[list(chosen)].mean(axis=0) for chosen in drawn])
    found = noise_scale(
        **rows_of(gradients, "full", truth),
        batch_size=3,
        without_replacement_from=None if replacement else 6,
    )
    assert found.trace == pytest.approx(trace)
    assert found.value == pytest.approx(trace / (truth @ truth))


@pytest.mark.parametrize(("reference", "n", "n_epochs"), [("pair", 12, 20), ("mean", 40, 1)])
def test_epochs_of_a_small_data_set_are_corrected(reference, n, n_epochs, rng):
    """Minibatches of 2 in random order, no jackknife group across epochs: trace and |G|^2 are
    those of the data set on average over 400 runs, z below 3.3 (false alarm 4e-3); left
    uncorrected both are off by the closed form, which is more than 4 errors of the trace.
    """
    examples = rng.standard_normal((n, 4)) + 0.5
    truth = examples.mean(axis=0)
    trace = ((examples - truth) ** 2).sum(axis=1).mean()
    found, uncorrected = [], []
    for _ in range(400):
        order = np.concatenate([rng.permutation(n) for _ in range(n_epochs)])
        gradients = examples[order].reshape(-1, 2, 4).mean(axis=1)
        rows = rows_of(gradients, reference, truth)
        for without, kept in ((n, found), (None, uncorrected)):
            one = noise_scale(**rows, batch_size=2, without_replacement_from=without)
            kept.append((one.trace, one.gradient_square))
    errors = np.mean(found, axis=0) - [trace, truth @ truth]
    assert np.all(np.abs(errors) < 3.3 * np.std(found, axis=0) / 20)
    errors = np.mean(uncorrected, axis=0) - [trace * n / (n - 1), truth @ truth - trace / (n - 1)]
    assert np.all(np.abs(errors) < 3.3 * np.std(uncorrected, axis=0) / 20)
    assert trace / (n - 1) > 4 * np.std(found, axis=0)[0] / 20


@pytest.mark.parametrize("reference", REFERENCES)
def test_interval_covers_the_closed_form(reference):
    """Linear regression, B = 31, 400 minibatches of 8: 1000 intervals of 95 % cover it 950
    times, give or take (two-sided binomial test, false alarm 1e-3).
    """
    offset = np.full(10, np.sqrt(0.05))
    truth = regression_trace(offset) / (offset @ offset)
    assert truth == pytest.approx(31)
    hits = 0
    for seed in range(1000):
        gradients = regression_gradients(np.random.default_rng([1, seed]), 400, 8, offset)
        found = noise_scale(**rows_of(gradients, reference, offset), batch_size=8)
        hits += found.low <= truth <= found.high
    assert stats.binomtest(hits, 1000, 0.95).pvalue > 1e-3


@pytest.mark.parametrize("reference", ["pair", "mean"])
def test_a_gradient_of_zero_has_no_upper_end(reference):
    """At the minimum the noise scale is infinite: at most 2.5 % of 1000 probes give it an upper
    end (false alarm 1e-3); the others withhold the value and keep a lower end above 0.
    """
    offset = np.zeros(10)
    alarms = 0
    for seed in range(1000):
        gradients = regression_gradients(np.random.default_rng([2, seed]), 200, 8, offset)
        found = noise_scale(**rows_of(gradients, reference, offset), batch_size=8)
        alarms += np.isfinite(found.high)
        if np.isinf(found.high):
            assert np.isnan(found.value)
            assert 0 < found.low < np.inf
            assert found.reason.startswith("the squared gradient cannot be told from 0")
    assert stats.binomtest(alarms, 1000, 0.025, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize("reference", REFERENCES)
def test_unit_of_the_gradient_does_not_matter(reference, rng):
    """The value and its interval are in examples, at any scale of the loss."""
    offset = np.full(4, 0.5)
    rows = rows_of(regression_gradients(rng, 200, 4, offset), reference, offset)
    one = noise_scale(**rows, batch_size=4)
    for scale in (1e-60, 1e60):
        scaled = dict(rows, norms=rows["norms"] * scale)
        for name in ("gradient_squares", "block_squares", "reference_square"):
            scaled[name] = rows[name] * scale**2
        other = noise_scale(**scaled, batch_size=4)
        assert (other.low, other.value, other.high) == pytest.approx((one.low, one.value, one.high))
        assert other.trace == pytest.approx(one.trace * scale**2)


@pytest.mark.parametrize("reference", ["full", "pair"])
@pytest.mark.parametrize("name", ["linear-regression", "digits-mlp"])
def test_a_probe_finds_what_every_example_says(name, reference):
    """Against Sigma and G from the gradient of each example alone, for all parameters and for the
    first tensor: inside an interval of 99.9 % whose ends differ by less than a factor of 2.
    """
    task = load_task(name, {"n": 500, "dim": 20} if name == "linear-regression" else {})
    model, data = task.build_model(0), minibatches_of(task.data)
    sketch = probe(
        model, task.loss, data, n_minibatches=600, batch_size=8, reference=reference, seed=1
    )
    parameters = dict(model.named_parameters())
    per_example = [
        torch.autograd.grad(task.loss(model, data.pick([i])), list(parameters.values()))
        for i in range(data.n_examples)
    ]
    for group, names in ((sketch.groups[0], list(parameters)), (sketch.groups[1], None)):
        chosen = [n in (names or [group.name]) for n in parameters]
        gradients = np.stack(
            [
                np.concatenate(
                    [g.numpy().ravel() for g, use in zip(one, chosen, strict=True) if use]
                )
                for one in per_example
            ]
        ).astype(np.float64)
        truth = gradients.mean(axis=0)
        trace = ((gradients - truth) ** 2).sum(axis=1).mean()
        if reference == "full":
            assert group.reference_square == pytest.approx(truth @ truth, rel=1e-4)
        found = noise_scale(
            group.norms,
            group.gradient_squares,
            block_squares=group.block_squares,
            reference_square=group.reference_square,
            reference=sketch.reference,
            batch_size=sketch.batch_size,
            confidence_level=0.999,
        )
        assert found.low < trace / (truth @ truth) < found.high
        assert found.high < 2 * found.low


def test_an_exact_gradient_of_zero():
    """Below a millionth of a minibatch gradient float32 cannot tell: a lower end only."""
    rng = np.random.default_rng(0)
    norms = rng.uniform(1, 2, 100)
    found = noise_scale(norms, norms**2, reference="full", batch_size=4, reference_square=1e-13)
    assert np.isnan(found.value)
    assert found.low > 1e11
    assert found.high == np.inf
    assert "0 as far as float32 can tell" in found.reason
    assert found.trace == pytest.approx(4 * (norms**2).mean())


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_dead_group_has_none(reference):
    zeros = np.zeros(40)
    found = noise_scale(
        zeros, zeros, block_squares=zeros[:20], reference_square=0.0, reference=reference,
        batch_size=4,
    )  # fmt: skip
    assert found.reason == "every gradient is zero"
    assert np.isnan(found.value)
    assert (found.low, found.high, found.trace) == (0, np.inf, 0)


def test_no_noise_is_a_noise_scale_of_zero():
    ones = np.ones(40)
    full = noise_scale(0 * ones, ones, reference="full", batch_size=4, reference_square=1.0)
    pair = noise_scale(
        0 * ones, 2 * ones, block_squares=16 * ones[:20], reference="pair", batch_size=4
    )
    for found in (full, pair):
        assert (found.low, found.value, found.high, found.reason) == (0, 0, 0, None)


@pytest.mark.parametrize("reference", ["full", "pair"])
def test_noise_in_one_row_alone_has_no_lower_end(reference):
    """One row of forty: without its group there is no noise, so the trace is not known."""
    norms, squares = np.zeros(40), np.full(40, 100.0)
    norms[17] = 3.0
    found = noise_scale(
        norms, squares, block_squares=[4 * 400.0 - 400] * 20, reference_square=50.0,
        reference=reference, batch_size=2,
    )  # fmt: skip
    assert found.low == 0
    assert found.value > 0
    assert found.high > 3 * found.value


def test_a_stream_of_unequal_minibatches_has_none():
    found = noise_scale(np.ones(40), np.ones(40), reference="pair", batch_size=None)
    assert np.isnan(found.value)
    assert (found.low, found.high) == (0, np.inf)
    assert found.reason.startswith("minibatches differ in size")


def test_errors():
    ones, options = np.ones(40), {"reference": "full", "batch_size": 4, "reference_square": 1.0}
    with pytest.raises(NotEnoughDataError, match="needs at least 20 rows, got 19"):
        noise_scale(ones[:19], ones[:19], **options)
    with pytest.raises(SamplesError, match=r"got shapes \(40,\) and \(20,\)"):
        noise_scale(ones, ones[:20], **options)
    with pytest.raises(SamplesError, match="got 2 other rows of 40"):
        noise_scale(np.r_[ones[:38], np.nan, -1], ones, **options)
    with pytest.raises(SamplesError, match="its squared norm, got nan"):
        noise_scale(ones, ones, reference="full", batch_size=4)
    with pytest.raises(SamplesError, match="needs 20 finite block_squares for 40 rows, got 0"):
        noise_scale(ones, ones, reference="pair", batch_size=4)
    with pytest.raises(ValueError, match="one of full, pair, mean; got 'auto'"):
        noise_scale(ones, ones, **options | {"reference": "auto"})
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        noise_scale(ones, ones, **options | {"batch_size": 0})
    with pytest.raises(ValueError, match=r"at least 5 for minibatches of 4 and .* 'full', got 4"):
        noise_scale(ones, ones, **options, without_replacement_from=4)
    with pytest.raises(ValueError, match=r"at least 8 for minibatches of 4 and .* 'pair', got 7"):
        noise_scale(ones, ones, reference="pair", batch_size=4, without_replacement_from=7)
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        noise_scale(ones, ones, **options, confidence_level=95)
