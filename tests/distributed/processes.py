"""Real processes for tests: gloo on the CPU, what each returns, and sharded models for them."""

from __future__ import annotations

import os
import random
import socket
import warnings
from datetime import timedelta

import numpy as np
import torch
from programs import MODELS, dataset
from torch import distributed, multiprocessing
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.data import DataLoader, DistributedSampler


def launch(job, world_size, folder, *arguments):
    """Run `job(rank, world_size, *arguments)` in so many processes; return what each returned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(
        _process, (job, world_size, port, str(folder), *arguments), world_size, start_method="fork"
    )
    return [torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(world_size)]


def _process(rank, job, world_size, port, folder, *arguments):
    torch.set_num_threads(1)
    os.environ.pop("WORLD_SIZE", None)
    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size,
        timeout=timedelta(seconds=60),  # ranks that wait for each other fail instead
    )  # fmt: skip
    torch.save(job(rank, world_size, *arguments), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


BFLOAT16 = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


def sharded(kind, policy=None, mesh=None, **options):
    """A seeded model under fully_shard, block by block and then the rest."""
    warnings.filterwarnings("ignore", ".*returned a view tensor")  # the model's own flatten
    torch.manual_seed(7)
    model = MODELS[kind]()
    options |= {"mesh": mesh} | ({} if policy is None else {"mp_policy": policy})
    blocks = model.body.layers if kind == "transformer" else model
    for block in blocks:
        if any(p.requires_grad for p in block.parameters()):
            fully_shard(block, **options)
    return fully_shard(model, **options)


def loader_of(kind, rank, world_size):
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(100 + rank)  # ranks drop out other units
    sampler = DistributedSampler(dataset(kind), world_size, rank, shuffle=True)
    return DataLoader(dataset(kind), batch_size=8, sampler=sampler)
