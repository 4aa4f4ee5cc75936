"""The view ``update`` on rows: of plain SGD it is the gradient's, times minus the learning rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import data, noisy_model, plain_model, squared
from optimizers import gradients_of, small_model, train

from noise_lens.capture.probe import probe_views
from noise_lens.capture.views.update import Update
from noise_lens.errors import CaptureError


def sgd(model, lr=0.1, **options):
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


def differences(vectors, reference):
    """Rows of noise, flat: pairs, or less the mean."""
    rows = torch.stack([torch.cat([part.flatten() for part in vector]) for vector in vectors])
    return rows[::2] - rows[1::2] if reference == "pair" else rows - rows.mean(dim=0)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("reference", ["pair", "mean"])
def test_in_float64_to_twelve_digits(reference, momentum):
    """With momentum as well: what lies in the buffer is in all rows, and cancels."""
    model = small_model()
    optimizer = sgd(model, lr=0.03, momentum=momentum, weight_decay=0.01)
    train(model, optimizer)
    view = Update(optimizer, list(model.parameters()))
    gradients = [gradients_of(model, number) for number in range(100, 120)]
    updates = differences([view.update(own) for own in gradients], reference)
    expected = -0.03 * differences(gradients, reference)
    errors = (updates - expected).norm(dim=1) / expected.norm(dim=1)
    assert float(errors.max()) < 1e-12


@pytest.mark.parametrize("make", [plain_model, noisy_model])
@pytest.mark.parametrize("reference", ["pair", "mean"])
def test_in_float32_through_a_probe(make, reference):
    """All that a sketch keeps, to 1e-5 of the norm of its row; the learning rate is that of a
    fine-tuning, where a difference of float32 weights has no digit left.
    """
    model, rate = make(), 1e-6
    found = probe_views(
        model, squared, data(), views=("gradient", "update"), optimizer=sgd(model, rate),
        n_minibatches=60, batch_size=8, reference=reference, groups="all",
    )  # fmt: skip
    for raw, own in zip(found["gradient"].groups, found["update"].groups, strict=True):
        assert np.array_equal(raw.positions, own.positions)
        norms = rate * raw.norms
        assert own.norms == pytest.approx(norms, rel=1e-5)
        for of in ("coordinates", "projections"):
            one, two = (getattr(s, of).astype(np.float64) for s in (raw, own))
            errors = np.abs(two + rate * one).max(axis=1, initial=0)
            assert (errors <= 1e-5 * norms).all()
    assert found["update"].optimizer == "SGD"
    assert (found["update"].beta, found["update"].window) == (None, 1)


def test_a_full_gradient_is_not_its_mean():
    model = plain_model()
    options = {"optimizer": sgd(model), "n_minibatches": 50, "batch_size": 8}
    with pytest.raises(CaptureError, match=r"'full' is not the mean of the view 'update'.*'pair'"):
        probe_views(model, squared, data(), views=("update",), reference="full", **options)
    found = probe_views(model, squared, data(), views=("update",), **options)["update"]
    assert found.reference == "pair"
    assert "'update' has no full gradient" in found.reference_reason
