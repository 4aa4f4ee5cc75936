"""What AdaL and Padam do not take, and what they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from noise_lens.optim import AdaL, Padam

BOTH = pytest.mark.parametrize("kind", [AdaL, Padam], ids=lambda kind: kind.__name__)


def parameters():
    return [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]


@BOTH
def test_sparse_gradients_are_refused_before_anything_changes(kind):
    dense = nn.Parameter(torch.ones(2))
    dense.grad = torch.ones(2)
    embedding = nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    optimizer = kind([dense, embedding.weight])
    with pytest.raises(RuntimeError, match="does not take sparse gradients; build the layer with"):
        optimizer.step()
    assert not optimizer.state
    assert torch.equal(dense.detach(), torch.ones(2))


@BOTH
def test_complex_parameters_are_refused(kind):
    with pytest.raises(ValueError, match=r"complex parameters; train torch\.view_as_real"):
        kind([nn.Parameter(torch.ones(2, dtype=torch.complex64))])
    optimizer = kind([nn.Parameter(torch.ones(2))])
    with pytest.raises(ValueError, match="complex parameters"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2) * 1j)]})
    assert len(optimizer.param_groups) == 1


@BOTH
def test_a_cuda_graph_is_refused(kind, monkeypatch):
    given = parameters()
    optimizer = kind(given)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="a CUDA graph would repeat the same one"):
        optimizer.step()


@BOTH
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "lr must be at least 0 and finite, got -1"),
        ({"lr": float("nan")}, "lr must be at least 0 and finite, got nan"),
        ({"lr": torch.tensor(0.1)}, r"lr must be a number, got a tensor; give float\(lr\)"),
        (
            {"betas": (1.0, 0.9)},
            r"betas must be two numbers that lie in \[0, 1\), got \(1.0, 0.9\)",
        ),
        ({"betas": (0.9, -0.1)}, r"lie in \[0, 1\), got \(0.9, -0.1\)"),
        ({"betas": 0.9}, "betas must be two numbers"),
        ({"eps": -1}, "eps must be at least 0 and finite, got -1"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0 and finite, got -0.1"),
        ({"weight_decay": "much"}, "weight_decay must be at least 0 and finite, got 'much'"),
    ],
)
def test_options_out_of_range(kind, options, message):
    """In the constructor, in a group, and in a group that comes later."""
    with pytest.raises(ValueError, match=message):
        kind(parameters(), **options)
    with pytest.raises(ValueError, match=message):
        kind([{"params": parameters(), **options}])
    optimizer = kind(parameters())
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": parameters(), **options})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("p", [0, -0.1, 0.51, float("nan")])
def test_the_power_of_padam_lies_in_its_range(p):
    with pytest.raises(ValueError, match=r"p must lie in \(0, 1/2\], got "):
        Padam(parameters(), p=p)
