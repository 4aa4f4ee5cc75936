from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from noise_lens import RunFolderError
from noise_lens.contrasts import combine, differences

ALPHA = "projections_characteristic_function_alpha"
KURTOSIS = "projections_excess_kurtosis"
LOSSES = {"sgd": {0: 2.3, 100: 1.1, 1000: 0.2}, "adam": {0: 2.3, 100: 0.5, 1000: 0.05}}


def only(found, **wanted):
    """Return the one row with these attributes."""
    (row,) = [r for r in found if all(getattr(r, k) == v for k, v in wanted.items())]
    return row


@pytest.fixture
def invented(noise):
    """Alpha 1.5 for sgd and 1.8 for adam, moved by the seed and, less, by the run."""

    def value(optimizer, seed, step, view, group):
        level = {"sgd": 1.5, "adam": 1.8}[optimizer] if step else 1.6
        shared = noise("seed", seed, scale=0.1)
        own = noise("own", optimizer, seed, step, view, group) if step else 0.0
        accuracy = {"train/accuracy": 0.99, "test/accuracy": level / 2 + own}
        loss = {"train/loss": LOSSES[optimizer][step], "test/loss": 0.5 + LOSSES[optimizer][step]}
        return {
            ALPHA: level + shared + own,
            KURTOSIS: 4 - level + shared + own,
            "metrics": {**loss, **accuracy},
        }

    return value


def test_paired_by_seed(comparison, invented):
    """The interval is the paired t-test's, and a tenth as wide as that of two samples."""
    run = comparison(invented)
    values = [
        [invented(name, seed, 1000, "gradient", "all")[ALPHA] for seed in range(6)]
        for name in ("adam", "sgd")
    ]
    theirs = stats.ttest_rel(*values).confidence_interval(0.95)

    row = only(differences(run), view="gradient", of="projections", quantity="alpha", at=1000)

    assert (row.low, row.high) == pytest.approx(theirs)
    assert (row.optimizer, row.baseline, row.claim, row.reason) == ("adam", "sgd", "lighter", None)
    assert (row.n, row.n_diverged, row.n_unmatched) == (6, 0, 0)
    unpaired = stats.ttest_ind(*values).confidence_interval(0.95)
    assert row.high - row.low < (unpaired.high - unpaired.low) / 2


def test_a_folder_says_the_same(comparison, invented, through_the_disk):
    run = comparison(invented, diverged=("adam-s1",))
    again = through_the_disk(run)
    for matched_by in ("step", "loss"):
        one, other = (
            pd.DataFrame([row.row() for row in differences(own, matched_by=matched_by)])
            for own in (run, again)
        )
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_smaller_kurtosis_is_lighter(comparison, invented):
    row = only(
        differences(comparison(invented)),
        view="momentum", of="projections", quantity="excess_kurtosis", at=1000,
    )  # fmt: skip
    assert row.mean == pytest.approx(-0.3, abs=0.05)
    assert row.claim == "lighter"


def test_before_the_first_step_nothing_differs_and_nothing_is_claimed(comparison, invented):
    row = only(
        differences(comparison(invented)),
        view="gradient", of="projections", quantity="alpha", at=0,
    )  # fmt: skip
    assert row.mean == 0
    assert np.isnan(row.low)
    assert row.claim is None
    assert "all 6 differences are equal" in row.reason


@pytest.mark.parametrize(("n_told", "claim"), [(0, None), (2, None), (4, "heavier")])
def test_at_the_limit_nothing_is_claimed(comparison, noise, n_told, claim):
    """sgd reads 2.0 and adam 1.999 in every seed; most probes alone are not told from 2.

    The spread over seeds is tiny there, and smaller than the probes' error.
    """

    def value(optimizer, seed, step, view, group):
        alpha = 2.0 if optimizer == "sgd" else 1.999 + noise(seed, scale=1e-4)
        told = optimizer == "adam" and seed < n_told
        return {ALPHA: alpha, ALPHA.replace("alpha", "high"): 1.9995 if told else 2.0}

    found = differences(comparison(value, steps=(100,)))
    row = only(found, view="gradient", of="projections", quantity="alpha")
    assert row.high < 0
    assert row.claim == claim
    assert claim or row.reason.startswith("most probes' own intervals reach 2 under both")


