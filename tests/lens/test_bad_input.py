"""What a training loop may do to a lens: each handled, or refused with a remedy."""

from __future__ import annotations

import warnings

import pytest
import torch
from models import dataset, plain_model, squared
from programs import batches
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import noise_lens as nl


def loop(model, optimizer, n, change=None, at=None, lens=None):
    """A plain loop; `change` happens before step `at`."""
    for index, batch in enumerate(batches(DataLoader(dataset(), batch_size=8), n)):
        if index == at:
            change()
        squared(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()


def sgd(model):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)


def test_a_model_without_gradients():
    model = plain_model().requires_grad_(False)
    with pytest.raises(nl.CaptureError, match="no trainable parameter"):
        nl.NoiseLens(model, torch.optim.SGD(model.parameters(), lr=1))


def test_complex_parameters():
    model = nn.Linear(2, 2, dtype=torch.complex64)
    with pytest.raises(nl.CaptureError, match="is complex"):
        nl.NoiseLens(model, sgd(model))


@pytest.mark.parametrize("kind", ["DeepSpeedEngine", "FullyShardedDataParallel", "PipelineStage"])
def test_wrappers_whose_gradients_no_hook_sees(kind):
    wrapper = type(kind, (nn.Module,), {})()
    wrapper.inner = plain_model()
    with pytest.raises(nl.CaptureError, match=rf"does not support {kind}: .*noise-lens measure"):
        nl.NoiseLens(wrapper, sgd(wrapper))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"preset": "heavy"}, "preset must be one of light, standard, full; got 'heavy'"),
        ({"budget": 0}, "budget is the share"),
        ({"loss_divisor": 0}, "loss_divisor must be positive"),
        ({"views": ("momentums",)}, "views must be different ones of"),
        ({"views": ("momentum",)}, "looks at minibatch gradients"),
        ({"log": 3}, "log must be callable"),
        ({"groups": "nothing.*"}, "matches no trainable parameter"),
    ],
)
def test_options_out_of_range(option, message):
    model = plain_model()
    with pytest.raises(nl.CaptureError, match=message):
        nl.NoiseLens(model, sgd(model), **option)


def test_an_optimizer_of_another_model():
    with pytest.raises(nl.CaptureError, match="steps no parameter of the model Sequential"):
        nl.NoiseLens(plain_model(), sgd(plain_model()))


def test_an_optimizer_that_is_given_twice_steps_once():
    model = plain_model()
    optimizer = sgd(model)
    with nl.NoiseLens(model, [optimizer, optimizer]) as lens:
        loop(model, optimizer, 5)
    assert lens.step == 5


def test_weights_that_another_optimizer_moves_are_noticed():
    """No step of the lens's own is counted, and differences are not called noise alone."""
    model = plain_model()
    lens = nl.NoiseLens(model, sgd(model))
    with pytest.warns(UserWarning, match="NoiseLens: ") as caught, lens:
        loop(model, sgd(model), 100)
    texts = [str(one.message) for one in caught]
    assert any("weights moved between micro-batches without a step" in text for text in texts)
    assert any("no step of the optimizer was seen" in text for text in texts)
    assert len(texts) == 2
    assert [entry["differences"] for entry in lens.trend] == ["of consecutive weights"]


def test_optimizers_in_turn_are_no_reason_to_warn_but_weights_move():
    """As a generator's and a discriminator's: a step is over when both have stepped."""
    model = plain_model()
    first = torch.optim.SGD(model[0].parameters(), lr=0.01)
    second = torch.optim.SGD(model[2].parameters(), lr=0.01)
    with nl.NoiseLens(model, [first, second]) as lens:
        for batch in batches(DataLoader(dataset(), batch_size=8), 60):
            for optimizer in (first, second):
                squared(model, batch).backward()
                optimizer.step()
                model.zero_grad()
    assert lens.step == 60
    assert lens.problems == []
    assert [entry["differences"] for entry in lens.trend] == ["of consecutive weights"]


@pytest.mark.parametrize("option", [{"n_minibatches": 32}, {"closing": 10}])
def test_probes_that_are_too_small_are_refused_at_once(option):
    model = plain_model()
    with pytest.raises(nl.CaptureError, match="needs at least 50 minibatches, got"):
        nl.NoiseLens(model, sgd(model), **option)


def test_what_is_no_optimizer():
    with pytest.raises(nl.CaptureError, match=r"optimizer must be a torch\.optim\.Optimizer"):
        nl.NoiseLens(plain_model(), "adam")


def test_parameters_that_are_replaced_are_followed():
    """No hook of the old ones fires any more: the very next step notices."""
    model = plain_model()
    optimizer = sgd(model)

    def replace():
        for module in (model[0], model[2]):
            module.weight = nn.Parameter(module.weight.detach().clone())
            module.bias = nn.Parameter(module.bias.detach().clone())

    lens = nl.NoiseLens(model, optimizer)
    with pytest.warns(UserWarning, match="parameters are others than before") as caught, lens:
        loop(model, optimizer, 300, replace, 10)
    assert len(caught) == 1
    assert lens.trend[0]["first_step"] in (11, 12)
    assert lens.trend[0]["silent"] == []


def test_parameters_that_are_frozen_or_added_are_followed():
    """They show at the end of the window: hooks of the others go on."""
    model = plain_model()
    optimizer = sgd(model)
    lens = nl.NoiseLens(model, optimizer)
    with pytest.warns(UserWarning, match="parameters are others than before"), lens:
        loop(model, optimizer, 600, lambda: model[0].requires_grad_(False), 100)
    assert set(lens.trend[0]["groups"]) == {"0", "2"}
    assert set(lens.trend[1]["groups"]) == {"2"}
    assert lens.trend[1]["first_step"] == lens.trend[0]["last_step"]


