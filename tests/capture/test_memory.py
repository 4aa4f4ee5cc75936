"""Memory is bounded by the sketch: counted by the operating system, not by us."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, resource, sys
import torch
from torch import nn
from torch.utils.data import TensorDataset
from noise_lens.capture import probe
from noise_lens.tasks import minibatches_of

torch.set_num_threads(1)
n, reference = int(sys.argv[1]), sys.argv[2]
model = nn.Sequential(nn.Linear(500, 2000), nn.ReLU(), nn.Linear(2000, 500))
data = minibatches_of(TensorDataset(torch.randn(64, 500)))
loss = lambda m, b: m(b[0]).square().mean()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

for _ in range(3):  # what a training step takes anyway
    torch.autograd.grad(loss(model, data.pick(range(16))), list(model.parameters()))
before = peak()
budget = {}
options = {"n_minibatches": n, "batch_size": 16, "reference": reference}
probe(model, loss, data, **options, on_budget=budget.update)
parameters = sum(p.numel() for p in model.parameters())
print(json.dumps({"growth": peak() - before, "budget": budget, "parameters": parameters}))
"""


def run(n, reference):
    command = [sys.executable, "-c", SCRIPT, str(n), reference]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def test_peak_memory_is_the_printed_budget_and_not_minibatches_times_parameters():
    """2 million parameters, 512 minibatches: 4.1 GB if gradients were stored. The peak of the
    process grows by at most the budget, the host's copy of the sketch and 40 MB of the allocator.
    """
    found = run(512, "full")
    stored = 4 * 512 * found["parameters"]
    budget = sum(found["budget"].values())
    sketch = sum(size for name, size in found["budget"].items() if name.startswith("sketch"))
    assert stored > 20 * budget
    assert found["growth"] < budget + 3 * sketch + 40e6
    assert stored > 20 * found["growth"]
    full = next(size for name, size in found["budget"].items() if name.startswith("full gradient"))
    assert 16 * found["parameters"] <= full <= 16.1 * found["parameters"]


def test_more_minibatches_cost_only_rows():
    few, many = run(64, "pair"), run(512, "pair")
    names = [name for name in few["budget"] if not name.startswith("sketch")]
    assert [few["budget"][name] for name in names] == [many["budget"][name] for name in names]
    assert many["growth"] - few["growth"] < 30e6
