from __future__ import annotations

import pytest
import torch
from torch import nn

from noise_lens.comparison.labels import create_labelled, default_rate, parse_label


def test_options_follow_the_name():
    assert parse_label("adam") == ("adam", {})
    assert parse_label("padam@p=0.125@decoupled=True") == ("padam", {"p": 0.125, "decoupled": True})
    assert parse_label("adal@norm=mean_abs") == ("adal", {"norm": "mean_abs"})


def test_the_optimizer_has_them():
    optimizer = create_labelled("padam@p=0.125", [nn.Parameter(torch.zeros(2))], lr=0.3)
    assert (optimizer.param_groups[0]["p"], optimizer.param_groups[0]["lr"]) == (0.125, 0.3)
    assert default_rate("padam@p=0.125") == default_rate("padam")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("padam@0.125", "an optimizer is NAME or NAME@KEY=VALUE, got 'padam@0.125'"),
        ("sgd@lr=0.1", "the learning rate of sgd is given apart"),
        ("padam@p=0.7", r"p must lie in \(0, 1/2\]"),
        ("sgd@colour=3", "colour"),
        ("padm@p=0.1", "Did you mean padam"),
    ],
)
def test_what_is_wrong_is_said(label, message):
    with pytest.raises(ValueError, match=message):
        create_labelled(label, [nn.Parameter(torch.zeros(1))])
