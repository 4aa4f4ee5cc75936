"""Steps that treat many parameters at a time, with no copy to the host."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from noise_lens.optim.options import check_options

HALVES = (torch.float16, torch.bfloat16)

# Elements of one list on a CPU, for each of torch's threads. What a step writes and reads again
# (a temporary, a moment) then still lies in the cache, and temporaries are small enough to be
# memory that was used before: pages that are new cost as much as half of Adam's step.
_CACHED = 2**17


@dataclass
class Bucket:
    """Parameters of one group, device, dtype and step count, with all that belongs to them.

    Attributes
    ----------
    group : dict
        The parameter group.
    step : int
        This step's number, from 1.
    parameters, gradients : list of Tensor
        In one order.
    moments : list of list of Tensor
        One list a moment, in that order.
    decay : float
        Share of each parameter that belongs into its gradient: coupled weight decay.
    scales : list of Tensor
        What an optimizer computed for each gradient beforehand.
    """

    group: dict[str, Any]
    step: int
    parameters: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    moments: list[list[Tensor]] = field(default_factory=list)
    decay: float = 0.0
    scales: list[Tensor] = field(default_factory=list)


class ForeachOptimizer(Optimizer):
    """An optimizer whose rule is written for lists of tensors.

    The step count of a parameter is a Python int in its state, so no step reads a tensor on the
    host. For the same reason a step cannot be captured in a CUDA graph, and says so.
    """

    #: Names of the moments in a parameter's state, each as large as the parameter.
    _moments: ClassVar[tuple[str, ...]]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that have options of their own.

        Parameters
        ----------
        param_group : dict
            ``params``, and options that differ from the optimizer's.

        Raises
        ------
        ValueError
            An option is out of range, or a parameter is complex.
        """
        self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)
        if any(p.is_complex() for p in self.param_groups[-1]["params"]):
            del self.param_groups[-1]
            raise ValueError(
                f"{type(self).__name__} does not take complex parameters; "
                "train torch.view_as_real(parameter) instead"
            )

    def _check(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError where an option is out of range."""
        if isinstance(options["lr"], Tensor):
            raise ValueError("lr must be a number, got a tensor; give float(lr)")  # noqa: TRY004
        check_options(options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew.

        Returns
        -------
        float or None
            What `closure` returned.

        Raises
        ------
        RuntimeError
            A gradient is sparse, or a CUDA graph is being captured.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._refuse()
        buckets = [b for group in self.param_groups for b in self._buckets(group)]
        self._prepare(buckets)
        for bucket in buckets:
            self._move(bucket)
        return loss

    def _refuse(self) -> None:
        """Raise before any state has changed."""
        # A stream can capture only where CUDA is in use already; asking must not start it.
        in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        if in_use and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"{type(self).__name__} counts its steps on the host, so a CUDA graph would repeat "
                "the same one; step outside of the graph"
            )
        refuse_sparse(
            (p.grad for group in self.param_groups for p in group["params"]), type(self).__name__
        )

    def _buckets(self, group: dict[str, Any]) -> list[Bucket]:
        """Count the step, and sort what it moves by device, dtype and count."""
        found: dict[Any, Bucket] = {}
        decay = 0.0 if group["decoupled"] else group["weight_decay"]
        for parameter in group["params"]:
            if parameter.grad is None or not parameter.numel():
                continue
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state.update((name, torch.zeros_like(parameter)) for name in self._moments)
            state["step"] += 1
            key = (parameter.device, parameter.dtype, state["step"])
            bucket = found.setdefault(
                key, Bucket(group, state["step"], moments=[[] for _ in self._moments], decay=decay)
            )
            bucket.parameters.append(parameter)
            bucket.gradients.append(parameter.grad)
            for moment, name in zip(bucket.moments, self._moments, strict=True):
                moment.append(state[name])
        return list(found.values())

    def _prepare(self, buckets: Sequence[Bucket]) -> None:
        """Compute what needs all gradients; nothing by default."""

    @abstractmethod
    def _move(self, bucket: Bucket) -> None:
        """Update the moments and the parameters of a bucket."""


def batches(columns: Sequence[Sequence[Tensor]]) -> Iterator[tuple[list[int], list[list[Tensor]]]]:
    """Cut aligned lists of tensors into lists that fit the cache of a processor.

    Elementwise rules do not see the cut: a large tensor comes as several flat views. On other
    devices the lists come whole, because a kernel there treats a whole list.

    Parameters
    ----------
    columns : sequence of sequence of Tensor
        Lists of one length; the tensors at one place have one shape.

    Yields
    ------
    rows : list of int
        Which place each piece is of.
    pieces : list of list of Tensor
        Views, in lists as `columns` are.
    """
    first = columns[0][0]
    if first.device.type != "cpu" or not _plain(columns):
        yield list(range(len(columns[0]))), [list(column) for column in columns]
        return
    limit = _CACHED * torch.get_num_threads()
    rows: list[int] = []
    pieces: list[list[Tensor]] = [[] for _ in columns]
    size = 0
    for row, tensors in enumerate(zip(*columns, strict=True)):
        for cut in _cut(tensors, limit):
            if size and size + cut[0].numel() > limit:
                yield rows, pieces
                rows, pieces, size = [], [[] for _ in columns], 0
            rows.append(row)
            size += cut[0].numel()
            for piece, tensor in zip(pieces, cut, strict=True):
                piece.append(tensor)
    yield rows, pieces


def decayed(gradients: list[Tensor], parameters: list[Tensor], decay: float) -> list[Tensor]:
    """Return gradients with coupled weight decay in them: the same ones where there is none."""
    if not decay:
        return gradients
    return list(torch._foreach_add(gradients, parameters, alpha=decay))


def l1_norms(bucket: Bucket) -> list[Tensor]:
    """Return the sum of magnitudes of each gradient of a bucket, weight decay included.

    Scalars of half-precision tensors are float32: 65,504 is no large sum.

    Parameters
    ----------
    bucket : Bucket
        Of one device and dtype.

    Returns
    -------
    list of Tensor
        No axes, on the device.
    """
    dtype = torch.float32 if bucket.gradients[0].dtype in HALVES else None
    pairs = list(zip(bucket.gradients, bucket.parameters, strict=True))
    if bucket.gradients[0].device.type != "cpu":
        whole = decayed(bucket.gradients, bucket.parameters, bucket.decay)
        return list(torch._foreach_norm(whole, 1, dtype=dtype))
    # On a CPU the l1 norm is no vector code: magnitudes and a sum take half its time.
    limit = _CACHED * torch.get_num_threads()
    norms = []
    for pair in pairs:
        pieces = _cut(pair, limit) if _plain([pair]) else [pair]
        sums = [
            decayed([gradient], [parameter], bucket.decay)[0].abs().sum(dtype=dtype)
            for gradient, parameter in pieces
        ]
        norms.append(torch.stack(sums).sum() if len(sums) > 1 else sums[0])
    return norms


def refuse_sparse(gradients: Iterator[Tensor | None], owner: str) -> None:
    """Raise RuntimeError where a gradient is not dense."""
    for gradient in gradients:
        if gradient is not None and gradient.layout != torch.strided:
            raise RuntimeError(
                f"{owner} does not take sparse gradients; build the layer with sparse=False, or "
                "give its parameters to torch.optim.SparseAdam"
            )


def _plain(columns: Sequence[Sequence[Tensor]]) -> bool:
    """Tensors of torch's own: those of other kinds (sharded ones) may not be cut."""
    return all(type(t) in (Tensor, nn.Parameter) for column in columns for t in column)


def _cut(tensors: tuple[Tensor, ...], limit: int) -> Sequence[tuple[Tensor, ...]]:
    if tensors[0].numel() <= limit or not all(t.is_contiguous() for t in tensors):
        return [tensors]
    return list(zip(*(torch.split(t.view(-1), limit) for t in tensors), strict=True))
