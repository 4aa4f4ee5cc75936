"""What a probe costs beside the gradients it looks at: `make bench`, about one minute.

CPU time of one thread, medians of interleaved rounds, as ratios inside one run: "reads" is the time
over one vector norm of the gradient, window by window. Writes benchmarks/results/probe_cost.json.
"""

import json
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from noise_lens.capture import probe
from noise_lens.capture.cells import CellSums
from noise_lens.capture.gradients import MinibatchGradients, trainable_parameters
from noise_lens.capture.groups import build_groups
from noise_lens.capture.histogram import CellHistograms
from noise_lens.capture.layout import build_layout
from noise_lens.capture.projections import Signs
from noise_lens.capture.windows import Stage, plan_windows, window_length
from noise_lens.capture.workspace import Buffers, Workspace
from noise_lens.tasks import load_task, minibatches_of

ROUNDS = 15
TARGET = Path(__file__).parent / "results" / "probe_cost.json"


def seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def parts(n_parameters: int) -> dict[str, float]:
    """Reads of the gradient that each part of a row takes, one group of one big tensor."""
    shapes = {"w": torch.Size([n_parameters])}
    layout = build_layout(shapes, build_groups(["w"], "all"))
    device = torch.device("cpu")
    length = window_length(layout, device)
    windows = plan_windows(layout, length)
    gradient = [torch.randn(n_parameters)]
    buffers = Buffers(length, 1, device)
    stage = Stage(windows, buffers.gradients, 1)
    spaces = {w.stop - w.start: Workspace(buffers, w.stop - w.start) for w in windows}
    sums = CellSums(layout, device)
    signs = Signs(layout, windows, device, 0)
    histogram = CellHistograms(layout, sums)
    buckets = torch.zeros(1, 64)

    def each(work) -> None:
        for window in windows:
            work(spaces[window.stop - window.start], window)

    def project(space, window) -> None:
        signs.apply(stage.pieces(window), window)
        sums.add(buckets, space.noise_lines, window)

    works = {
        "read": lambda space, window: torch.linalg.vector_norm(space.noise),
        "copy into windows": lambda space, window: stage.fill(window, [gradient]),
        "counts and squares": lambda space, window: space.measure_noise(),
        "projections": project,
        "log-histogram": histogram.update,
    }
    each(works["copy into windows"])
    functions = {name: (lambda work=work: each(work)) for name, work in works.items()}
    rounds = [{name: seconds(f) for name, f in functions.items()} for _ in range(ROUNDS)]
    return {
        name: statistics.median(r[name] / r["read"] for r in rounds)
        for name in functions
        if name != "read"
    }


def whole(model: nn.Module, loss, data, batch_size: int, n: int) -> float:
    """Time of a probe over the time of the bare gradients of the same minibatches."""
    parameters = trainable_parameters(model)
    shapes = {name: p.shape for name, p in parameters.items()}
    layout = build_layout(shapes, build_groups(list(shapes), "all"))
    gradients = MinibatchGradients(model, loss, layout)

    def bare() -> None:
        for batch in data.draw(n, batch_size, 0):
            gradients.of(batch)

    def probed() -> None:
        probe(model, loss, data, n_minibatches=n, batch_size=batch_size, reference="pair",
              groups="all")  # fmt: skip

    bare()
    return statistics.median(seconds(probed) / seconds(bare) for _ in range(5))


def main() -> None:
    torch.set_num_threads(1)
    task = load_task("digits-mlp")
    wide = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 1024))
    wide_data = minibatches_of(TensorDataset(torch.randn(256, 1024)))
    result = {
        "reads of 8 million parameters": parts(8_000_000),
        "probe over bare gradients": {
            "digits-mlp, 8970 parameters, batch 32": whole(
                task.build_model(0), task.loss, minibatches_of(task.data), 32, 512
            ),
            "4.2 million parameters, batch 128": whole(
                wide, lambda m, b: m(b[0]).square().mean(), wide_data, 128, 50
            ),
        },
        "environment": {
            "machine": platform.machine(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": 1,
        },
    }
    TARGET.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(TARGET.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
