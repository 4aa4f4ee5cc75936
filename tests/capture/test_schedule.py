from __future__ import annotations

import pytest

import noise_lens as nl
from noise_lens.capture.schedule import logarithmic_steps


def test_every():
    assert [step for step in range(11) if nl.every(5)(step)] == [0, 5, 10]


def test_logarithmic_has_both_ends():
    chosen = nl.logarithmic(1, 1000, 7)
    steps = [step for step in range(1001) if chosen(step)]
    assert steps == [1, 3, 10, 32, 100, 316, 1000]


@pytest.mark.parametrize("call", [lambda: nl.every(0), lambda: nl.logarithmic(0, 10, 3)])
def test_out_of_range(call):
    with pytest.raises(ValueError, match="needs"):
        call()


def test_default_steps():
    assert logarithmic_steps(1000) == [0, 10, 100, 1000]
    assert logarithmic_steps(2000) == [0, 10, 100, 1000, 2000]
    assert logarithmic_steps(5) == [0, 5]
