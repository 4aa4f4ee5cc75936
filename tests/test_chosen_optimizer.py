"""From what a user gives to an optimizer with its state."""

from __future__ import annotations

import pytest
import torch
from models import plain_model, squared

from noise_lens import optim
from noise_lens.chosen_optimizer import beta_of, name_of, optimizer_of
from noise_lens.errors import CaptureError, CheckpointError

ALL = ("gradient", "momentum", "update")


def saved(path, optimizer_name="adam", n=2, **options):
    """A checkpoint of a model after some steps; returns its optimizer."""
    model = plain_model()
    optimizer = optim.create(optimizer_name, model.parameters(), **options)
    for _ in range(n):
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    return optimizer


def test_no_optimizer_is_needed_for_gradients_and_averages():
    model = plain_model()
    assert optimizer_of(None, model, None, ["gradient"]) == (None, False)
    assert optimizer_of(None, model, None, ["gradient", "momentum"], 0.9) == (None, False)
    with pytest.raises(CaptureError, match=r"the views update are an .*: sgd, .*adal, "):
        optimizer_of(None, model, None, ALL, 0.9)
    with pytest.raises(CaptureError, match="the views momentum, update are an optimizer's"):
        optimizer_of(None, model, None, ALL)


def test_a_name_comes_with_its_state(tmp_path):
    kept = saved(tmp_path / "a.pt", betas=(0.8, 0.95))
    model = plain_model()
    found, loaded = optimizer_of("adam", model, tmp_path / "a.pt", ALL)
    assert loaded
    for one, two in zip(kept.state.values(), found.state.values(), strict=True):
        assert torch.equal(one["exp_avg"], two["exp_avg"])
    assert set(found.state) == set(model.parameters())


def test_the_decay_is_that_of_training(tmp_path):
    """Also where only the average is asked for: its beta is not that of a new optimizer."""
    saved(tmp_path / "a.pt", betas=(0.8, 0.95))
    for views in (["momentum"], ["momentum", "update"], ["trajectory"]):
        found, loaded = optimizer_of("adam", plain_model(), tmp_path / "a.pt", views)
        assert loaded
        assert beta_of(found, None, views) == 0.8
        assert beta_of(found, 0.5, views) == 0.5
    found, loaded = optimizer_of("adam", plain_model(), tmp_path / "a.pt", ["gradient"])
    assert not loaded
    assert beta_of(found, None, ["gradient"]) is None


def test_options_of_what_is_transformed_are_those_of_training(tmp_path):
    saved(tmp_path / "a.pt", "adal", norm_scope="global", norm="mean_abs")
    for views, beta in ((["transformed"], None), (["momentum"], 0.5)):
        found, _ = optimizer_of("adal", plain_model(), tmp_path / "a.pt", views, beta)
        assert found.param_groups[0]["norm_scope"] == "global"
        assert found.param_groups[0]["norm"] == "mean_abs"


def test_the_average_of_another_optimizer_needs_its_beta_alone(tmp_path):
    """What Adam's average would do to the noise at weights that SGD has found."""
    saved(tmp_path / "a.pt", "sgd")
    model = plain_model()
    with pytest.raises(CheckpointError, match=r"not of Adam.*give beta="):
        optimizer_of("adam", model, tmp_path / "a.pt", ["momentum"])
    found, loaded = optimizer_of("adam", model, tmp_path / "a.pt", ["momentum"], 0.9)
    assert (type(found), loaded) == (torch.optim.Adam, False)


def test_a_function_gets_the_model_and_is_filled(tmp_path):
    saved(tmp_path / "a.pt")
    model = plain_model()

    def make(given):
        assert given is model
        return torch.optim.Adam(given.parameters(), lr=7.0)

    found, loaded = optimizer_of(make, model, tmp_path / "a.pt", ALL)
    assert loaded
    assert found.param_groups[0]["lr"] == 1e-3  # as saved
    assert len(found.state) == 4
    found, loaded = optimizer_of(make, model, None, ALL)
    assert not loaded
    assert not found.state
    with pytest.raises(CaptureError, match=r"returned list, not a torch\.optim"):
        optimizer_of(lambda given: [given], model, None, ALL)
    with pytest.raises(CaptureError, match=r"a name, a .*or a function.*; got int"):
        optimizer_of(3, model, None, ALL)


def test_an_optimizer_is_taken_as_it_is(tmp_path):
    model = plain_model()
    own = torch.optim.Adam(model.parameters())
    assert optimizer_of(own, model, None, ALL) == (own, True)
    with pytest.raises(CaptureError, match=r"Adam given is of other parameters.*no checkpoint"):
        optimizer_of(own, plain_model(), None, ALL)


def test_bad_names_and_decays():
    model = plain_model()
    with pytest.raises(ValueError, match="Did you mean adam"):
        optimizer_of("adamm", model, None, ALL)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    assert beta_of(sgd, None, ["momentum"]) == 0.0
    for bad in (1.0, -0.1, float("nan")):
        with pytest.raises(CaptureError, match=r"beta must lie in \[0, 1\), got"):
            beta_of(sgd, bad, ["momentum"])
    groups = [
        {"params": list(model[0].parameters()), "momentum": 0.9},
        {"params": list(model[2].parameters()), "momentum": 0.5},
    ]
    with pytest.raises(CaptureError, match=r"decay with 0.5, 0.9; give one as beta"):
        beta_of(torch.optim.SGD(groups, lr=0.1), None, ["momentum"])


def test_names_for_a_manifest():
    model = plain_model()
    assert name_of(None) is None
    assert name_of("adal") == "adal"
    assert name_of(torch.optim.SGD(model.parameters(), lr=0.1)) == "SGD"
    assert name_of(squared) == "squared"
