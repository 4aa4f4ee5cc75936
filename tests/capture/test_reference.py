from __future__ import annotations

import pytest
import torch
from models import data, plain_model, squared
from torch import nn
from torch.utils.data import TensorDataset

from noise_lens import CaptureError
from noise_lens.capture import probe
from noise_lens.capture.cells import CellSums
from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.reference import ExactReference
from noise_lens.capture.windows import plan_windows
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


def one_layout(numels):
    shapes = {f"p{index}": torch.Size([numel]) for index, numel in enumerate(numels)}
    return build_layout(shapes, build_groups(list(shapes), "tensor"))


def test_squares_of_the_reference_are_exact():
    """Squared norm of each cell to 1e-12 of float64, over windows that cut the cells."""
    generator = torch.Generator().manual_seed(0)
    layout = one_layout([64 * 9_000, 64 * 1_000, 64 * 30_000])
    mean = torch.randn(layout.size, dtype=torch.float64, generator=generator)
    parts = mean.split([64 * 9_000, 64 * 1_000, 64 * 30_000])
    expected = [float(part.square().sum()) for part in parts]
    exact = ExactReference(mean.clone(), 1.0, plan_windows(layout, 64 * 2_500))
    found = exact.squares(CellSums(layout, mean.device), 3)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_two_floats_hold_a_float64():
    """g minus the reference is the float64 difference rounded to float32, also after cancelling;
    the two take no memory but that of the float64.
    """
    generator = torch.Generator().manual_seed(0)
    layout = one_layout([64 * 157])
    mean = torch.randn(layout.size, dtype=torch.float64, generator=generator)
    gradient = (mean * (1 + 1e-4 * torch.randn(layout.size, generator=generator))).float()
    windows = plan_windows(layout, 64 * 50)
    total = mean * 3
    exact = ExactReference(total, 3.0, windows)
    found = gradient.clone()
    for window in windows:
        exact.subtract_from(found[window.start : window.stop], window)
    assert torch.allclose(found.double(), gradient.double() - mean, rtol=2e-7, atol=1e-13)
    assert exact._parts.data_ptr() == total.data_ptr()
