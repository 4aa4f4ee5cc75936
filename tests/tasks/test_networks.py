"""The networks against counts derived by hand and against the same arithmetic written out."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from noise_lens.tasks.networks import (
    VGG16,
    AlexNet,
    FullyConnected,
    LSTMLanguageModel,
    ResNet18,
    TransformerLanguageModel,
)


def size(build):
    with torch.device("meta"):
        return sum(p.numel() for p in build().parameters())


def seeded(build):
    """In double precision, with buffers and norms that are not the trivial ones."""
    torch.manual_seed(0)
    model = build().double().eval()
    for name, tensor in model.state_dict().items():
        if "running" in name or ("bn" in name and "num" not in name):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return model


def test_the_published_size_tells_how_layers_are_counted():
    """M = 2,888,704 of Zhou's 7 x 512 on CIFAR-10: 3072 x 512, five of 512 x 512, 512 x 10."""
    assert 3072 * 512 + 5 * 512**2 + 512 * 10 == 2_888_704
    assert size(lambda: FullyConnected(3072, 7, 512)) == 2_888_704
    assert size(lambda: FullyConnected(784, 9, 512)) == 784 * 512 + 7 * 512**2 + 5120 == 2_241_536
    biases = 6 * 512 + 10
    assert size(lambda: FullyConnected(3072, 7, 512, bias=True)) == 2_888_704 + biases


def test_fully_connected_is_matrix_products_and_relus():
    model = seeded(lambda: FullyConnected(12, 3, 5))
    images = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    first, second, third = model.parameters()
    expected = (third @ (second @ (first @ images.reshape(4, 12).T).relu()).relu()).T
    torch.testing.assert_close(model(images), expected)
    assert list(model.state_dict()) == ["fc.0.weight", "fc.2.weight", "fc.4.weight"]


@pytest.mark.parametrize(("width", "hidden"), [(10, 40), (64, 448), (100, 700)])
def test_size_of_alexnet(width, hidden):
    """Five convolutions with biases; 1 + floor(log2 64) = 7 times as wide linear maps."""
    convolutions = 3 * width * 16 + width**2 * (25 + 3 * 9) + 5 * width
    linear = width * hidden + hidden**2 + hidden * 10 + 2 * hidden + 10
    assert size(lambda: AlexNet(width)) == convolutions + linear
    if width == 64:
        assert convolutions + linear == 451_146


def test_alexnet_written_out():
    model = seeded(lambda: AlexNet(6))
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    w = model.state_dict()
    out = images
    for place, stride, padding, pooled in (
        (0, 2, 2, True), (3, 1, 2, True), (6, 1, 1, False), (8, 1, 1, False), (10, 1, 1, True),
    ):  # fmt: skip
        weight, bias = w[f"features.{place}.weight"], w[f"features.{place}.bias"]
        out = functional.conv2d(out, weight, bias, stride, padding).relu()
        out = functional.max_pool2d(out, 3, 2) if pooled else out
    assert out.shape == (2, 6, 1, 1)
    out = out.view(2, 6)
    for place in (1, 4):
        weight, bias = w[f"classifier.{place}.weight"], w[f"classifier.{place}.bias"]
        out = (out @ weight.T + bias).relu()
    out = out @ w["classifier.6.weight"].T + w["classifier.6.bias"]
    torch.testing.assert_close(model(images), out)


def test_alexnet_drops_out_in_training_only():
    model = AlexNet(8)
    images = torch.randn(4, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.eval()(images), model(images))
    undropped = AlexNet(8, dropout=0.0)
    assert torch.equal(undropped(images), undropped(images))


def test_size_of_vgg16():
    """Convolutions of the original's configuration D with biases, two numbers a channel of batch
    normalisation, 512 x 10 + 10.
    """
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    convolutions = sum(9 * a * b + b for a, b in pairwise(channels))
    expected = convolutions + 2 * sum(channels[1:]) + 5130
    assert size(VGG16) == expected == 14_728_266
    biases = sum(channels[1:])
    assert biases == 4224  # as the docstring says


def test_vgg16_written_out():
    model = seeded(lambda: VGG16(2))
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    w = model.state_dict()
    out, place = images, 0
    for n_convolutions in (2, 2, 3, 3, 3):
        for _ in range(n_convolutions):
            convolution, norm = f"features.{place}.", f"features.{place + 1}."
            out = functional.conv2d(out, w[convolution + "weight"], w[convolution + "bias"], 1, 1)
            out = functional.batch_norm(
                out, w[norm + "running_mean"], w[norm + "running_var"],
                w[norm + "weight"], w[norm + "bias"],
            ).relu()  # fmt: skip
            place += 3
        out = functional.max_pool2d(out, 2)
        place += 1
    assert out.shape == (2, 16, 1, 1)
    out = out.view(2, 16) @ w["classifier.weight"].T + w["classifier.bias"]
    torch.testing.assert_close(model(images), out)


def test_size_of_resnet18():
    """Stem, per stage two blocks of two 3 x 3 convolutions, a 1 x 1 shortcut in three stages, batch
    normalisation everywhere, no biases but the last.
    """
    total = 27 * 64 + 2 * 64
    for before, after in ((64, 64), (64, 128), (128, 256), (256, 512)):
        total += 9 * after * (before + 3 * after) + 4 * 2 * after
        total += (before * after + 2 * after) if before != after else 0
    assert size(ResNet18) == total + 5130 == 11_173_962


