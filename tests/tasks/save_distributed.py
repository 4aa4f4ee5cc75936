"""Two processes that save a model under FSDP2 with torch.distributed.checkpoint: FOLDER FORM."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def save(rank: int, folder: str, form: str, meeting: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    mesh = init_device_mesh("cpu", (2,))
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    weights, moments = get_state_dict(model, optimizer)
    content = {"model": weights, "optimizer": moments, "step": torch.tensor(9)}
    path = Path(folder) / "sharded"
    if form == "async":
        dcp.async_save(content, checkpoint_id=path).result()
    else:
        dcp.save(content, checkpoint_id=path)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    whole, _ = get_state_dict(model, optimizer, options=options)
    if rank == 0:
        torch.save(whole, Path(folder) / "whole.pt")
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as meeting:
        multiprocessing.spawn(save, (*sys.argv[1:], f"{meeting}/store"), nprocs=2)
