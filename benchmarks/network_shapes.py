"""Networks of well-known shapes with random weights, for timing alone."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """A transformer block: attention and a feed-forward part of four times the width."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x):
        rows, length, width = x.shape
        parts = self.qkv(self.first(x)).view(rows, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(nn.functional.gelu(self.up(self.second(x))))


class Transformer(nn.Module):
    """A decoder with learned positions and a tied head."""

    def __init__(self, width: int, layers: int, heads: int, vocabulary: int, length: int):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.vocabulary, self.length = vocabulary, length

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.places(places)
        for block in self.blocks:
            x = block(x)
        return nn.functional.linear(self.norm(x), self.tokens.weight)


class Residual(nn.Module):
    """A residual block: two 3 x 3 convolutions, or a bottleneck of three."""

    def __init__(self, before: int, width: int, after: int, stride: int, bottleneck: bool):
        super().__init__()
        kernels = ((1, 1), (3, stride), (1, 1)) if bottleneck else ((3, stride), (3, 1))
        widths = [before, *([width] * (len(kernels) - 1)), after]
        layers: list[nn.Module] = []
        for (size, step), i, o in zip(kernels, widths, widths[1:], strict=False):
            layers += [nn.Conv2d(i, o, size, step, size // 2, bias=False), nn.BatchNorm2d(o)]
            layers += [nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.skip = (
            nn.Identity()
            if before == after and stride == 1
            else nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )
        )

    def forward(self, x):
        return nn.functional.relu(self.body(x) + self.skip(x))


def resnet(depths: tuple[int, ...], *, bottleneck: bool, classes: int, small: bool) -> nn.Module:
    """ResNet: (2, 2, 2, 2) without bottlenecks is ResNet-18, (3, 4, 6, 3) with them ResNet-50."""
    stem = [nn.Conv2d(3, 64, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)]
    layers = [*stem, nn.BatchNorm2d(64), nn.ReLU()]
    layers += [] if small else [nn.MaxPool2d(3, 2, 1)]
    before = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        after = 4 * width if bottleneck else width
        for index in range(depth):
            stride = 2 if stage and not index else 1
            layers.append(Residual(before, width, after, stride, bottleneck))
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def next_token_loss(model, batch):
    """Mean cross-entropy of the next token."""
    tokens = batch[0]
    logits = model(tokens[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def class_loss(model, batch):
    """Mean cross-entropy of the class."""
    return nn.functional.cross_entropy(model(batch[0]).float(), batch[1])


def transformer_10m():
    """10 million parameters; 8 rows of 64 tokens."""
    model = Transformer(320, 6, 5, 8000, 64)
    return model, next_token_loss, (torch.randint(0, 8000, (8, 65)),)


def gpt2():
    """GPT-2 of 124 million parameters; 8 rows of 1024 tokens."""
    model = Transformer(768, 12, 12, 50_257, 1024)
    return model, next_token_loss, (torch.randint(0, 50_257, (8, 1025)),)


def resnet_18():
    """ResNet-18 for small images; 16 of 32 x 32."""
    model = resnet((2, 2, 2, 2), bottleneck=False, classes=10, small=True)
    return model, class_loss, (torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,)))


def resnet_50():
    """ResNet-50; 64 images of 224 x 224."""
    model = resnet((3, 4, 6, 3), bottleneck=True, classes=1000, small=False)
    return model, class_loss, (torch.randn(64, 3, 224, 224), torch.randint(0, 1000, (64,)))


NETWORKS = {
    "transformer-10m": transformer_10m,
    "resnet-18": resnet_18,
    "gpt2-124m": gpt2,
    "resnet-50": resnet_50,
}