def test_resnet18_written_out():
    model = seeded(lambda: ResNet18(2))
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    w = model.state_dict()

    def norm(out, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(out, *(w[f"{name}.{part}"] for part in names))

    out = norm(functional.conv2d(images, w["conv1.weight"], padding=1), "bn1").relu()
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            inner = functional.conv2d(out, w[f"{name}.conv1.weight"], stride=stride, padding=1)
            inner = functional.conv2d(
                norm(inner, f"{name}.bn1").relu(), w[f"{name}.conv2.weight"], padding=1
            )
            if stride == 2:
                short = functional.conv2d(out, w[f"{name}.shortcut.0.weight"], stride=2)
                out = norm(short, f"{name}.shortcut.1")
            out = (norm(inner, f"{name}.bn2") + out).relu()
    assert out.shape == (2, 16, 4, 4)  # no pooling before the blocks: 32 -> 16 -> 8 -> 4
    out = functional.avg_pool2d(out, 4).view(2, 16) @ w["linear.weight"].T + w["linear.bias"]
    torch.testing.assert_close(model(images), out)


def test_initial_weights_are_those_of_torch():
    """A linear map of n inputs begins uniform on +-1/sqrt(n): variance 1/(3n)."""
    torch.manual_seed(0)
    weight = FullyConnected(3072, 3, 512).fc[2].weight.detach()
    assert float(weight.abs().max()) <= 512**-0.5
    # The variance of a squared uniform on [-1, 1] is 4/45; five standard errors.
    slack = 5 * (4 / 45) ** 0.5 / weight.numel() ** 0.5
    assert float(weight.square().mean()) * 512 == pytest.approx(1 / 3, abs=slack)


def test_sizes_of_the_language_models():
    """LSTM: four gates, two biases. Transformer: 12 d^2 + 13 d a block, besides ends."""
    v, d, length = 1000, 64, 16
    lstm = v * d + 4 * d * (d + d + 2) + d * v + v
    assert size(lambda: LSTMLanguageModel(v)) == lstm == 162_280
    transformer = v * d + length * d + 2 * (12 * d**2 + 13 * d) + 2 * d + d * v + v
    assert size(lambda: TransformerLanguageModel(v, length)) == transformer == 230_120
    tied = transformer - v * d
    assert size(lambda: TransformerLanguageModel(v, length, tied=True)) == tied


def test_lstm_written_out():
    model = seeded(lambda: LSTMLanguageModel(11, embedding=3, hidden=4))
    words = torch.randint(11, (2, 5))
    w = model.state_dict()
    h = c = torch.zeros(2, 4, dtype=torch.float64)
    expected = []
    for place in range(5):
        x = w["embedding.weight"][words[:, place]]
        gates = x @ w["lstm.weight_ih_l0"].T + w["lstm.bias_ih_l0"]
        gates = gates + h @ w["lstm.weight_hh_l0"].T + w["lstm.bias_hh_l0"]
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        expected.append(h @ w["head.weight"].T + w["head.bias"])
    torch.testing.assert_close(model(words), torch.stack(expected, dim=1))


@pytest.mark.parametrize("tied", [False, True])
def test_transformer_written_out(tied):
    model = seeded(lambda: TransformerLanguageModel(11, 6, 8, layers=2, heads=2, tied=tied))
    words = torch.randint(11, (3, 5))
    w = model.state_dict()

    def linear(out, name):
        return out @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(out, name):
        return functional.layer_norm(out, (8,), w[f"{name}.weight"], w[f"{name}.bias"])

    out = w["embedding.weight"][words] * (8**0.5 if tied else 1) + w["positions.weight"][:5]
    for block in ("blocks.0", "blocks.1"):
        parts = linear(norm(out, f"{block}.attention_norm"), f"{block}.attention.query_key_value")
        heads = [part.view(3, 5, 2, 4).transpose(1, 2) for part in parts.split(8, dim=-1)]
        mixed = functional.scaled_dot_product_attention(*heads, is_causal=True)
        out = out + linear(mixed.transpose(1, 2).reshape(3, 5, 8), f"{block}.attention.output")
        inner = linear(norm(out, f"{block}.feed_forward_norm"), f"{block}.feed_forward.0")
        out = out + linear(functional.gelu(inner), f"{block}.feed_forward.2")
    torch.testing.assert_close(model(words), linear(norm(out, "norm"), "head"))


@pytest.mark.parametrize(
    "build", [lambda: LSTMLanguageModel(11, 8, 8), lambda: TransformerLanguageModel(11, 6, 8)]
)
def test_no_word_is_told_what_follows(build):
    """Changing a word changes no logit before it, and some from it on."""
    model = seeded(build)
    words = torch.randint(11, (1, 6))
    changed = words.clone()
    changed[0, 3] = (words[0, 3] + 1) % 11
    same = (model(words) == model(changed)).all(dim=2)[0]
    assert same[:3].all()
    assert not same[3:].any()


@pytest.mark.parametrize(
    "build",
    [
        lambda: LSTMLanguageModel(11, 8, 8, layers=2, dropout=0.5),
        lambda: TransformerLanguageModel(11, 6, 8, dropout=0.5),
    ],
)
def test_gradients_are_dense_and_the_same_every_time(build):
    """In eval mode too, where a probe may measure; dropout makes them random in train mode only."""
    torch.manual_seed(0)
    model = build()
    words = torch.randint(11, (4, 6))

    def gradients():
        loss = functional.cross_entropy(model(words).flatten(0, 1), words.flatten())
        return torch.autograd.grad(loss, list(model.parameters()))

    one, two = gradients(), gradients()
    assert not all(map(torch.equal, one, two))
    model.eval()
    one, two = gradients(), gradients()
    assert all(map(torch.equal, one, two))
    assert not any(gradient.is_sparse for gradient in one)
