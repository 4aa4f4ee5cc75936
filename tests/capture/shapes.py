"""Shapes of the parameters of two known models, and gradients that are given."""

from __future__ import annotations

import torch


def gpt2_shapes():
    """GPT-2 of 124 million parameters: 148 tensors, of 75 modules."""
    d = 768
    shapes = {"wte.weight": (50257, d), "wpe.weight": (1024, d)}
    for block in range(12):
        for name, shape in {
            "ln_1.weight": (d,), "ln_1.bias": (d,),
            "attn.c_attn.weight": (d, 3 * d), "attn.c_attn.bias": (3 * d,),
            "attn.c_proj.weight": (d, d), "attn.c_proj.bias": (d,),
            "ln_2.weight": (d,), "ln_2.bias": (d,),
            "mlp.c_fc.weight": (d, 4 * d), "mlp.c_fc.bias": (4 * d,),
            "mlp.c_proj.weight": (4 * d, d), "mlp.c_proj.bias": (d,),
        }.items():  # fmt: skip
            shapes[f"h.{block}.{name}"] = shape
    shapes |= {"ln_f.weight": (d,), "ln_f.bias": (d,)}
    return {name: torch.Size(shape) for name, shape in shapes.items()}


def resnet50_shapes():
    """ResNet-50: 161 tensors, of 107 modules."""
    shapes = {"conv1.weight": (64, 3, 7, 7), "bn1.weight": (64,), "bn1.bias": (64,)}
    before = 64
    for layer, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=1):
        for block in range(blocks):
            own = {"conv1": (width, before, 1, 1), "conv2": (width, width, 3, 3),
                   "conv3": (4 * width, width, 1, 1)}  # fmt: skip
            if block == 0:
                own["downsample"] = (4 * width, before, 1, 1)
            for name, shape in own.items():
                path = f"layer{layer}.{block}.{name}"
                shapes |= {f"{path}.weight": shape, f"{path}_norm.weight": shape[:1],
                           f"{path}_norm.bias": shape[:1]}  # fmt: skip
            before = 4 * width
    shapes |= {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    return {name: torch.Size(shape) for name, shape in shapes.items()}


class GivenGradients:
    """Stands for a model: a minibatch is its gradients."""

    def __init__(self, device="cpu"):
        self.device = torch.device(device)

    def of(self, batch):
        return torch.zeros((), device=self.device), batch
