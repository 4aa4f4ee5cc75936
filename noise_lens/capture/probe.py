"""A probe: a burst of minibatch gradients at frozen weights, kept as a sketch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.channels import ChannelPlan
from noise_lens.capture.coordinates import sample_coordinates
from noise_lens.capture.gradients import Loss, MinibatchGradients, trainable_parameters
from noise_lens.capture.groups import GroupSpec, build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.preserve import Mode, preserved
from noise_lens.capture.ranks import ALONE, Ranks, places_of, seeded
from noise_lens.capture.reference import (
    ExactReference,
    MeanVector,
    Minibatches,
    choose_reference,
    full_gradient,
)
from noise_lens.capture.seeding import derived_seed
from noise_lens.capture.sharded import shards_of, training_put_aside
from noise_lens.capture.sharded_gradients import RanksTogether, ShardedGradients
from noise_lens.capture.sketch import LARGEST_INDEXED_BATCH, Sketch
from noise_lens.capture.views import View, build_views, check_views, common_reference
from noise_lens.capture.views.trajectory import Trajectory
from noise_lens.errors import CaptureError, DivergedError

FEWEST_MINIBATCHES = 50


class ProbeOptions(TypedDict, total=False):
    """The options of :func:`probe_views` that its callers pass through; see there."""

    views: Sequence[str]
    optimizer: torch.optim.Optimizer | None
    beta: float | None
    needs_state: bool
    published: bool
    n_minibatches: int
    batch_size: int
    reference: str
    groups: GroupSpec
    mode: Mode | Mapping[str, bool]
    seed: int
    sketch_seed: int | None
    ranks: Ranks
    block_sums: bool


def probe(model: nn.Module, loss: Loss, data: Minibatches, **options: Any) -> Sketch:
    """Capture the noise of minibatch gradients at the model's present weights.

    Parameters
    ----------
    model, loss, data
        As for :func:`probe_views`.
    **options : Any
        As for :func:`probe_views`, but ``views``.

    Returns
    -------
    Sketch
        Of the view ``gradient``.
    """
    return probe_views(model, loss, data, **options)["gradient"]


def probe_views(
    model: nn.Module,
    loss: Loss,
    data: Minibatches,
    *,
    views: Sequence[str] = ("gradient",),
    optimizer: torch.optim.Optimizer | None = None,
    beta: float | None = None,
    needs_state: bool = False,
    published: bool = False,
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
) -> dict[str, Sketch]:
    """Capture the noise of one or several views at the model's present weights.

    All views are made of the same minibatch gradients, have the same reference and the same
    coordinates, so that they compare. Weights, buffers, ``.grad``, modes, random states and the
    optimizer are afterwards what they were.

    Parameters
    ----------
    model : torch.nn.Module
        The model; its weights are not changed.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch.
    data : Minibatches
        Where minibatches come from.
    views : sequence of str
        Of ``noise_lens.capture.views.VIEWS``.
    optimizer : torch.optim.Optimizer, optional
        Of this model's parameters; all views but ``gradient`` and ``momentum`` need it.
    beta : float, optional
        Decay of the average, for ``momentum`` and ``trajectory``.
    needs_state : bool
        Refuse steps of an optimizer whose state is not there.
    published : bool
        Also compute the literature's pooled estimator of the view ``gradient``.
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
        Called with the memory budget before anything is allocated but an optimizer's copy.
    on_minibatch : callable, optional
        Called with 1 after each minibatch.

    Returns
    -------
    dict of str to Sketch
        By view. R = M // window rows, half as many for "pair"; ``gradient`` has a window of 1.

    Raises
    ------
    CaptureError
        Fewer than 50 minibatches, or gradients that cannot be captured as asked.
    """
    check_views(views)
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
    if (shards is not None or ranks.world_size > 1) and tuple(views) != ("gradient",):
        raise CaptureError(
            f"the views {', '.join(views)} were asked for on several ranks, which share out the "
            "gradient view alone. Measure the others with one process."
        )
    if (shards is not None or ranks.world_size > 1) and published:
        raise CaptureError(
            "published=True strings all noise of a probe together, and here several ranks hold "
            "it. Leave it out, or measure with one process."
        )
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

    def minibatches(places: Sequence[int]) -> Iterator[Any]:
        drawn = data.draw(n_minibatches, batch_size, minibatch_seed, places)
        return seeded(drawn, places, own_seed, gradients.device)

    def whole() -> Iterable[tuple[Any, int]]:
        return data.whole(max(batch_size, 256))

    with training_put_aside(model, shards), preserved(model, mode, model_seed):
        ordered = [parameters[name] for name in layout.names] if shards is None else []
        frozen = build_views(views, ordered, optimizer, beta, needs_state=needs_state)
        chosen, reason = choose_reference(reference, gradients, model, data, batch_size)
        chosen, reason = common_reference(chosen, reason, reference, frozen, views)
        places = places_of(n_minibatches, chosen, ranks)
        positions = [
            sample_coordinates(layout, group, n_coordinates, sketch_seed) for group in built
        ]
        moving = None
        if "trajectory" in views and optimizer is not None and beta is not None:
            moving = Trajectory(
                model, loss, layout, ordered, optimizer, beta, whole, needs_state=needs_state
            )
        plan = ChannelPlan(
            layout, gradients.device, np.concatenate(positions), sketch_seed, chosen, len(places),
            block_sums, published,
        )  # fmt: skip
        gradient_bytes = sum(
            int(numel) * parameters[name].element_size()
            for name, numel in zip(layout.names, layout.numels, strict=True)
        )
        every: list[View | Trajectory] = [*frozen, *([] if moving is None else [moving])]
        budget = plan.budget(every, gradient_bytes)
        if on_budget is not None:
            on_budget(budget)
        references: dict[str, ExactReference | None] = {}
        if chosen == "full" and frozen:
            exact = full_gradient(gradients, layout, whole())
            references = {view.name: exact for view in frozen}
        elif chosen == "mean":
            # All of them on every rank: the mean of a share is another reference.
            means = {view.name: MeanVector(layout, gradients.device) for view in frozen}
            for batch in minibatches(range(n_minibatches)):
                found = gradients.of(batch)[1]
                for view in frozen:
                    with torch.no_grad():
                        vector = view.update(found)
                    if vector is not None:
                        means[view.name].update(vector)
                    del vector
                del found  # as large as the model, and the next is on its way
            for view in frozen:
                view.reset()
            references = {name: mean.compute() for name, mean in means.items()}
        channels = plan.open(frozen, references, moving)
        losses = torch.zeros(len(places), dtype=torch.float64, device=gradients.device)
        for index, batch in enumerate(minibatches(places.tolist())):
            losses[index], found = gradients.of(batch)
            for view in frozen:
                with torch.no_grad():
                    vector = view.update(found)
                if vector is not None:
                    channels[view.name].update(vector)
                del vector
            del found  # as large as the model, and the next is on its way
            if on_minibatch is not None:
                on_minibatch(1)
        if moving is not None:
            n_vectors = len(places) // moving.window
            for vector in moving.vectors(minibatches(places.tolist()), n_vectors):
                channels[moving.name].update(vector)
                del vector
        losses_here = losses.cpu().numpy()
        if isinstance(gradients, ShardedGradients):
            losses_here = gradients.mean_losses(losses_here)
    _check_losses(losses_here)
    several = ranks.world_size > 1
    indices = None
    if batch_size <= LARGEST_INDEXED_BATCH:
        indices = data.indices(n_minibatches, batch_size, minibatch_seed)
        indices = None if indices is None else indices[places]
    return {
        view.name: Sketch(
            groups=channels[view.name].finish(built, positions, n_projections),
            tensors=layout.names,
            n_minibatches=len(places),
            batch_size=data.size_of_drawn(batch_size),
            reference="full" if view is moving else chosen,
            reference_reason="a full gradient at every step" if view is moving else reason,
            mode=mode if isinstance(mode, str) else _in_words(mode),
            sampling=f"{data.sampling}; each of {ranks.world_size} ranks from its own loader"
            if several and data.n_examples is None
            else data.sampling,
            losses=losses_here,
            budget=budget,
            # A row of a window is not of one minibatch's examples.
            example_indices=indices if view.window == 1 else None,
            places=places if several else None,
            view=view.name,
            optimizer=view.optimizer,
            beta=view.beta,
            window=view.window,
            published=channels[view.name].published,
        )
        for view in sorted(every, key=lambda view: list(views).index(view.name))
    }


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
