from __future__ import annotations

import itertools

import pytest

import noise_lens as nl
from noise_lens.lens.pacing import Pacer


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def run(pacer, clock, n_steps, *, step_seconds, probe_seconds, minibatches_a_step=1.0):
    pacer.start()
    probed = []
    pacer.is_due(1, minibatches_a_step)
    for step in range(2, n_steps + 1):
        clock.now += step_seconds
        if pacer.is_due(step, minibatches_a_step):
            clock.now += probe_seconds
            pacer.probed(probe_seconds)
            probed.append(step)
    return probed


@pytest.mark.parametrize("budget", [0.02, 0.05, 0.3])
@pytest.mark.parametrize("actual", [0.7, 1.0, 2.5])
def test_probes_take_their_share_of_training_and_no_more(budget, actual):
    """After the first, whose cost is a guess of a step a minibatch, the share is kept."""
    clock = Clock()
    pacer = Pacer(budget, 100, clock=clock)
    probed = run(pacer, clock, 40_000, step_seconds=0.01, probe_seconds=actual)
    assert len(probed) == pytest.approx(400 * budget / actual, abs=1.5)
    assert pacer.spent["n_probes"] == len(probed)
    assert pacer.spent["share"] <= budget + actual / 400
    assert pacer.spent["training_seconds"] == pytest.approx(399.99)


def test_the_first_probe_waits_until_it_fits():
    """100 minibatches of a step each are 5 % of 2000 steps."""
    clock = Clock()
    assert run(Pacer(0.05, 100, clock=clock), clock, 2010, step_seconds=1, probe_seconds=9)[0] in (
        2000, 2001, 2002,
    )  # fmt: skip


def test_under_accumulation_a_minibatch_is_a_part_of_a_step():
    clock = Clock()
    pacer = Pacer(0.05, 100, clock=clock)
    probed = run(pacer, clock, 600, step_seconds=4, probe_seconds=90, minibatches_a_step=4)
    assert probed[0] in (500, 501, 502)


def test_training_that_slows_down_moves_the_next_probe():
    """The step is looked at again when it comes, with the time that was really spent."""
    clock = Clock()
    pacer = Pacer(0.1, 50, clock=clock)
    run(pacer, clock, 400, step_seconds=1.0, probe_seconds=50)
    for step in range(401, 3000):
        clock.now += 0.1  # ten times faster: probes must become rarer
        if pacer.is_due(step, 1):
            clock.now += 50
            pacer.probed(50)
        assert pacer.probe_seconds <= 0.1 * pacer.training_seconds + 50


def test_a_schedule_is_followed_and_the_time_still_counted():
    clock = Clock()
    pacer = Pacer(0.05, 100, schedule=nl.every(10), clock=clock)
    assert run(pacer, clock, 45, step_seconds=1, probe_seconds=30) == [10, 20, 30, 40]
    assert pacer.spent["probe_seconds"] == 120


def test_ranks_do_what_rank_0_decides():
    """A rank with another clock is told the step; it does not decide for itself."""
    fast, slow = Clock(), Clock()
    decisions = []
    first = Pacer(0.1, 20, clock=fast, agree=lambda n: decisions.append(n) or n)
    told = iter(decisions)
    steps = run(first, fast, 2000, step_seconds=0.01, probe_seconds=0.2)
    second = Pacer(0.1, 20, clock=slow, agree=lambda _: next(told))
    assert run(second, slow, 2000, step_seconds=0.05, probe_seconds=7) == steps
    assert len(steps) > 5


def test_a_probe_that_fails_is_tried_again_ever_later():
    """A model that has diverged: a few tries, not one after every step."""
    clock = Clock()
    pacer = Pacer(1.0, 50, clock=clock)
    pacer.start()
    tries = []
    for step in range(1, 5000):
        clock.now += 0.01
        if pacer.is_due(step, 1):
            tries.append(step)
            clock.now += 0.001
            pacer.failed(step, 0.001)
    assert len(tries) <= 8
    assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(tries))
    assert pacer.spent["n_probes"] == 0


def test_a_resumed_run_keeps_its_account():
    clock = Clock()
    pacer = Pacer(0.05, 100, clock=clock)
    run(pacer, clock, 3000, step_seconds=1, probe_seconds=100)
    again = Pacer(0.05, 100, clock=clock)
    again.load_state_dict(pacer.state_dict())
    assert again.spent == pacer.spent


@pytest.mark.parametrize("budget", [0, -0.1, 1.5])
def test_a_budget_out_of_range(budget):
    with pytest.raises(nl.CaptureError, match=r"in \(0, 1\]; got"):
        Pacer(budget, 100)
