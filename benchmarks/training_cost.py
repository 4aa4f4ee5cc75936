"""What a lens costs a training step: time, bytes, reads of the gradient, host syncs.

On a CPU the hooks' own processor time stands over that of the bare step, one thread, because a
difference of two whole steps drowns in noise. On a GPU it is the time of steps with and without, in
turns, by CUDA events; synchronisations are counted by torch's own debug mode.

    python benchmarks/training_cost.py                      the two 10M networks on a CPU
    python benchmarks/training_cost.py --device cuda        GPT-2 and ResNet-50, bf16 and fp32
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from network_shapes import NETWORKS

import noise_lens as nl
from noise_lens.capture.passive import PassiveCapture, TrainingRows
from noise_lens.lens.trend import PAIRS, Trend

RESULT = Path(__file__).parent / "results" / "training_cost.json"
PRESETS = ("light", "standard", "full")
ON = {"cpu": ("transformer-10m", "resnet-18"), "cuda": ("gpt2-124m", "resnet-50")}


class OwnTime:
    """Processor time inside the capture: its hooks, its callbacks, the end of a step."""

    def __init__(self):
        self.seconds = 0.0
        self._hook, self._guard = PassiveCapture._hook, PassiveCapture._guard

    def __enter__(self):
        PassiveCapture._hook = lambda capture, index: self._timed(self._hook(capture, index))
        PassiveCapture._guard = self._timed(self._guard)
        return self

    def __exit__(self, *_):
        PassiveCapture._hook, PassiveCapture._guard = self._hook, self._guard

    def _timed(self, call):
        def timed(*arguments):
            start = time.process_time()
            call(*arguments)
            self.seconds += time.process_time() - start

        return timed


def stepper(name, device, dtype):
    """A network, its optimizer, and a function that trains one step."""
    torch.manual_seed(0)
    model, loss, batch = NETWORKS[name]()
    model = model.to(device)
    if device == "cuda" and name == "resnet-50":
        model = model.to(memory_format=torch.channels_last)
    batch = tuple(part.to(device) for part in batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    autocast = torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32)

    def step():
        with autocast:
            value = loss(model, batch)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return model, optimizer, step


def window_seconds(lens):
    """Processor time of the host's part of one window, fed with random rows."""
    passive = lens._follower.watch._passive
    counts = [pick.count for pick in passive.picks]
    groups = lens._follower.watch._trend_groups
    trend = Trend(passive.names, counts, groups, lambda entry: None)
    rng = np.random.default_rng(0)
    rows = TrainingRows(
        rng.standard_normal((16, sum(counts)), dtype=np.float32),
        np.ones((16, len(counts)), dtype=np.float32),
        np.arange(16),
    )
    for _ in range(2):  # the first loads tables
        start = time.process_time()
        for _ in range(2 * PAIRS // 16):
            trend.add(rows)
        seconds = time.process_time() - start
    return seconds


def on_cpu(name, n_steps):
    """Own time over step time for each preset, and in reads of the gradient."""
    found = {}
    for preset in PRESETS:
        model, optimizer, step = stepper(name, "cpu", torch.float32)
        for _ in range(2):
            step()
        own, bare, reads = [], [], []
        # As cold as gradients are after a step: a step moves many times the cache.
        gradients = [torch.randn_like(p) for p in model.parameters()]
        with OwnTime() as timer:
            lens = nl.NoiseLens(model, optimizer, preset=preset).attach()
            step()
            for _ in range(n_steps):
                timer.seconds = 0.0
                start = time.process_time()
                step()
                whole = time.process_time() - start
                own.append(timer.seconds)
                bare.append(whole - timer.seconds)
                start = time.process_time()
                torch._foreach_norm(gradients)
                reads.append(time.process_time() - start)
        window = window_seconds(lens) / (2 * PAIRS)
        seconds = statistics.fmean(own)
        found[preset] = {
            "hook_ms": 1e3 * seconds,
            "window_ms_a_step": 1e3 * window,
            "step_ms": 1e3 * statistics.fmean(bare),
            "share": (seconds + window) / statistics.fmean(bare),
            "reads": (seconds + window) / statistics.median(reads),
            "state_bytes": sum(lens._follower.watch.state.values()),
        }
        lens.detach()
    return found


def on_gpu(name, dtype, n_steps):
    """Step time with and without each preset in turns; syncs a step; bytes; the byte floor."""
    model, optimizer, step = stepper(name, "cuda", dtype)
    for _ in range(5):
        step()
    numel = sum(p.numel() for p in model.parameters())
    found = {"floor_ms_read_at_4.3_TB_s": 4 * numel / 4.3e12 * 1e3}
    for preset in PRESETS:
        with_lens, without = [], []
        lens = nl.NoiseLens(model, optimizer, preset=preset)
        for turn in range(6):
            seen = turn % 2
            with contextlib.nullcontext():
                if seen:
                    lens.attach()
                for _ in range(3):
                    step()
                (with_lens if seen else without).append(_timed(step, n_steps))
                if seen:
                    lens.detach()
        lens.attach()
        step()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            for _ in range(n_steps):
                step()
            torch.cuda.set_sync_debug_mode("default")
        n_syncs = sum("synchroniz" in str(one.message) for one in caught)
        found[preset] = {
            "step_ms": statistics.median(without),
            "step_ms_with": statistics.median(with_lens),
            "share": statistics.median(with_lens) / statistics.median(without) - 1,
            "syncs_a_step": n_syncs / n_steps,
            "state_bytes": sum(lens._follower.watch.state.values()),
        }
        lens.detach()
    return found


def _timed(step, n_steps):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(n_steps):
        step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / n_steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=list(ON), default="cpu")
    parser.add_argument("--steps", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in ON[options.device]:
        if options.device == "cpu":
            results[name] = on_cpu(name, options.steps)
        else:
            device = torch.cuda.get_device_name()
            for dtype in (torch.bfloat16, torch.float32):
                kind = str(dtype).removeprefix("torch.")
                results[f"{name}, {kind}, {device}"] = on_gpu(name, dtype, options.steps)
        print(name, json.dumps(results, indent=2), flush=True)
    RESULT.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
