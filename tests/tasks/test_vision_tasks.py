"""The tasks on images: what they hand out, what they can be told, that they can be measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import noise_lens as nl
from noise_lens.tasks import BUILT_IN, class_frequencies, load_task, minibatches_of
from noise_lens.tasks.vision import Images, read_cifar10, read_mnist

SMALL = {
    "mnist-fc": {"depth": 3, "width": 8},
    "cifar10-fc": {"depth": 3, "width": 8},
    "cifar10-alexnet": {"width": 4},
    "cifar10-vgg16": {"width": 2},
    "cifar10-resnet18": {"width": 2},
}


@pytest.fixture
def load(mnist, cifar10):
    """Load a task on images with a small network."""

    def load(name, **options):
        folder = mnist if name.startswith("mnist") else cifar10
        return load_task(name, {"data": folder, **SMALL[name], **options})

    return load


def test_all_of_them_are_tried_here():
    assert set(SMALL) == {name for name in BUILT_IN if name.startswith(("mnist", "cifar10"))}


@pytest.mark.parametrize("name", SMALL)
def test_they_train(load, name):
    """A few steps on one minibatch: its loss falls."""
    task = load(name, **({"dropout": 0.0} if "alexnet" in name else {}))
    assert (len(task.data), len(task.test_data)) == (40, 20 if "mnist" in name else 10)
    model = task.build_model(0)
    batch = next(minibatches_of(task.data).draw(1, 16, seed=0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    assert losses[-1] < 0.95 * losses[0]
    assert 0 <= task.metrics["accuracy"](model, batch) <= 1


@pytest.mark.parametrize("name", SMALL)
def test_the_defaults_are_the_networks_of_the_papers(mnist, cifar10, name):
    """Built without memory for their weights; the sizes are derived in test_networks."""
    sizes = {
        "mnist-fc": 2_241_536,
        "cifar10-fc": 2_888_704,
        "cifar10-alexnet": 451_146,
        "cifar10-vgg16": 14_728_266,
        "cifar10-resnet18": 11_173_962,
    }
    task = load_task(name, {"data": str(mnist if name == "mnist-fc" else cifar10)})
    with torch.device("meta"):
        model = task.model()
    assert sum(p.numel() for p in model.parameters()) == sizes[name]


def test_images_are_normalised_by_the_training_set(cifar10):
    """Mean 0 and sd 1 a channel on the training images; the test images by the same numbers."""
    task = load_task("cifar10-fc", {"data": cifar10})
    whole = next(iter(DataLoader(task.data, batch_size=40)))[0]
    assert whole.dtype == torch.float32
    assert task.data.images.dtype == torch.uint8
    assert whole.double().mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    sd = whole.double().std(dim=(0, 2, 3), correction=0)
    assert sd.tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    train, test = (part.images / 255 for part in read_cifar10(cifar10))
    mean, sd = (f(train, axis=(0, 2, 3))[:, None, None] for f in (np.mean, np.std))
    np.testing.assert_allclose(task.test_data[3][0], (test[3] - mean) / sd, atol=1e-5)
    assert task.test_data[3][1] == read_cifar10(cifar10)[1].labels[3]


def test_images_are_normalised_as_told(load, cifar10):
    raw = torch.from_numpy(read_cifar10(cifar10)[0].images).double() / 255
    assert torch.allclose(load("cifar10-fc", mean=0, sd=1).data[5][0].double(), raw[5])
    told = load("cifar10-fc", mean=[0.1, 0.2, 0.3], sd=[1, 2, 4]).data[5][0].double()
    shift, scale = torch.tensor([[0.1, 0.2, 0.3], [1, 2, 4]]).double().view(2, 3, 1, 1)
    assert torch.allclose(told, (raw[5] - shift) / scale, atol=1e-6)


def test_minibatches_are_the_examples_one_by_one(load):
    """In one gather, in a loader, or alone: the same numbers."""
    data = load("mnist-fc").data
    assert isinstance(data, Images)
    images, labels = minibatches_of(data).pick([3, 3, 17])
    assert images.shape == (3, 1, 28, 28)
    assert labels.dtype == torch.int64
    for place, index in enumerate([3, 3, 17]):
        image, label = data[index]
        assert torch.equal(images[place], image)
        assert labels[place] == label
    loader = DataLoader(data, batch_size=3)
    assert torch.equal(next(iter(loader))[0], minibatches_of(data).pick([0, 1, 2])[0])


def test_a_subset_is_a_random_choice_and_scaled_as_the_whole(load, mnist):
    whole, ten, twenty = (load("mnist-fc", n_train=n).data for n in (None, 10, 20))
    assert (len(whole), len(ten), len(twenty)) == (40, 10, 20)
    assert torch.equal(ten.images, twenty.images[:10])
    everything = {image.tobytes(): place for place, image in enumerate(whole.images.numpy())}
    places = [everything[image.tobytes()] for image in twenty.images.numpy()]
    assert len(set(places)) == 20
    assert places != sorted(places)
    assert whole.labels[places].equal(twenty.labels)
    assert torch.equal(whole[places[0]][0], twenty[0][0])
    other = load("mnist-fc", n_train=10, subset_seed=1).data
    assert not torch.equal(other.images, ten.images)
    again = load("mnist-fc", n_train=10).data
    assert torch.equal(again.images, ten.images)
    assert len(load("mnist-fc", n_test=5).test_data) == 5
    assert len(read_mnist(mnist)[0].labels) == 40


def test_augmentation_crops_and_flips(load):
    """Every crop is one of 81 places of the padded image, one in two flipped: all 162 are seen in
    4000 draws (each is missed with probability e^-24), each half as often as not.
    """
    data = load("cifar10-fc", augment=True, mean=0, sd=1).data
    image = data.images[0]
    padded = torch.nn.functional.pad(image, [4] * 4)
    known = {}
    for top in range(9):
        for left in range(9):
            crop = padded[:, top : top + 32, left : left + 32]
            known[crop.numpy().tobytes()] = (top, left, False)
            known[crop.flip(2).contiguous().numpy().tobytes()] = (top, left, True)
    torch.manual_seed(0)
    seen = []
    for _ in range(8):
        pixels = minibatches_of(data).pick([0] * 500)[0].mul(255).round().to(torch.uint8)
        seen += [known[each.numpy().tobytes()] for each in pixels]
    assert set(seen) == set(known.values())
    flips = sum(flipped for *_, flipped in seen)
    assert abs(flips - 2000) < 4 * 4000**0.5 / 2
    assert torch.equal(load("cifar10-fc", augment=True).test_data[0][0],
                       load("cifar10-fc").test_data[0][0])  # fmt: skip


def test_augmentation_draws_from_the_global_generator(load):
    data = load("cifar10-fc", augment=True).data
    torch.manual_seed(3)
    one = minibatches_of(data).pick(range(8))[0]
    other = minibatches_of(data).pick(range(8))[0]
    torch.manual_seed(3)
    assert torch.equal(one, minibatches_of(data).pick(range(8))[0])
    assert not torch.equal(one, other)


def test_unaugmented_images_draw_nothing(load):
    data = load("cifar10-fc").data
    state = torch.get_rng_state()
    minibatches_of(data).pick(range(8))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "options", "reference", "reason"),
    [
        ("mnist-fc", {}, "full", "no dropout"),
        # At its initial weights this net's loss is 2.3026 whatever it is shown.
        ("cifar10-fc", {"augment": True, "depth": 9}, "pair", "examples change when they are read"),
        ("cifar10-alexnet", {}, "pair", "Dropout"),
        ("cifar10-resnet18", {}, "pair", "BatchNorm2d"),
    ],
)
def test_the_reference(load, name, options, reference, reason):
    """Full only where it is the truth; random states are put back."""
    state = torch.get_rng_state()
    task = load(name, **options)
    measured = nl.measure(task, n_minibatches=50, batch_size=4, groups="all")
    assert torch.equal(torch.get_rng_state(), state)
    assert measured.sketch.reference == reference
    assert reason in measured.sketch.reference_reason
    assert measured.manifest["settings"]["task"] == name


def test_classes_are_counted(load, mnist, cifar10):
    assert class_frequencies(load("mnist-fc")).tolist() == [4] * 10
    expected = np.bincount(read_cifar10(cifar10)[0].labels)
    assert class_frequencies(load("cifar10-fc")).tolist() == expected.tolist()


def test_classes_of_what_has_none():
    stream = nl.Task(torch.nn.Linear(2, 1), lambda m, b: 0, iter([1, 2]), name="streamed")
    with pytest.raises(nl.TaskError, match="'streamed' is a stream"):
        class_frequencies(stream)
    with pytest.raises(nl.TaskError, match=r"not \(inputs, labels\) with labels that are integers"):
        class_frequencies(load_task("linear-regression", {"n": 10}))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("mnist-fc", {"depth": 1}, "depth to be a whole number of at least 2, got 1"),
        ("mnist-fc", {"width": 0}, "width to be a whole number of at least 1, got 0"),
        ("mnist-fc", {"width": "wide"}, "at least 1, got 'wide'"),
        ("mnist-fc", {"bias": "false"}, "bias to be True or False, got 'false'"),
        ("mnist-fc", {"augment": True}, "takes no augment; beside its own arguments it takes n_tr"),
        ("mnist-fc", {"n_train": 41}, "asked for n_train=41, and the folder has 40 such images"),
        ("mnist-fc", {"n_test": 0}, "n_test to be a whole number of at least 1, got 0"),
        ("mnist-fc", {"n_train": True}, "n_train to be a whole number of at least 1, got True"),
        ("mnist-fc", {"subset_seed": -1}, "subset_seed to be a whole number of at least 0"),
        ("cifar10-fc", {"mean": [0, 0]}, "mean must be one number or one for each of 3 channels,"),
        ("cifar10-fc", {"sd": 0}, "3 channels, above 0, for pixels in [0, 1]; got 0"),
        ("cifar10-fc", {"sd": "large"}, "got 'large'"),
        ("cifar10-fc", {"augment": 1}, "augment to be True or False, got 1"),
        ("cifar10-alexnet", {"dropout": 1}, "dropout to be a number in [0, 1), got 1"),
        ("cifar10-vgg16", {"width": 1.5}, "width to be a whole number of at least 1, got 1.5"),
        ("cifar10-resnet18", {"width": -2}, "width to be a whole number of at least 1, got -2"),
    ],
)
def test_out_of_range(load, name, options, said):
    with pytest.raises(nl.TaskError) as caught:
        load(name, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", SMALL)
def test_no_folder_given(name):
    with pytest.raises(nl.TaskError, match="--task-arg data=FOLDER on the command line"):
        load_task(name)


def test_a_channel_without_contrast(cifar10):
    for path in cifar10.iterdir():
        records = np.fromfile(path, dtype=np.uint8).reshape(-1, 3073)
        records[:, 1025:2049] = 9
        records.tofile(path)
    with pytest.raises(nl.TaskError, match=r"channel 1 of the training images .* Give mean= and"):
        load_task("cifar10-fc", {"data": cifar10})
    load_task("cifar10-fc", {"data": cifar10, "mean": 0, "sd": 1})
