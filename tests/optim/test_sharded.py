"""Parameters that are sharded over ranks: the rule is that of the whole tensor."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from noise_lens.optim import AdaL, Padam

dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
for kind, options in (
    (AdaL, {}),
    (AdaL, {"norm_scope": "global", "norm": "mean_abs", "weight_decay": 0.1}),
    (Padam, {"p": 0.4, "weight_decay": 0.1, "decoupled": True}),
):
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(nn.Sequential(nn.Linear(6, 7), nn.Linear(7, 3)))
    whole, sharded = models
    fully_shard(sharded, mesh=mesh)
    optimizers = [kind(model.parameters(), **options) for model in models]
    for _ in range(3):
        x = torch.randn(4, 6)
        for model, optimizer in zip(models, optimizers):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    for one, other in zip(whole.parameters(), sharded.parameters()):
        torch.testing.assert_close(other.full_tensor(), one)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_under_fully_shard_two_ranks_are_where_one_process_is(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    found = subprocess.run([*command, str(program)], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]
