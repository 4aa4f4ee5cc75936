"""Basins: the sets that a path leaves. Membership, and how far the boundary is.

A basin knows its ``centre``, the minimum from which jumps start. ``distance(directions)`` says how
many times a direction fits between the centre and the boundary: with a unit vector a length, with
a column of ``Q^-1 Sigma`` the size of the jump of that noise coordinate that leaves. It is inf
where the basin is never left that way.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from noise_lens.theory.escape.basin import Basin, finite

__all__ = ["Ball", "Box", "Ellipsoid", "Interval", "LevelSet"]


class Box(Basin):
    """``low_i <= y_i <= high_i`` for every coordinate.

    Parameters
    ----------
    low, high : array_like of shape (dim,)
        Ends, in the units of the coordinates; -inf and inf are allowed.
    centre : array_like of shape (dim,), optional
        The minimum, strictly inside; the origin if not given.

    Raises
    ------
    ValueError
        Ends are not in order, or the centre is not inside.

    Examples
    --------
    >>> Box([-1, -2], [3, 4]).distance([[1, 0], [-1, 0], [1, 1]]).tolist()
    [3.0, 1.0, 3.0]
    """

    def __init__(self, low: Any, high: Any, centre: Any = None) -> None:
        self.low, self.high = (
            torch.as_tensor(end, dtype=torch.float64).reshape(-1) for end in (low, high)
        )
        if self.low.shape != self.high.shape:
            raise ValueError(
                f"low has {self.low.numel()} ends and high has {self.high.numel()}: give as many"
            )
        super().__init__(centre, self.low.numel())
        if not bool(((self.low < self.centre) & (self.centre < self.high)).all()):
            raise ValueError(
                "low < centre < high must hold in every coordinate, got "
                f"low={self.low.tolist()}, centre={self.centre.tolist()}, "
                f"high={self.high.tolist()}. The centre is the minimum that jumps start from, "
                "the origin if not given."
            )

    def __repr__(self) -> str:
        low, high = self.low.tolist(), self.high.tolist()
        return (
            f"{type(self).__name__}({low[0]:g}, {high[0]:g})"
            if self.dim == 1
            else (f"{type(self).__name__}({_listed(low)}, {_listed(high)})")
        )

    def shrunk(self, margin: float) -> Box:
        """Return the points further than `margin` from the boundary: Zhou's inner basin.

        Parameters
        ----------
        margin : float
            In [0, distance from the centre to the boundary).

        Returns
        -------
        Box
            With the same centre.
        """
        _margin(margin)
        return Box(self.low + margin, self.high - margin, self.centre)

    def _contains(self, offsets: Tensor) -> Tensor:
        low, high = (end.to(offsets) - self.centre.to(offsets) for end in (self.low, self.high))
        return ((low <= offsets) & (offsets <= high)).all(dim=1)

    def _distance(self, directions: Tensor) -> Tensor:
        ends = torch.where(directions > 0, self.high, self.low) - self.centre
        steps = torch.where(directions != 0, ends / directions, torch.inf)
        return steps.amin(dim=1)


class Interval(Box):
    """``low <= y <= high`` in one dimension.

    Parameters
    ----------
    low, high : float
        Ends; -inf and inf are allowed.
    centre : float
        The minimum, strictly inside.

    Raises
    ------
    ValueError
        low < centre < high does not hold.

    Examples
    --------
    >>> Interval(-1, 2).distance([[1.0], [-1.0]]).tolist()
    [2.0, 1.0]
    """

    def __init__(self, low: float, high: float, centre: float = 0.0) -> None:
        super().__init__([float(low)], [float(high)], [float(centre)])

    def shrunk(self, margin: float) -> Interval:
        """Return the points further than `margin` from the ends: Zhou's inner basin.

        Parameters
        ----------
        margin : float
            In [0, distance from the centre to the nearer end).

        Returns
        -------
        Interval
            With the same centre.
        """
        _margin(margin)
        return Interval(float(self.low) + margin, float(self.high) - margin, float(self.centre))


class _Quadratic(Basin):
    """``(y - centre)' form (y - centre) <= 1`` for a positive semidefinite `form`."""

    def __init__(self, form: Tensor, centre: Any) -> None:
        super().__init__(centre, len(form))
        self.form = form

    def _contains(self, offsets: Tensor) -> Tensor:
        return _values(self.form.to(offsets), offsets) <= 1

    def _distance(self, directions: Tensor) -> Tensor:
        # 1 / sqrt(0) is inf: a flat direction never leaves.
        times: Tensor = _values(self.form, directions).clamp(min=0).rsqrt()
        return times


