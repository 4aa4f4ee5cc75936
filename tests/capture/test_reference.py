from __future__ import annotations

import pytest
import torch
from models import data, plain_model, squared
from torch import nn
from torch.utils.data import TensorDataset

from noise_lens import CaptureError
from noise_lens.capture import probe
from noise_lens.capture.reference import ExactReference
from noise_lens.tasks import StreamMinibatches, minibatches_of


def chosen(model, loss=squared, reference="auto", **options):
    sketch = probe(
        model, loss, data(), n_minibatches=50, batch_size=8, reference=reference, **options
    )
    return sketch.reference, sketch.reference_reason


def with_layer(layer):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), layer, nn.Linear(8, 1), nn.Flatten(0))


class FunctionalDropout(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, self.training)


def test_auto_takes_the_full_gradient_where_it_is_the_truth():
    assert chosen(plain_model())[0] == "full"
    assert chosen(with_layer(nn.Dropout(0.0)))[0] == "full"
    assert chosen(with_layer(nn.Dropout(0.5)), mode="eval")[0] == "full"
    assert chosen(with_layer(nn.BatchNorm1d(8)), mode="eval")[0] == "full"


@pytest.mark.parametrize(
    ("model", "loss", "reason"),
    [
        (with_layer(nn.Dropout(0.5)), squared, "Dropout '1' is active"),
        (with_layer(nn.BatchNorm1d(8)), squared, "BatchNorm1d '1' uses the statistics"),
        (with_layer(FunctionalDropout()), squared, "changes when it is computed again"),
        (plain_model(), lambda m, b: squared(m, b) * len(b[1]), "not the mean of their losses"),
    ],
)
def test_auto_falls_back_to_pairs_and_says_why(model, loss, reason):
    reference, why = chosen(model, loss)
    assert reference == "pair"
    assert reason in why
    with pytest.raises(CaptureError, match=r"'full' is not the mean .* Use reference='pair'"):
        chosen(model, loss, reference="full")


def test_unequal_weights_are_found_in_data_sorted_by_class():
    """The first examples are all of one class: only others show that classes weigh differently."""
    labels = torch.arange(400) // 200
    source = minibatches_of(TensorDataset(torch.randn(400, 6), labels))
    model = nn.Linear(6, 2)
    weights = torch.tensor([1.0, 9.0])

    def loss(model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1], weight=weights)

    found = probe(model, loss, source, n_minibatches=50, batch_size=16)
    assert found.reference == "pair"


def test_batch_norm_without_running_statistics_is_batch_dependent_even_in_eval():
    layer = nn.BatchNorm1d(8, track_running_stats=False)
    assert chosen(with_layer(layer), mode="eval")[0] == "pair"


def test_a_stream_has_pairs_only():
    batches = [(torch.randn(8, 6), torch.randn(8)) for _ in range(60)]
    stream = StreamMinibatches(batches)
    found = probe(plain_model(), squared, stream, n_minibatches=50, batch_size=8)
    assert found.reference == "pair"
    assert found.sampling.endswith("without replacement")
    assert found.example_indices is None
    for reference in ("full", "mean"):
        with pytest.raises(CaptureError, match="stream"):
            probe(plain_model(), squared, stream, n_minibatches=50, reference=reference)


def test_unknown_reference():
    with pytest.raises(CaptureError, match="one of auto, full, pair, mean; got 'median'"):
        chosen(plain_model(), reference="median")


def test_squares_of_the_reference_are_exact():
    """Squared norm of each cell to 1e-12 of float64, over more than one piece of lines."""
    generator = torch.Generator().manual_seed(0)
    n_lines = 40_000
    mean = torch.randn(n_lines * 64, dtype=torch.float64, generator=generator)
    cells = torch.arange(n_lines) * 3 // n_lines
    expected = [float(mean.view(-1, 64)[cells == cell].square().sum()) for cell in range(3)]
    found = ExactReference(mean.clone(), 1.0).squares(cells, 3)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_two_floats_hold_a_float64():
    """g minus the reference is the float64 difference rounded to float32, also after cancelling."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(10_000, dtype=torch.float64, generator=generator)
    gradient = (mean * (1 + 1e-4 * torch.randn(10_000, generator=generator))).float()
    part = gradient.clone()
    ExactReference(mean * 3, 3.0).subtract_from(part, 0)
    exact = gradient.double() - mean
    assert torch.allclose(part.double(), exact, rtol=2e-7, atol=1e-13)
