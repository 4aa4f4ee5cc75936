"""What a step of our optimizers costs beside torch's Adam, and how far all are from their rules.

Each takes the same gradients of a 10M-parameter transformer (76 tensors) in turns, one step a
round; the ratio is of medians over 20 rounds. On a CPU the time is that of the processor, one
thread, so that a busy machine is not in it; on a GPU that of CUDA events.

    python benchmarks/optimizer_cost.py                     on a CPU; writes the result
    python benchmarks/optimizer_cost.py --device cuda       on a GPU, beside what is there
    python benchmarks/optimizer_cost.py --equality          name -> largest difference, 20 steps
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from network_shapes import NETWORKS
from torch import nn

import noise_lens as nl

RESULT = Path(__file__).parent / "results" / "optimizer_cost.json"
RULES = Path(__file__).parent.parent / "tests" / "optim"
BAR = 1.3
CASES = {
    "Adam": lambda params: torch.optim.Adam(params, foreach=True),
    "Adam, amsgrad": lambda params: torch.optim.Adam(params, foreach=True, amsgrad=True),
    "AdaL": nl.optim.AdaL,
    "AdaL, global norm": lambda params: nl.optim.AdaL(params, norm_scope="global"),
    "AdaL, coupled decay": lambda params: nl.optim.AdaL(params, weight_decay=0.1),
    "Padam, p = 1/4": nl.optim.Padam,
    "Padam, p = 1/8": lambda params: nl.optim.Padam(params, p=1 / 8),
    "Padam, p = 2/5": lambda params: nl.optim.Padam(params, p=2 / 5),
}
HELD_TO_THE_BAR = ("AdaL", "Padam, p = 1/4")


def parameters(shapes, device):
    """Weights with gradients of the size that a network has."""
    found = [nn.Parameter(0.02 * torch.randn(shape, device=device)) for shape in shapes]
    for parameter in found:
        parameter.grad = 1e-3 * torch.randn_like(parameter)
    return found


def milliseconds(step, device):
    if device == "cpu":
        start = time.process_time()
        step()
        return 1e3 * (time.process_time() - start)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    step()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def measured(device, rounds):
    """Return name -> median milliseconds and ratio to Adam, all in turns."""
    model, _, _ = NETWORKS["transformer-10m"]()
    shapes = [parameter.shape for parameter in model.parameters()]
    optimizers = {name: build(parameters(shapes, device)) for name, build in CASES.items()}
    times = {name: [] for name in CASES}
    for turn in range(rounds + 3):
        for name, optimizer in optimizers.items():
            spent = milliseconds(optimizer.step, device)
            if turn >= 3:  # states are made, memory is warm
                times[name].append(spent)
    medians = {name: statistics.median(spent) for name, spent in times.items()}
    return {
        "tensors": len(shapes),
        "parameters": sum(shape.numel() for shape in shapes),
        "rounds": rounds,
        "cases": {
            name: {"step_ms": median, "ratio": median / medians["Adam"]}
            for name, median in medians.items()
        },
    }


def equality():
    """Print name -> largest difference from the NumPy rules of the tests."""
    sys.path.insert(0, str(RULES))
    import paper_rules

    print("| optimizer | largest difference of a weight, 20 steps, float64 |\n|---|---|")
    for name, largest in paper_rules.table().items():
        print(f"| {name} | {largest:.1e} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--equality", action="store_true", help="Print the table of differences.")
    options = parser.parse_args()
    if options.equality:
        equality()
        return
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = measured(options.device, options.rounds)
    where = "cpu, one thread" if options.device == "cpu" else torch.cuda.get_device_name()
    print(f"{where}: {found['parameters']:,} parameters in {found['tensors']} tensors")
    for name, case in found["cases"].items():
        held = name in HELD_TO_THE_BAR
        verdict = f"  {'within' if case['ratio'] <= BAR else 'ABOVE'} {BAR} x" if held else ""
        print(f"{name:20s} {case['step_ms']:8.2f} ms  {case['ratio']:.2f} x{verdict}")
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    results[where] = {"torch": torch.__version__, **found}
    RESULT.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