class Ball(_Quadratic):
    """``|y - centre| <= radius``.

    Parameters
    ----------
    radius : float
        Positive; inf is the whole space.
    dim : int
        Number of coordinates.
    centre : array_like of shape (dim,), optional
        The origin if not given.

    Raises
    ------
    ValueError
        The radius is not positive.

    Examples
    --------
    >>> Ball(2.0, dim=3).distance([[0, 0, 1], [0, 3, 4]]).tolist()
    [2.0, 0.4]
    """

    def __init__(self, radius: float, dim: int = 1, centre: Any = None) -> None:
        if not radius > 0:
            raise ValueError(f"the radius of a ball must be positive, got {radius}")
        self.radius = float(radius)
        form = torch.eye(max(int(dim), 0), dtype=torch.float64) / self.radius / self.radius
        super().__init__(form, centre)

    def __repr__(self) -> str:
        return f"Ball({self.radius:g}, dim={self.dim})"

    def shrunk(self, margin: float) -> Ball:
        """Return the points further than `margin` from the boundary: Zhou's inner basin.

        Parameters
        ----------
        margin : float
            In [0, radius).

        Returns
        -------
        Ball
            With the same centre.
        """
        _margin(margin)
        return Ball(self.radius - margin, self.dim, self.centre)

    def _contains(self, offsets: Tensor) -> Tensor:
        return _lengths(offsets) <= self.radius

    def _distance(self, directions: Tensor) -> Tensor:
        return self.radius / _lengths(directions)


class Ellipsoid(_Quadratic):
    """``sum (y_i / semi_axis_i)^2 <= 1``, or ``y' matrix y <= 1``, about the centre.

    Parameters
    ----------
    semi_axes : array_like of shape (dim,), optional
        Positive; inf is a direction that is never left.
    matrix : array_like of shape (dim, dim), optional
        Symmetric and positive semidefinite, instead of `semi_axes`.
    centre : array_like of shape (dim,), optional
        The origin if not given.

    Raises
    ------
    ValueError
        Not one of the two is given, or it is not as above.

    Examples
    --------
    >>> Ellipsoid([1, 2]).distance([[1, 0], [0, -1]]).tolist()
    [1.0, 2.0]
    """

    def __init__(self, semi_axes: Any = None, *, matrix: Any = None, centre: Any = None) -> None:
        if (semi_axes is None) == (matrix is None):
            raise ValueError("an ellipsoid needs its semi_axes or its matrix: give one of the two")
        if semi_axes is not None:
            axes = torch.as_tensor(semi_axes, dtype=torch.float64).reshape(-1)
            if not bool((axes > 0).all()):
                raise ValueError(f"semi-axes must be positive, got {axes.tolist()}")
            super().__init__(torch.diag(axes**-2), centre)
        else:
            super().__init__(_semidefinite("the matrix of an ellipsoid", matrix), centre)

    def __repr__(self) -> str:
        diagonal = self.form.diagonal()
        if bool((self.form == torch.diag(diagonal)).all()):
            return f"Ellipsoid({_listed(diagonal.rsqrt().tolist())})"
        return f"Ellipsoid(matrix of {self.dim} x {self.dim})"


class LevelSet(_Quadratic):
    """``(y - centre)' hessian (y - centre) / 2 <= height``: a quadratic loss below a barrier.

    Parameters
    ----------
    hessian : array_like of shape (dim,) or (dim, dim)
        Curvatures of a diagonal Hessian, or a symmetric one. None negative: a saddle is no basin.
        A zero curvature is a direction that is never left.
    height : float
        How far the barrier lies above the minimum, positive.
    centre : array_like of shape (dim,), optional
        The minimum; the origin if not given.

    Raises
    ------
    ValueError
        The height is not positive, or a curvature is negative.

    Examples
    --------
    >>> LevelSet([1, 4], height=2).distance([[1, 0], [0, 1]]).tolist()
    [2.0, 1.0]
    """

    def __init__(self, hessian: Any, height: float, centre: Any = None) -> None:
        if not 0 < height < math.inf:
            raise ValueError(f"the height of a barrier must be positive and finite, got {height}")
        self.hessian = _semidefinite("the Hessian of a level set", hessian)
        self.height = float(height)
        super().__init__(self.hessian / (2 * self.height), centre)

    def __repr__(self) -> str:
        diagonal = self.hessian.diagonal()
        full = not bool((self.hessian == torch.diag(diagonal)).all())
        shown = f"matrix of {self.dim} x {self.dim}" if full else _listed(diagonal.tolist())
        return f"LevelSet({shown}, height={self.height:g})"


def _lengths(offsets: Tensor) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(offsets, dim=1)
    return found


def _values(form: Tensor, offsets: Tensor) -> Tensor:
    return torch.einsum("ni,ij,nj->n", offsets, form, offsets)


def _semidefinite(what: str, values: Any) -> Tensor:
    found = finite(what, values)
    found = torch.diag(found.reshape(-1)) if found.ndim < 2 else found
    if found.shape[0] != found.shape[1] or not torch.allclose(found, found.T, rtol=1e-9):
        raise ValueError(f"{what} must be square and symmetric, got shape {tuple(found.shape)}")
    lowest = torch.linalg.eigvalsh(found)
    if bool(lowest[0] < -1e-10 * lowest.abs().max()):
        raise ValueError(
            f"{what} has the eigenvalue {float(lowest[0]):.3g}: a basin has none below 0. Clip "
            "negative curvatures to 0 (never left that way), or give the set by a predicate."
        )
    return (found + found.T) / 2


def _margin(margin: float) -> None:
    if not margin >= 0:
        raise ValueError(f"margin must be at least 0, got {margin}")


def _listed(values: list[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"