def test_a_missing_number_says_what_its_records_say(comparison):
    run = comparison(lambda *_: {"projections_reason": "it needs at least 40 rows, got 5"})
    row = only(differences(run), view="momentum", of="projections", quantity="alpha", at=1000)
    assert (row.n, row.n_unmatched, row.reason) == (0, 6, "it needs at least 40 rows, got 5")


def test_metrics_and_gaps_stand_beside_the_tails(comparison, invented):
    found = [r for r in differences(comparison(invented)) if r.at == 1000]
    accuracy = only(found, quantity="test/accuracy")
    assert (accuracy.view, accuracy.group, accuracy.of) == (None, None, None)
    assert accuracy.claim == "higher"
    # Train accuracy is the same, so the gap closes by as much as the test accuracy rises.
    gap = only(found, quantity="gap/accuracy")
    assert (gap.mean, gap.claim) == (pytest.approx(-accuracy.mean), "lower")
    assert only(found, quantity="train/loss").mean == pytest.approx(0.05 - 0.2)
    assert only(found, quantity="test/loss").mean == pytest.approx(0.05 - 0.2)
    assert only(found, quantity="gap/loss").mean == pytest.approx(0, abs=1e-12)


def test_every_number_that_was_asked_for_has_a_row(comparison, invented):
    run = comparison(invented, groups=("all", "head"))
    found = differences(run, views=["momentum"], groups=None)
    tails = [r for r in found if r.view]
    assert len(tails) == len({(r.at, r.group, r.of, r.quantity) for r in tails})
    # 3 steps x 2 groups x 2 kinds x 2 quantities; 5 metrics a step
    assert len(tails) == 3 * 2 * 2 * 2
    assert len(found) - len(tails) == 3 * 5
    table = pd.DataFrame([r.row() for r in found])
    assert set(table.view.dropna()) == {"momentum"}
    assert list(table["at"].unique()) == [0, 100, 1000]
    missing = only(found, group="head", of="coordinates", quantity="alpha", at=100)
    assert (missing.n, missing.n_unmatched, missing.reason) == (0, 6, "no seed has a value")


def test_matched_by_loss_the_difference_of_a_law_in_the_loss_is_exact(
    comparison, noise, monkeypatch
):
    """Alpha is a line in log loss, 0.25 higher for adam, which goes down another way.

    By step the two differ by the way they have gone as well; by loss only by 0.25.
    """

    def value(optimizer, seed, step, view, group):
        loss = LOSSES[optimizer][step] * np.exp(noise("loss", optimizer, seed, step))
        alpha = 1.9 + 0.1 * np.log(loss) + (0.25 if optimizer == "adam" else 0)
        jitter = noise("alpha", optimizer, seed)  # of the run: not of the loss
        return {ALPHA: alpha + jitter, "metrics": {"train/loss": loss, "test/loss": loss + 0.1}}

    run = comparison(value)
    truth = [0.25 + noise("alpha", "adam", s) - noise("alpha", "sgd", s) for s in range(6)]
    # The law is a straight line here, so that the gap between probes does no harm.
    monkeypatch.setattr("noise_lens.contrasts.matching.LARGEST_GAP", np.inf)
    by_loss = [r for r in differences(run, matched_by="loss", views=["gradient"])
               if (r.of, r.quantity) == ("projections", "alpha")]  # fmt: skip

    inside = [r for r in by_loss if r.n == 6]
    assert len(inside) >= 2
    for row in inside:
        theirs = stats.ttest_1samp(truth, 0).confidence_interval(0.95)
        assert (row.low, row.high) == pytest.approx(theirs, abs=1e-9)
        assert row.claim == "lighter"
    assert [r.at for r in by_loss] == sorted((r.at for r in by_loss), reverse=True)
    by_step = only(differences(run), view="gradient", of="projections", quantity="alpha", at=1000)
    assert by_step.mean == pytest.approx(0.25 + 0.1 * np.log(0.05 / 0.2), abs=0.05)