def test_a_parameter_that_never_gets_a_gradient_is_named():
    model = plain_model()
    model.unused = nn.Linear(3, 3)
    model.forward = lambda x: model[3](model[2](model[1](model[0](x))))
    optimizer = sgd(model)
    with nl.NoiseLens(model, optimizer) as lens:
        loop(model, optimizer, 260)
    assert lens.trend[0]["silent"] == ["unused.weight", "unused.bias"]
    assert lens.trend[0]["groups"]["unused"]["alpha"] is None


def test_a_loss_that_is_nan_now_and_then_is_counted_and_left_out():
    model = plain_model()
    optimizer = sgd(model)
    with nl.NoiseLens(model, optimizer) as lens:
        for index, batch in enumerate(batches(DataLoader(dataset(), batch_size=8), 300)):
            (squared(model, batch) * (float("nan") if index % 20 == 7 else 1)).backward()
            if index % 20 != 7:
                optimizer.step()
            optimizer.zero_grad()
    assert lens.trend[0]["n_not_finite"] == pytest.approx(
        lens.trend[0]["n_micro_batches"] / 20, abs=1
    )
    assert lens.trend[0]["alpha"] > 0.5


class Numbered(Dataset):
    """Counts in the process that reads it."""

    def __init__(self):
        self.inner, self.reads = dataset(), 0

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        self.reads += 1
        return self.inner[index]


def test_a_loader_with_workers_is_not_asked_for_any():
    """The lens reads the dataset itself: no worker is started, none of the loop's is disturbed."""
    numbered = Numbered()
    loader = DataLoader(numbered, batch_size=8, num_workers=2, persistent_workers=True)
    model = plain_model()
    optimizer = sgd(model)
    with nl.NoiseLens(
        model, optimizer, loss=squared, data=loader, schedule=nl.every(10), n_minibatches=50
    ) as lens:
        for batch in loader:
            squared(model, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert lens.problems == []
    assert numbered.reads > 400  # in this process: by the probes alone
    del loader


def test_an_exhausted_loader_of_the_lens_is_begun_again_and_an_empty_one_is_a_problem():
    class Three(IterableDataset):
        def __iter__(self):
            return iter(list(dataset())[:24])

    class Nothing(IterableDataset):
        def __iter__(self):
            return iter(())

    model = plain_model()
    with nl.NoiseLens(
        model, sgd(model), loss=squared, data=lambda: DataLoader(Three(), batch_size=8),
        n_minibatches=50,
    ) as lens:  # fmt: skip
        pass
    assert lens.problems == []
    assert lens.measurements[0].records[0]["n_minibatches"] == 50
    lens = nl.NoiseLens(
        model, sgd(model), loss=squared, data=lambda: DataLoader(Nothing(), batch_size=8),
        n_minibatches=50,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="gave 0 of 50 minibatches"), lens:
        pass


def test_a_stateful_loader_keeps_its_state():
    """A sampler with a generator of its own draws the same with and without a lens."""

    def order(seen):
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(dataset(), batch_size=8, shuffle=True, generator=generator)
        model = plain_model()
        optimizer = sgd(model)
        drawn = []
        lens = nl.NoiseLens(
            model, optimizer, loss=squared, data=loader, schedule=nl.every(5), n_minibatches=50
        )
        if seen:
            lens.attach()
        for batch in batches(loader, 60):
            drawn.append(batch[1])
            squared(model, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
        lens.detach()
        assert len(lens.measurements) == (12 if seen else 0)
        return torch.stack(drawn), generator.get_state()

    with_lens, without = order(seen=True), order(seen=False)
    assert torch.equal(with_lens[0], without[0])
    assert torch.equal(with_lens[1], without[1])


def test_two_lenses_on_one_model_see_the_same():
    model = plain_model()
    optimizer = sgd(model)
    with nl.NoiseLens(model, optimizer) as one, nl.NoiseLens(model, optimizer) as two:
        loop(model, optimizer, 260)
    assert one.trend == two.trend


def test_an_optimizer_that_steps_before_any_backward_pass():
    model = plain_model()
    optimizer = sgd(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with nl.NoiseLens(model, optimizer) as lens:
            optimizer.step()
    assert lens.step == 1


def test_more_groups_than_the_trend_has_lines_for_with_every_coordinate():
    model = nn.Sequential(*(nn.Linear(6, 6) for _ in range(11)), nn.Linear(6, 1), nn.Flatten(0))
    optimizer = sgd(model)
    with nl.NoiseLens(model, optimizer, preset="full", log=lambda numbers, step: None) as lens:
        loop(model, optimizer, 320)
    assert lens.problems == []
    assert len(lens.trend) == 2
    assert len(lens.trend[0]["groups"]) == 12
    assert sum("alpha" in found for found in lens.trend[0]["groups"].values()) == 8


def test_a_tiny_model_has_fewer_coordinates_than_asked():
    model = nn.Linear(1, 1, bias=False)
    optimizer = sgd(model)
    x = torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(x, x[:, 0]), batch_size=4)
    with nl.NoiseLens(model, optimizer) as lens:
        for batch in batches(loader, 260):
            (model(batch[0])[:, 0] - batch[1]).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert lens.capture["n_coordinates"] == 1
    assert lens.trend[0]["n_rows"] == 128
