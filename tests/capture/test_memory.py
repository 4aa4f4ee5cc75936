"""Memory is what the budget says: counted by the operating system, not by us."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

COMMON = """
import json, resource, sys
import torch
from torch import nn
from torch.utils.data import TensorDataset
from noise_lens.capture import budget, probe
from noise_lens.tasks import minibatches_of

torch.set_num_threads(1)
n, reference, block_sums = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def measured(model, loss, data, batch_size, **options):
    for _ in range(3):  # what a training step takes anyway
        batch = data.pick(range(batch_size))
        torch.autograd.grad(loss(model, batch), list(model.parameters()))
    before = peak()
    lines = {}
    probe(model, loss, data, n_minibatches=n, batch_size=batch_size, reference=reference,
          block_sums=block_sums, on_budget=lines.update, **options)
    growth = peak() - before
    parts = {part: budget.part_of_budget(lines, part)
             for part in (budget.STATE, budget.MODEL, budget.HOST)}
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"growth": growth, "lines": lines, "parts": parts,
                      "parameters": parameters}))
"""

MLP = (
    COMMON
    + """
model = nn.Sequential(nn.Linear(500, 2000), nn.ReLU(), nn.Linear(2000, 500))
data = minibatches_of(TensorDataset(torch.randn(64, 500)))
measured(model, lambda m, b: m(b[0]).square().mean(), data, 16)
"""
)

GPT2 = (
    COMMON
    + """
sys.modules["noise_lens.capture.probe"].FEWEST_MINIBATCHES = n  # a minibatch takes a second

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(768, 3 * 768), nn.Linear(768, 768)
    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (part.view(b, t, 12, 64).transpose(1, 2)
                   for part in self.c_attn(x).split(768, dim=2))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(b, t, 768))

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(768), nn.LayerNorm(768)
        self.attn = Attention()
        self.c_fc, self.c_proj = nn.Linear(768, 3072), nn.Linear(3072, 768)
    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(nn.functional.gelu(self.c_fc(self.ln_2(x))))

class GPT2(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(50257, 768), nn.Embedding(1024, 768)
        self.h = nn.ModuleList(Block() for _ in range(12))
        self.ln_f = nn.LayerNorm(768)
        self.head = nn.Linear(768, 50257, bias=False)
        self.head.weight = self.wte.weight
    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x))

def loss(model, batch):
    logits = model(batch[0][:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch[0][:, 1:].flatten())

data = minibatches_of(TensorDataset(torch.randint(50257, (64, 9))))
measured(GPT2(), loss, data, 1, groups="module")
"""
)

STATE, MODEL, HOST = "state of the sketch", "as large as the model", "on the host"


def run(script, n, reference, block_sums=True):
    command = [sys.executable, "-c", script, str(n), reference, str(block_sums)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def test_peak_memory_is_the_printed_budget_and_not_minibatches_times_parameters():
    """2 million parameters, 512 minibatches: 4.1 GB if gradients were stored. The peak of the
    process grows by at most the budget, a second copy of the rows and 30 MB of the allocator.
    """
    found = run(MLP, 512, "full")
    stored = 4 * 512 * found["parameters"]
    budget = sum(found["lines"].values())
    assert stored > 20 * budget
    assert found["growth"] < budget + found["parts"][HOST] + 30e6
    full = found["lines"][f"{MODEL}: full gradient (8 bytes a parameter)"]
    assert 8 * found["parameters"] <= full <= 8.1 * found["parameters"]


def test_more_minibatches_cost_only_rows():
    few, many = run(MLP, 80, "pair"), run(MLP, 512, "pair")
    names = [name for name in few["lines"] if not name.startswith(HOST) and "losses" not in name]
    assert [few["lines"][name] for name in names] == [many["lines"][name] for name in names]
    assert many["growth"] - few["growth"] < 30e6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "block_sums", "bytes_a_parameter"),
    [("pair", False, 4), ("pair", True, 8), ("mean", False, 8)],
)
def test_gpt_2_of_124_million_parameters(reference, block_sums, bytes_a_parameter):
    """The state of the sketch is at most 20 MB, and the process grows by no more than the lines
    that are as large as the model, the rows, 20 MB, and 30 MB of the allocator: a second copy of
    anything would be 498 MB.
    """
    found = run(GPT2, 4, reference, block_sums)
    parts = found["parts"]
    assert found["parameters"] == 124_439_808
    assert parts[STATE] <= 20e6
    assert parts[MODEL] == pytest.approx(bytes_a_parameter * found["parameters"], rel=1e-3)
    assert found["growth"] <= parts[MODEL] + parts[HOST] + 20e6 + 30e6
    assert found["growth"] >= 0.9 * parts[MODEL]  # the lines say what is there, not more