def test_probes_far_apart_in_the_loss_forbid_the_claim(comparison):
    """What lies between them is a straight line; the spread over seeds does not see its error."""

    def value(optimizer, seed, step, view, group):
        loss = LOSSES[optimizer][step]
        alpha = 1.5 + (0.25 if optimizer == "adam" else 0) + 0.001 * seed * (optimizer == "sgd")
        return {ALPHA: alpha, "metrics": {"train/loss": loss, "test/loss": loss}}

    found = differences(comparison(value), matched_by="loss", views=["gradient"])
    rows = [r for r in found if (r.of, r.quantity) == ("projections", "alpha") and r.n == 6]
    gaps = [r for r in rows if r.reason is not None]
    assert gaps
    for row in gaps:
        assert row.low > 0
        assert "lie a factor of up to" in row.reason


def test_seeds_that_do_not_reach_a_loss_forbid_the_claim(comparison, invented, monkeypatch):
    """sgd stops at 0.2: adam's last losses are not reached, and nothing is extrapolated."""

    def value(optimizer, seed, step, view, group):
        found = invented(optimizer, seed, step, view, group)
        if optimizer == "sgd" and seed == 5 and step == 1000:
            found["metrics"] = found["metrics"] | {"train/loss": 0.6}
        return found

    monkeypatch.setattr("noise_lens.contrasts.matching.LARGEST_GAP", 20.0)
    found = differences(comparison(value), matched_by="loss", views=["gradient"])
    tails = [r for r in found if (r.of, r.quantity) == ("projections", "alpha")]
    assert [r.at for r in tails] == [2.3, 0.6, 0.5, 0.05]
    common, middle, last = tails[1:]
    assert (common.n, common.n_unmatched, common.claim) == (6, 0, "lighter")
    assert (middle.n, middle.n_unmatched, middle.claim) == (5, 1, None)
    assert middle.reason.startswith("1 of 6 seeds do not enclose this loss")
    assert (last.n, last.n_unmatched) == (0, 6)
    assert last.reason == "the probes of sgd do not enclose this loss under any seed"
    assert {r.quantity for r in found if not r.view} == {
        "test/loss", "test/accuracy", "gap/accuracy",
    }  # fmt: skip


def test_an_epoch_is_a_step_where_batch_sizes_are_the_same(comparison, invented):
    run = comparison(invented)
    by_step, by_epoch = differences(run), differences(run, matched_by="epoch")
    assert [r.at for r in by_epoch] == [r.at * 32 / 3200 for r in by_step]
    same = ["view", "of", "quantity", "mean", "low", "high", "n", "pvalue", "claim", "reason"]
    one, other = (pd.DataFrame([r.row() for r in found])[same] for found in (by_step, by_epoch))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_batch_sizes_are_matched_by_epoch_and_their_tails_are_not_compared(comparison, invented):
    small = comparison(invented, name="small", optimizers=["sgd"])
    large = comparison(invented, name="large", optimizers=["adam"], batch_size=320, steps=(0, 100))
    run = combine([small, large])
    with pytest.raises(RunFolderError, match="steps of 32 and of 320 examples"):
        differences(run)
    found = [r for r in differences(run, matched_by="epoch") if r.at == 10]
    assert only(found, quantity="test/accuracy").n == 6
    tail = only(found, view="gradient", of="projections", quantity="alpha")
    assert (tail.n, tail.claim) == (0, None)
    assert "minibatches of 320 and 32 examples" in tail.reason


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"reference": "pair"}, "the references are pair and full"),
        ({"beta": 0.95, "window": 45}, "beta 0.95 over 45 minibatches and beta 0.9 over 22"),
        ({"beta": None, "window": 1}, "no average and beta 0.9 over 22"),
    ],
)
def test_numbers_of_two_kinds_are_not_compared(comparison, invented, changed, said):
    def value(optimizer, seed, step, view, group):
        own = changed if optimizer == "adam" and view == "momentum" else {}
        return invented(optimizer, seed, step, view, group) | own

    found = [r for r in differences(comparison(value)) if r.at == 1000 and r.view]
    for row in found:
        if row.view == "momentum":
            assert np.isnan(row.mean)
            assert (row.n, row.n_unmatched, row.claim) == (0, 6, None)
            assert said in row.reason
        elif row.of == "projections":
            assert row.n == 6


