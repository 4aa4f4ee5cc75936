"""The curvature of the training loss at fixed weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.seeding import derived_seed
from noise_lens.errors import CaptureError
from noise_lens.landscape.hessian import Curvature
from noise_lens.landscape.lanczos import lanczos
from noise_lens.landscape.objective import TrainingLoss
from noise_lens.landscape.weights import Weights, model_at, name_of_weights
from noise_lens.tasks import Task, load_task
from noise_lens.tasks.checkpoint import checkpoint_digest

_AT_ONCE = 64

Progress = Callable[[str, int, int], None]
"""Called with (what, how many are done, of how many)."""


def curvature(
    task: Task | str,
    checkpoint: Weights | None = None,
    *,
    n_eigenvalues: int = 10,
    coordinates: Sequence[tuple[str, int]] = (),
    n_probes: int = 64,
    n_examples: int | None = None,
    max_products: int = 200,
    tolerance: float = 1e-6,
    chunk_size: int = 512,
    seed: int = 0,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> Curvature:
    """Return the ends of the Hessian's spectrum, its trace and entries of its diagonal.

    The Hessian is that of the mean training loss, in eval mode: dropout does nothing, BatchNorm
    uses its running statistics. It is never formed: all comes from products with vectors.

    Parameters
    ----------
    task : Task or str
        A task, a built-in name, or ``pkg.module:callable``.
    checkpoint : str or Path or torch.nn.Module, optional
        The weights; the task's initial ones if not given. A model is copied.
    n_eigenvalues : int
        How many of the largest.
    coordinates : sequence of (str, int)
        Where the diagonal is wanted: parameter, and index in it, flattened; one product each.
    n_probes : int
        Vectors for the trace, at least 2.
    n_examples : int, optional
        Only so many random training examples: another, noisier loss.
    max_products : int
        Of Lanczos' method; it holds so many vectors of the model's size.
    tolerance : float
        Residual of the largest eigenvalues at which it stops, relative to the largest.
    chunk_size : int
        Examples whose graph is held at once.
    seed : int
        Of initial weights, subset and random vectors.
    device : str, optional
        Where to compute; a GPU if there is one.
    on_progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Curvature
        With errors of the eigenvalues and of the trace.

    Raises
    ------
    CaptureError
        A number is out of range, the data is a stream, or the loss cannot be used.
    DivergedError
        The loss is not finite.
    CheckpointError
        The checkpoint cannot be read or does not fit.

    Notes
    -----
    A Ritz value's residual bounds its distance to *an* eigenvalue. That none was missed between
    them is not certain, though likely: Lanczos' method from a random start finds the ends first.
    """
    if n_eigenvalues < 1 or n_probes < 2 or max_products < n_eigenvalues or not 0 < tolerance < 1:
        raise CaptureError(
            "curvature needs n_eigenvalues >= 1, n_probes >= 2, max_products >= n_eigenvalues and "
            f"tolerance in (0, 1); got n_eigenvalues={n_eigenvalues}, n_probes={n_probes}, "
            f"max_products={max_products}, tolerance={tolerance:g}"
        )
    task = load_task(task) if isinstance(task, str) else task
    model = model_at(task, checkpoint, seed=seed, device=device)
    objective = TrainingLoss(
        model, task, n_examples=n_examples, chunk_size=chunk_size, seed=derived_seed(seed, "subset")
    )
    loss, gradient = objective.loss(), objective.gradient()
    report = on_progress or (lambda *_: None)
    n_done = 0

    def product(vector: torch.Tensor) -> torch.Tensor:
        nonlocal n_done
        n_done += 1
        report("Lanczos", n_done, max_products)
        return objective.products(vector[None])[0]

    generator = torch.Generator().manual_seed(derived_seed(seed, "curvature"))
    spectrum = lanczos(
        product,
        objective.size,
        n_eigenvalues=n_eigenvalues,
        max_products=max_products,
        tolerance=tolerance,
        generator=generator,
        dtype=objective.dtype,
        device=objective.parameters.device,
    )
    traces = _quadratic_forms(objective, n_probes, generator, report)
    places = [objective.place_of(str(name), int(index)) for name, index in coordinates]
    every = tuple((str(name), int(index)) for name, index in coordinates)
    file = None if checkpoint is None or isinstance(checkpoint, torch.nn.Module) else checkpoint
    return Curvature(
        task=task.name,
        checkpoint=name_of_weights(checkpoint),
        checkpoint_sha256=None if file is None else checkpoint_digest(file),
        seed=seed,
        tensors=dict(zip(objective.names, objective.numels, strict=True)),
        n_examples=objective.n_examples,
        n_all=objective.n_all,
        dtype=str(objective.dtype).removeprefix("torch."),
        loss=loss,
        gradient_norm=float(gradient.norm()),
        eigenvalues=spectrum.largest,
        errors=spectrum.errors,
        smallest=spectrum.smallest,
        smallest_error=spectrum.smallest_error,
        converged=spectrum.converged,
        n_products=spectrum.n_products,
        trace=float(traces.mean()),
        trace_standard_error=float(traces.std(ddof=1) / n_probes**0.5),
        n_probes=n_probes,
        coordinates=every,
        diagonal=_diagonal(objective, places, report),
        slopes=gradient[places].cpu().double().numpy(),
    )


def _quadratic_forms(
    objective: TrainingLoss, n: int, generator: torch.Generator, report: Progress
) -> NDArray[np.float64]:
    """Return v'Hv of vectors of random signs, whose mean is the trace (Hutchinson, 1990)."""
    found = np.empty(n)
    for first in range(0, n, _AT_ONCE):
        part = slice(first, min(first + _AT_ONCE, n))
        shape = (part.stop - first, objective.size)
        signs = 2.0 * torch.randint(2, shape, generator=generator) - 1
        signs = signs.to(objective.parameters)
        found[part] = (signs * objective.products(signs)).sum(dim=1).cpu().numpy()
        report("trace", part.stop, n)
    return found


def _diagonal(
    objective: TrainingLoss, chosen: Sequence[int], report: Progress
) -> NDArray[np.float64]:
    places = torch.tensor(chosen, dtype=torch.long)
    found = np.empty(len(places))
    for first in range(0, len(places), _AT_ONCE):
        own = places[first : first + _AT_ONCE].to(objective.parameters.device)
        rows = torch.arange(len(own), device=own.device)
        units = objective.parameters.new_zeros(len(own), objective.size)
        units[rows, own] = 1.0
        found[first : first + len(own)] = objective.products(units)[rows, own].cpu().numpy()
        report("diagonal", first + len(own), len(places))
    return found
