"""Real processes for tests: gloo on the CPU, and what each of them returns."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import torch
from torch import distributed, multiprocessing


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
