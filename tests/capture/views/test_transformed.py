"""The view ``transformed``: what AdaL's moments see."""

from __future__ import annotations

import pytest
import torch
from optimizers import all_of, gradients_of, same, small_model, train

from noise_lens import optim
from noise_lens.capture.views import build_views
from noise_lens.capture.views.transformed import Transform, transforms
from noise_lens.errors import CaptureError


def view_of(optimizer, model, name="transformed", beta=None):
    (view,) = build_views([name], list(model.parameters()), optimizer, beta, needs_state=False)
    return view


@pytest.mark.parametrize("scope", ["tensor", "global"])
@pytest.mark.parametrize("norm", ["l1", "mean_abs"])
def test_a_gradient_times_its_norm(scope, norm):
    model = small_model()
    optimizer = optim.AdaL(model.parameters(), norm_scope=scope, norm=norm, weight_decay=0.1)
    train(model, optimizer)
    before = all_of(model, optimizer)
    gradients = gradients_of(model, 10)
    copies = [g.clone() for g in gradients]
    view = view_of(optimizer, model)
    found = view.update(gradients)
    assert same(before, all_of(model, optimizer))
    assert all(torch.equal(g, c) for g, c in zip(gradients, copies, strict=True))
    sizes = [g.abs().sum() for g in gradients]
    counts = [g.numel() for g in gradients]
    if scope == "global":
        sizes, counts = [sum(sizes)] * len(sizes), [sum(counts)] * len(sizes)
    for ghat, g, size, count in zip(found, gradients, sizes, counts, strict=True):
        factor = size / count if norm == "mean_abs" else size
        assert torch.allclose(ghat, factor * g, rtol=1e-12)
        assert ghat.data_ptr() != g.data_ptr()
    assert (view.name, view.optimizer, view.beta, view.window) == ("transformed", "AdaL", None, 1)
    assert not view.linear
    assert view.vector_bytes == sum(g.numel() * g.element_size() for g in gradients)


def test_it_is_what_the_first_moment_of_a_new_optimizer_becomes():
    """m = (1 - beta) ghat after the first step: the view by the optimizer's own arithmetic."""
    model = small_model()
    optimizer = optim.AdaL(model.parameters(), betas=(0.75, 0.9))
    gradients = gradients_of(model, 0)
    found = view_of(optimizer, model).update(gradients)
    train(model, optimizer, 1)
    for parameter, ghat in zip(model.parameters(), found, strict=True):
        assert torch.allclose(optimizer.state[parameter]["exp_avg"], ghat / 4, rtol=1e-12)


def test_the_first_moment_of_adal_averages_transformed_gradients():
    """The view ``momentum`` of it against four steps of its own moment from 0, at fixed weights."""
    model = small_model()
    optimizer = optim.AdaL(model.parameters(), lr=0.0, betas=(0.5, 0.9))
    view = view_of(optimizer, model, "momentum", 0.5)
    assert not view.linear
    for number in range(4):
        vector = view.update(gradients_of(model, number))
    train(model, optimizer, 4)
    for parameter, average in zip(model.parameters(), vector, strict=True):
        moment = optimizer.state[parameter]["exp_avg"] / (1 - 0.5**4)
        assert torch.allclose(average, moment, rtol=1e-12)


def test_gradients_that_are_not_there_stay_away():
    """Unused parameters, and those that the optimizer does not hold."""
    model = small_model()
    optimizer = optim.AdaL([*model[0].parameters(), *model[2].parameters()], norm_scope="global")
    gradients = [None, *gradients_of(model, 0)[1:]]
    found = view_of(optimizer, model).update(gradients)
    assert [ghat is None for ghat in found] == [True, False, False, False, True, True]
    total = sum(g.abs().sum() for g in gradients[1:4])
    assert torch.allclose(found[1], total * gradients[1])


def test_other_optimizers_are_refused():
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters())
    assert not transforms(optimizer)
    assert transforms(optim.AdaL(model.parameters()))
    with pytest.raises(CaptureError, match=r"such as AdaL; Adam does not. Ask for .*'gradient'"):
        view_of(optimizer, model)
    with pytest.raises(CaptureError, match="none of the model's parameters is in the AdaL"):
        Transform(optim.AdaL(small_model().parameters()), list(model.parameters()))


def test_a_wrapper_shows_what_it_holds():
    class Wrapper(torch.optim.Optimizer):
        def __init__(self, optimizer):
            self.optimizer = optimizer

        @property
        def param_groups(self):
            return self.optimizer.param_groups

    model = small_model()
    optimizer = optim.AdaL(model.parameters())
    gradients = gradients_of(model, 0)
    assert transforms(Wrapper(optimizer))
    for one, two in zip(
        view_of(Wrapper(optimizer), model).update(gradients),
        view_of(optimizer, model).update(gradients),
        strict=True,
    ):
        assert torch.equal(one, two)
