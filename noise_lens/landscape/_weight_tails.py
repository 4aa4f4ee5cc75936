"""The tail index of trained weights, layer by layer (Gurbuzbalaban et al., 2021, section 5).

Another object than the tail index of gradient noise: multiplicative noise makes the stationary
law of the *weights* heavy-tailed where gradients are light (Hodgkinson & Mahoney, 2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from noise_lens.errors import CheckpointError, SamplesError
from noise_lens.estimators import characteristic_function, hill, mohammadi
from noise_lens.landscape.weights import Weights, model_at
from noise_lens.tasks import Task, load_task

BLOCK_SIZES = (2, 5, 10, 20, 50, 100, 500, 1000)
"""Of the published protocol, whose median is the published number."""

WARNING = (
    "Tails of weights and tails of gradient noise are different objects: one says nothing of the "
    "other. The weights of a layer are neither independent nor of one law, so that no alpha here "
    "is a tail index by itself; compare with the initial weights."
)

_HILL_SHARE = 0.05
_FEWEST = 100
_SEED = 0


@dataclass(frozen=True)
class WeightTail:
    """How the weights of one tensor are spread, after its mean was subtracted.

    Attributes
    ----------
    tensor : str
        Name of the parameter.
    n_weights : int
        Its elements.
    published : float
        Median over block sizes of the multiscale estimator, blocks being consecutive weights:
        the number of the paper. NaN where fewer than 100 weights are there.
    by_block_size : dict of int to float
        What the median is of. Those sizes that fit twice; a stable law reads the same at all.
    shuffled : float
        The same of the weights in random order. It differs where neighbours depend.
    alpha, low, high : float
        The stable law that fits the centre best, by the characteristic function, with the 95 %
        interval of independent weights.
    hill, hill_low, hill_high : float
        Hill's estimate on the largest 5 %, with its interval. About 6 on Gaussian weights.
    excess_kurtosis : float
        0 for Gaussian weights, -1.2 for uniform ones.
    """

    tensor: str
    n_weights: int
    published: float
    by_block_size: dict[int, float]
    shuffled: float
    alpha: float
    low: float
    high: float
    hill: float
    hill_low: float
    hill_high: float
    excess_kurtosis: float


@dataclass(frozen=True)
class TrainedTail:
    """A layer's tail after training at one step size, batch size and seed.

    Attributes
    ----------
    step_size, batch_size, seed
        Of plain SGD.
    status : str
        "trained"; "diverged" (the loss left all bounds) or "collapsed" (it ended no lower than it
        began: dead units), whose weights are no stationary iterates; "initial" (no step was
        taken: the null).
    loss : float
        Training loss of the averaged weights; inf where diverged.
    tail : WeightTail or None
        None where the weights are not finite.
    tensor : str
        Which layer.
    """

    step_size: float
    batch_size: int
    seed: int
    status: str
    loss: float
    tail: WeightTail | None
    tensor: str

    @property
    def ratio(self) -> float:
        """Step size over batch size."""
        return self.step_size / self.batch_size


def weight_tails(
    weights: nn.Module | Mapping[str, ArrayLike | torch.Tensor], *, layers_only: bool = True
) -> list[WeightTail]:
    """Return the tails of a network's weights, tensor by tensor.

    Parameters
    ----------
    weights : torch.nn.Module or mapping of str to array
        A network, or its parameters by name; averaged ones from :func:`average_checkpoints`.
    layers_only : bool
        Leave out tensors of fewer than two axes (biases, scales of norms), as the paper's
        networks have none.

    Returns
    -------
    list of WeightTail
        In order; tensors of fewer than 100 weights are left out.

    Raises
    ------
    SamplesError
        A weight is not finite, or no tensor is large enough.
    """
    named: Iterable[tuple[str, ArrayLike | torch.Tensor]]
    named = weights.named_parameters() if isinstance(weights, nn.Module) else weights.items()
    found = []
    for name, tensor in named:
        if isinstance(tensor, torch.Tensor):
            tensor = tensor.detach().double().cpu().numpy()  # noqa: PLW2901
        array = np.asarray(tensor, dtype=np.float64)
        if (layers_only and array.ndim < 2) or array.size < _FEWEST:
            continue
        found.append(_tail(name, array.ravel()))
    if not found:
        raise SamplesError(
            f"no tensor {'of two or more axes ' if layers_only else ''}has {_FEWEST} weights: "
            "there is nothing to estimate"
        )
    return found


def _tail(name: str, values: NDArray[np.float64]) -> WeightTail:
    if not np.isfinite(values).all():
        raise SamplesError(
            f"the weights {name} are not finite: training has diverged. Give earlier weights."
        )
    centred = values - values.mean()
    if not centred.any():
        raise SamplesError(f"the weights {name} are all equal: they have no tail")
    shuffled = np.random.default_rng(_SEED).permutation(centred)
    readings = _by_block_size(centred)
    fit = characteristic_function(centred)
    low, high = fit.confidence_interval()
    largest = hill(centred, max(10, int(_HILL_SHARE * len(centred))))
    hill_low, hill_high = largest.confidence_interval()
    return WeightTail(
        tensor=name,
        n_weights=len(centred),
        published=float(np.median(list(readings.values()))),
        by_block_size=readings,
        shuffled=float(np.median(list(_by_block_size(shuffled).values()))),
        alpha=float(fit.alpha),
        low=float(low),
        high=float(high),
        hill=float(largest.alpha),
        hill_low=float(hill_low),
        hill_high=float(hill_high),
        excess_kurtosis=float((centred**4).mean() / (centred**2).mean() ** 2 - 3),
    )


def _by_block_size(values: NDArray[np.float64]) -> dict[int, float]:
    # Zeros are dropped before blocking, where the published code adds 2.2e-16 inside logarithms;
    # averaged weights have none.
    n = int(np.count_nonzero(values))
    return {m: float(mohammadi(values, m).alpha) for m in BLOCK_SIZES if 2 * m <= n}


def average_checkpoints(
    task: Task | str, checkpoints: Sequence[Weights], *, device: str | None = "cpu"
) -> dict[str, NDArray[np.float64]]:
    """Return the mean of the weights of several checkpoints, as the paper takes of last iterates.

    Parameters
    ----------
    task : Task or str
        Whose model they fit.
    checkpoints : sequence of str or Path or torch.nn.Module
        One or more; the paper takes the last 1000 iterates.
    device : str or None
        Where to load them.

    Returns
    -------
    dict of str to ndarray
        Parameters by name.

    Raises
    ------
    CheckpointError
        There is none, or one cannot be read or does not fit.
    """
    if isinstance(checkpoints, str | Path) or not checkpoints:
        raise CheckpointError(f"an average needs a list of checkpoints, got {checkpoints!r}")
    task = load_task(task) if isinstance(task, str) else task
    total: dict[str, NDArray[np.float64]] = {}
    for one in checkpoints:
        model = model_at(task, one, device=device)
        for name, parameter in model.named_parameters():
            own = parameter.detach().double().cpu().numpy()
            total[name] = total[name] + own if name in total else own
    return {name: value / len(checkpoints) for name, value in total.items()}
