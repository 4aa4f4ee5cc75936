from __future__ import annotations

import pytest
import torch
from torch import nn

import noise_lens as nl


def parameters():
    return [nn.Parameter(torch.ones(2))]


def test_names_make_optimizers():
    kinds = {name: type(nl.optim.create(name, parameters())).__name__ for name in nl.optim.names()}
    assert kinds == {"sgd": "SGD", "adam": "Adam", "adal": "AdaL"}
    assert nl.optim.create("sgd", parameters()).param_groups[0]["lr"] == 0.1
    assert (
        nl.optim.create("adal", parameters(), lr=0.3, norm="mean_abs").param_groups[0]["lr"] == 0.3
    )


def test_unknown_names_and_options():
    with pytest.raises(ValueError, match=r"one of sgd, adam, adal; got 'adma'. Did you mean adam"):
        nl.optim.create("adma", parameters())
    with pytest.raises(ValueError, match="sgd does not take these options"):
        nl.optim.create("sgd", parameters(), betas=(0.9, 0.99))
