"""What the theory of escape says of a trained network, and what the network does.

    OMP_NUM_THREADS=1 python benchmarks/escape_from_digits.py   # half a minute on one core

digits-mlp is trained by 2000 steps of SGD at 0.1, minibatches of 32 drawn with replacement. There
its noise and its curvature are measured and put into the formulas. Then 20 trainings go on from the
same weights at the same rate, each with minibatches of its own; and 3000 single steps are made from
those weights, to see how often one is enough, and along which curvature those go that are. The
basin is where the training loss less than doubles, as in the prediction: the loss on all training
data is looked at after every iteration, for when it is first above twice its value at the
checkpoint, and then below that again. What has not happened after 2000 iterations is censored.
Writes results/escape_from_digits.json.
"""

import dataclasses
import json
import math
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import torch

import noise_lens as nl
from noise_lens.capture.seeding import derived_seed
from noise_lens.evaluation import evaluate
from noise_lens.landscape import load_curvature
from noise_lens.landscape.objective import TrainingLoss
from noise_lens.prediction import Prediction, curvature_of_run, predict
from noise_lens.tasks import load_checkpoint, load_task, minibatches_of

RESULT = Path(__file__).parent / "results" / "escape_from_digits.json"
NAME, LEARNING_RATE, BATCH_SIZE = "digits-mlp", 0.1, 32
N_STEPS, N_TRAININGS, MAX_ITERATIONS, N_SINGLE = 2000, 20, 2000, 3000


def number(value: float) -> float | None:
    """Four digits; None for inf, which strict JSON does not have."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def weights_of(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in model.parameters()])


def steps(model: torch.nn.Module, task: nl.Task, n: int, seed: int):
    """Train by SGD; yields the number of steps after each."""
    rule = nl.optim.create("sgd", model.parameters(), lr=LEARNING_RATE)
    for done, batch in enumerate(minibatches_of(task.data).draw(n, BATCH_SIZE, seed), start=1):
        rule.zero_grad(set_to_none=True)
        task.loss(model, batch).backward()
        rule.step()
        yield done


def predicted(task: nl.Task, checkpoint: Path, run: Path) -> Prediction:
    """What the commands of the page do."""
    nl.measure(task, checkpoint, groups="all", out=run)
    curvature_of_run(run, task, checkpoint)
    return predict(run, learning_rate=LEARNING_RATE)


def went_on(task: nl.Task, checkpoint: Path, level: float, seed: int) -> dict[str, Any]:
    """First iterations above and again below a level, None where censored, and losses on the way.

    "before" is the loss one iteration before it was above: how much of the way one step made.
    """
    model = task.build_model(0)
    load_checkpoint(model, checkpoint)
    found: dict[str, Any] = {"seed": seed, "above": None, "below": None, "before": None}
    last, highest = level / 2, 0.0
    for done in steps(model, task, MAX_ITERATIONS, derived_seed(seed, "went on")):
        loss = evaluate(model, task)["train/loss"]
        if found["above"] is None and loss > level:
            found["above"], found["before"] = done, round(last, 4)
        last, highest = loss, max(highest, loss)
        if found["above"] is not None and loss < level:
            found["below"] = done
            break
    return {**found, "highest": round(highest, 4), "last": round(last, 4)}


def single_steps(task: nl.Task, checkpoint: Path, level: float) -> dict[str, Any]:
    """How many of the steps from a checkpoint end above a level, and the curvature along those."""
    model = task.build_model(0)
    load_checkpoint(model, checkpoint)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    objective, origin = TrainingLoss(model, task), weights_of(model)
    left = []
    for _ in steps(model, task, N_SINGLE, derived_seed(0, "single steps")):
        if evaluate(model, task)["train/loss"] > level:
            left.append((weights_of(model) - origin).to(objective.dtype))
        model.load_state_dict(start)
    along = torch.stack(left)
    curved = (along * objective.products(along)).sum(1) / along.square().sum(1)
    return {"n": N_SINGLE, "above": len(left), "curvatures": list(map(number, curved.tolist()))}


def main() -> None:
    torch.set_num_threads(1)
    started = process_time()
    task = load_task(NAME)
    training = dataclasses.replace(task, test_data=None, metrics=None)  # only its loss is read
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / f"step-{N_STEPS}.pt"
        model = task.build_model(0)
        for _ in steps(model, task, N_STEPS, derived_seed(0, "training")):
            pass
        torch.save(model.state_dict(), checkpoint)
        loss = evaluate(model, training)["train/loss"]
        run = Path(folder) / "digits"
        prediction = predicted(task, checkpoint, run)
        known = load_curvature(run)
        print(prediction, flush=True)
        trainings = []
        for seed in range(N_TRAININGS):
            trainings.append(went_on(training, checkpoint, 2 * loss, seed))
            print(trainings[-1], flush=True)
        single = single_steps(training, checkpoint, 2 * loss)
        print(single)
    content = {
        "settings": {
            "task": NAME,
            "learning_rate": LEARNING_RATE,
            "batch_size": BATCH_SIZE,
            "n_steps": N_STEPS,
            "max_iterations": MAX_ITERATIONS,
        },
        "loss": round(loss, 6),
        "printed": str(prediction).splitlines(),
        "iterations": {one.theory: list(map(number, one.iterations)) for one in prediction.escapes},
        "largest_eigenvalue": number(known.eigenvalues[0]),
        "mean_curvature": number(known.trace / known.n_parameters),
        "trainings": trainings,
        "single_steps": single,
        "processor_seconds": round(process_time() - started),
    }
    RESULT.write_text(json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