def test_a_view_that_only_one_has(comparison, invented):
    def value(optimizer, seed, step, view, group):
        if optimizer == "sgd" and view == "transformed":
            return None
        return invented(optimizer, seed, step, view, group)

    run = comparison(value, views=("gradient", "transformed"))
    row = only(differences(run), view="transformed", of="projections", quantity="alpha", at=100)
    assert row.reason == "sgd has no record of the view 'transformed' of 'all' here"


def test_diverged_runs_are_left_out_and_counted(comparison, invented):
    """Also at steps before they diverged; their partner goes with them."""

    def value(optimizer, seed, step, view, group):
        found = invented(optimizer, seed, step, view, group)
        return found | ({ALPHA: 0.1} if (optimizer, seed) == ("adam", 2) else {})

    run = comparison(value, diverged=("adam-s2", "sgd-s4"))
    kept = [0, 1, 3, 5]
    truth = [
        invented("adam", s, 100, "gradient", "all")[ALPHA]
        - invented("sgd", s, 100, "gradient", "all")[ALPHA]
        for s in kept
    ]
    row = only(differences(run), view="gradient", of="projections", quantity="alpha", at=100)
    assert row.mean == pytest.approx(np.mean(truth))
    assert (row.n, row.n_diverged, row.n_unmatched) == (4, 2, 0)
    assert row.reason == "4 pairs: a claim needs 5"


@pytest.mark.parametrize("matched_by", ["step", "epoch", "loss"])
def test_an_optimizer_that_always_diverged(comparison, invented, matched_by):
    run = comparison(invented, seeds=[0, 1], diverged=("adam-s0", "adam-s1"))
    found = differences(run, matched_by=matched_by)
    assert found
    for row in found:
        assert (row.n, row.n_diverged, row.n_unmatched) == (0, 2, 0)
        assert row.reason == "every seed diverged under one of the two"


def test_counts_add_up(comparison, invented):
    """Every seed is compared, diverged or unmatched."""

    def value(optimizer, seed, step, view, group):
        if seed == 3 and optimizer == "sgd" and step == 1000:
            return None  # cut off
        return invented(optimizer, seed, step, view, group)

    run = comparison(value, diverged=("adam-s2",))
    for matched_by in ("step", "epoch", "loss"):
        for row in differences(run, matched_by=matched_by):
            assert row.n + row.n_diverged + row.n_unmatched == 6
            assert (row.claim is None) != (row.reason is None)
    row = only(differences(run), view="gradient", of="projections", quantity="alpha", at=1000)
    assert (row.n, row.n_unmatched) == (4, 1)


def test_the_baseline_is_that_of_the_folder(comparison, invented):
    def swapped(rows):
        return only(rows, view="gradient", of="projections", quantity="alpha", at=1000)

    run = comparison(invented, optimizers=("adam", "sgd"))
    usual = swapped(differences(run))
    assert (usual.optimizer, usual.baseline) == ("adam", "sgd")
    other = swapped(differences(run, baseline="adam"))
    assert (other.optimizer, other.mean, other.claim) == (
        "sgd", pytest.approx(-usual.mean), "heavier",
    )  # fmt: skip
    named = comparison(invented, name="named", baseline="adam")
    assert swapped(differences(named)).baseline == "adam"


def test_what_is_refused(comparison, invented):
    run = comparison(invented)
    with pytest.raises(RunFolderError, match="sgd-s0 is no comparison, its manifest says 'run'"):
        differences(run.runs["sgd-s0"])
    with pytest.raises(ValueError, match="no runs of 'rmsprop'; its optimizers are sgd, adam"):
        differences(run, baseline="rmsprop")
    with pytest.raises(ValueError, match="views must be some of gradient, momentum"):
        differences(run, views=["update"])
    with pytest.raises(ValueError, match="groups must be some of all"):
        differences(run, groups="all")
    with pytest.raises(ValueError, match="matched_by must be one of step, epoch, loss, got 'lr'"):
        differences(run, matched_by="lr")
