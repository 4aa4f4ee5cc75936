"""Memory is bounded: by bytes that are printed, and by what the operating system counts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

import noise_lens as nl
from noise_lens.capture.budget import STATE, part_of_budget
from noise_lens.lens.describe import probe_lines
from noise_lens.lens.presets import preset_of
from noise_lens.lens.prober import ProbeSettings
from noise_lens.lens.watch import Watch, WatchOptions


class Gpt2(nn.Module):
    """The 148 tensors of GPT-2, 124 million elements, on no device."""

    def __init__(self):
        super().__init__()
        with torch.device("meta"):
            self.wte, self.wpe = nn.Embedding(50_257, 768), nn.Embedding(1024, 768)
            self.h = nn.ModuleList(
                nn.ModuleDict(
                    {
                        "ln_1": nn.LayerNorm(768), "c_attn": nn.Linear(768, 2304),
                        "proj": nn.Linear(768, 768), "ln_2": nn.LayerNorm(768),
                        "c_fc": nn.Linear(768, 3072), "c_proj": nn.Linear(3072, 768),
                    }
                )
                for _ in range(12)
            )  # fmt: skip
            self.ln_f = nn.LayerNorm(768)


@pytest.mark.parametrize("preset", ["light", "standard"])
def test_the_state_is_20_megabytes_whatever_the_model(preset):
    """Between steps, and while a probe of 1024 pairs of minibatches runs; module groups."""
    model = Gpt2()
    assert len(list(model.parameters())) == 148
    watch = Watch(
        model, WatchOptions(preset_of(preset), "module", None, 1.0, 0),
        on_window=print, on_problem=print,
    )  # fmt: skip
    between = sum(watch.state.values())
    assert 4 * 16 * 65_536 <= between < 5e6
    settings = ProbeSettings(8, "auto", "module", 0, block_sums=False)
    lines = probe_lines(watch.parameters, settings, 2048)
    # The ring is let go of before a probe.
    assert part_of_budget(lines, STATE) <= 20e6
    assert [name for name in lines if name.startswith("as large")] == [
        "as large as the model: first gradient of a pair"
    ]
    watch.stop(drain=False)


def test_a_probe_of_the_standard_preset_keeps_no_sum_of_gradients():
    """What is printed is what the probe does: its noise scale is withheld, and says why."""
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 1), nn.Flatten(0))
    data = torch.utils.data.TensorDataset(torch.randn(64, 6), torch.randn(64))
    for preset in ("standard", "full"):
        lens = nl.NoiseLens(
            model, torch.optim.SGD(model.parameters(), lr=0.1), preset=preset,
            loss=lambda m, b: (m(b[0]) - b[1]).square().mean(),
            data=torch.utils.data.DataLoader(data, batch_size=8), n_minibatches=50,
        )  # fmt: skip
        with lens:
            pass
        lines = lens.measurements[0].sketch.budget
        assert any("sum of gradients" in name for name in lines) == (preset == "full")
        reason = lens.measurements[0].records[0]["noise_scale_reason"]
        assert ("which was not kept" in (reason or "")) == (preset == "standard")


def test_full_prints_what_it_holds_for_every_coordinate():
    model = nn.Linear(1000, 1000)
    lens = nl.NoiseLens(model, torch.optim.SGD(model.parameters(), lr=0.1), preset="full")
    lens.attach()
    lines = lens._follower.watch.state
    lens.detach()
    assert lines["sums, squares and log-histograms of every coordinate"] >= 8 * 1_001_000
    assert "sums, squares and log-histograms of every coordinate" in lens.describe()


SCRIPT = """
import gc, json, resource, sys
import torch
from torch import nn
import noise_lens as nl

torch.set_num_threads(1)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
x, y = torch.randn(512, 64), torch.randint(0, 10, (512,))
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])

def steps(n):
    for index in range(n):
        part = slice(8 * (index % 64), 8 * (index % 64) + 8)
        loss(model, (x[part], y[part])).backward()
        optimizer.step()
        optimizer.zero_grad()

def tensors():
    gc.collect()
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

lens = nl.NoiseLens(model, optimizer, preset=sys.argv[1], loss=loss, data=data,
                    schedule=nl.every(500), n_minibatches=50)
lens.attach()
steps(1500)
before, tensors_before = peak(), tensors()
steps(10_000)
print(json.dumps({"growth": peak() - before, "tensors": tensors() - tensors_before,
                  "windows": len(lens.trend), "probes": len(lens.measurements)}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["standard", "full"])
def test_ten_thousand_steps_add_no_memory(preset):
    """20 probes and 39 windows later the peak has grown by less than 8 MB, and no tensor stays."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, preset],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["probes"] == 23
    assert found["windows"] >= 44
    assert found["growth"] < 8e6
    assert abs(found["tensors"]) <= 16
