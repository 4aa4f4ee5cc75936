from __future__ import annotations

import pytest
import torch

from noise_lens.landscape import average_checkpoints, weight_tails
from noise_lens.tasks import load_task


@pytest.fixture
def checkpoints(tmp_path):
    paths = [tmp_path / f"step-{seed}.pt" for seed in (1, 2)]
    for seed, path in zip((1, 2), paths, strict=True):
        torch.save(load_task("digits-mlp").build_model(seed).state_dict(), path)
    return paths


def test_mean_of_checkpoints_beside_the_initial_weights(call, strict, checkpoints):
    result = call("theory", "weights", *checkpoints, "--task", "digits-mlp")
    assert "the mean of 2 checkpoints" in result.stdout
    assert "different objects" in result.stderr
    document = strict(
        call("theory", "weights", *checkpoints, "--task", "digits-mlp", "--json").stdout
    )
    expected = weight_tails(average_checkpoints("digits-mlp", checkpoints))
    assert [tail["published"] for tail in document["tails"]] == [t.published for t in expected]
    initial = weight_tails(load_task("digits-mlp").build_model(0))
    assert [tail["alpha"] for tail in document["initial"]] == [t.alpha for t in initial]
    assert "different objects" in document["warning"]


def test_one_checkpoint_and_errors(call, checkpoints):
    result = call("theory", "weights", checkpoints[0], "--task", "digits-mlp")
    assert result.stdout.startswith("digits-mlp, step-1.pt\n")
    assert "none.pt does not exist" in call(
        "theory", "weights", "none.pt", "--task", "digits-mlp", code=1
    ).stderr  # fmt: skip
    call("theory", "weights", "--task", "digits-mlp", code=2)
