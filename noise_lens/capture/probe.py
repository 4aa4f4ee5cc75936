"""A probe: a burst of minibatch gradients at frozen weights, kept as a sketch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.budget import memory_budget
from noise_lens.capture.coordinates import sample_coordinates
from noise_lens.capture.gradients import Loss, MinibatchGradients, trainable_parameters
from noise_lens.capture.groups import GroupSpec, build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.preserve import Mode, preserved
from noise_lens.capture.ranks import ALONE, Ranks, places_of, seeded
from noise_lens.capture.recorder import Recorder
from noise_lens.capture.reference import (
    ExactReference,
    Minibatches,
    choose_reference,
    mean_gradient,
)
from noise_lens.capture.seeding import derived_seed
from noise_lens.capture.sharded import shards_of, training_put_aside
from noise_lens.capture.sharded_gradients import RanksTogether, ShardedGradients
from noise_lens.capture.sketch import LARGEST_INDEXED_BATCH, Sketch
from noise_lens.errors import CaptureError, DivergedError

FEWEST_MINIBATCHES = 50


class ProbeOptions(TypedDict, total=False):
    """The options of :func:`probe` that its callers pass through; see there."""

    n_minibatches: int
    batch_size: int
    reference: str
    groups: GroupSpec
    mode: Mode | Mapping[str, bool]
    seed: int
    sketch_seed: int | None
    ranks: Ranks
    block_sums: bool


def probe(
    model: nn.Module,
    loss: Loss,
    data: Minibatches,
    *,
    n_minibatches: int = 1024,
    batch_size: int = 32,
    reference: str = "auto",
    groups: GroupSpec = "tensor",
    mode: Mode | Mapping[str, bool] = "train",
    seed: int = 0,
    sketch_seed: int | None = None,
    n_coordinates: int = 128,
    n_projections: int = 64,
    ranks: Ranks = ALONE,
    block_sums: bool = True,
    on_budget: Callable[[dict[str, int]], None] | None = None,
    on_minibatch: Callable[[int], None] | None = None,
) -> Sketch:
    """Capture the noise of minibatch gradients at the model's present weights.

    Weights, buffers, ``.grad``, modes and random states are afterwards what they were.

    Parameters
    ----------
    model : torch.nn.Module
        The model; its weights are not changed.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch.
    data : Minibatches
        Where minibatches come from.
    n_minibatches : int
        M, at least 50, of all ranks together.
    batch_size : int
        Examples a minibatch.
    reference : {"auto", "full", "pair", "mean"}
        What is subtracted; see the glossary.
    groups : str or sequence of str or mapping of str to str
        ``all`` and these; see :func:`~noise_lens.capture.groups.build_groups`.
    mode : {"train", "eval"} or mapping of str to bool
        Mode to measure in.
    seed : int
        Of the minibatches and of dropout.
    sketch_seed : int, optional
        Of the coordinates and the signs; `seed` if not given. Probes that are to be compared
        share it.
    n_coordinates : int
        d, sampled coordinates a group.
    n_projections : int
        P, random projections a group: a power of two, at most 64.
    ranks : Ranks
        Of several processes, each takes its share of the same draw. Under ``fully_shard`` they
        take every row together: what is kept is this rank's shards of all rows.
    block_sums : bool
        Whether sums of gradients are kept, 4 bytes a parameter. Without them the noise scale
        needs a full gradient.
    on_budget : callable, optional
        Called with the memory budget before anything is allocated.
    on_minibatch : callable, optional
        Called with 1 after each minibatch.

    Returns
    -------
    Sketch
        R = M rows, or M // 2 for "pair".

    Raises
    ------
    CaptureError
        Fewer than 50 minibatches, or gradients that cannot be captured as asked.
    """
    if n_minibatches < FEWEST_MINIBATCHES:
        raise CaptureError(
            f"a probe needs at least {FEWEST_MINIBATCHES} minibatches, got {n_minibatches}. "
            "About 1000 can support a statement, fewer can only reject one."
        )
    if batch_size < 1:
        raise CaptureError(f"batch_size must be at least 1, got {batch_size}")
    if n_coordinates < 1 or n_projections not in (1, 2, 4, 8, 16, 32, 64):
        raise CaptureError(
            "a sketch needs n_coordinates >= 1 and n_projections a power of two up to 64, "
            f"got {n_coordinates} and {n_projections}"
        )
    shards = shards_of(model)
    parameters = trainable_parameters(model)
    built = build_groups(list(parameters), groups)
    gradients: MinibatchGradients
    if shards is None:
        layout = build_layout({name: p.shape for name, p in parameters.items()}, built)
        gradients = MinibatchGradients(model, loss, layout)
    else:
        layout = build_layout(shards.shapes, built, shards.first, shards.whole)
        gradients = ShardedGradients(model, loss, layout)
        data, ranks = RanksTogether(data, shards.ranks, batch_size), ALONE
    sketch_seed = seed if sketch_seed is None else sketch_seed
    minibatch_seed = derived_seed(seed, "minibatches")
    model_seed = derived_seed(seed, "model")
    # Ranks that share a row drop out other units.
    own_seed = derived_seed(model_seed, "rank", str(shards.ranks.rank)) if shards else model_seed

    with training_put_aside(model, shards), preserved(model, mode, model_seed):
        chosen, reason = choose_reference(reference, gradients, model, data, batch_size)
        places = places_of(n_minibatches, chosen, ranks)
        n_rows = len(places) // 2 if chosen == "pair" else len(places)
        positions = [
            sample_coordinates(layout, group, n_coordinates, sketch_seed) for group in built
        ]
        budget = memory_budget(
            layout,
            n_rows=n_rows,
            n_coordinates=sum(map(len, positions)),
            reference=chosen,
            block_sums=block_sums,
            gradient_bytes=sum(
                int(numel) * parameters[name].element_size()
                for name, numel in zip(layout.names, layout.numels, strict=True)
            ),
            device=gradients.device,
        )
        if on_budget is not None:
            on_budget(budget)
        exact: ExactReference | None = None
        if chosen == "full":
            exact = mean_gradient(gradients, layout, data.whole(max(batch_size, 256)))
        elif chosen == "mean":
            # All of them on every rank: the mean of a share is another reference.
            drawn = data.draw(n_minibatches, batch_size, minibatch_seed)
            drawn = seeded(drawn, range(n_minibatches), own_seed, gradients.device)
            exact = mean_gradient(gradients, layout, ((batch, 1) for batch in drawn))
        recorder = _recorder(
            budget, layout, gradients, exact, np.concatenate(positions), n_rows, sketch_seed,
            chosen, block_sums,
        )  # fmt: skip
        taken = places.tolist()
        minibatches = data.draw(n_minibatches, batch_size, minibatch_seed, taken)
        minibatches = seeded(minibatches, taken, own_seed, gradients.device)
        losses = recorder.record(minibatches, len(taken), on_minibatch)
        if isinstance(gradients, ShardedGradients):
            losses = gradients.mean_losses(losses)
    _check_losses(losses)
    several = ranks.world_size > 1
    indices = None
    if batch_size <= LARGEST_INDEXED_BATCH:
        indices = data.indices(n_minibatches, batch_size, minibatch_seed)
    return Sketch(
        groups=recorder.finish(built, positions, n_projections),
        tensors=layout.names,
        n_minibatches=len(places),
        batch_size=data.size_of_drawn(batch_size),
        reference=chosen,
        reference_reason=reason,
        mode=mode if isinstance(mode, str) else _in_words(mode),
        sampling=f"{data.sampling}; each of {ranks.world_size} ranks from its own loader"
        if several and data.n_examples is None
        else data.sampling,
        losses=losses,
        budget=budget,
        example_indices=None if indices is None else indices[places],
        places=places if several else None,
    )


def _recorder(budget: Mapping[str, int], *parts: Any) -> Recorder:
    try:
        return Recorder(*parts)
    except (RuntimeError, MemoryError) as error:
        raise CaptureError(
            f"the probe needs {sum(budget.values()) / 1e9:.1f} GB beside the model, and the device "
            "or the host cannot give it. Measure with block_sums=False, fewer minibatches, or "
            "fewer groups."
        ) from error


def _in_words(modes: Mapping[str, bool]) -> str:
    if all(modes.values()):
        return "as training"
    return "as training: eval" if not any(modes.values()) else "as training: partly eval"


def _check_losses(losses: NDArray[np.float64]) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise DivergedError(
            f"the loss is not finite on {len(bad)} of {len(losses)} minibatches, first on number "
            f"{bad[0]}. Noise of a diverging model has no tail index: measure an earlier "
            "checkpoint, or mend the data."
        )
