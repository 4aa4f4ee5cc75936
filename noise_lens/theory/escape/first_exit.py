"""First exit times of Levy-driven systems from a basin, simulated."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from noise_lens.theory.escape.exit_times import EscapeTimes
from noise_lens.theory.levy.halving import StepHalving, in_pairs
from noise_lens.theory.levy.simulate import block_length, check_steps, starting_states
from noise_lens.theory.levy.systems import LevySystem

_MANY_STEPS = 10  # a mean of fewer is that of the steps, not of the process
_SMALL_MOVE = 0.1  # Richardson's correction is up to 2.4 times the move, at order 1/2


class HasContains(Protocol):
    """Anything that can be left."""

    def contains(self, points: Tensor) -> Tensor:
        """Return which of the points, (n, d), lie inside, as booleans of shape (n,)."""
        ...


def escape_times(
    system: LevySystem,
    basin: HasContains,
    start: float | ArrayLike | Tensor,
    *,
    n_paths: int = 1000,
    step_size: float,
    max_time: float,
    halving: bool = False,
    order: float | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> EscapeTimes:
    """Simulate when paths of `system` first leave `basin`.

    The Euler scheme, looked at after every step. A path that is still inside at `max_time` is
    censored and reported as such. A path that becomes infinite or NaN, or that leaves where the
    step is beyond stability (without noise, two further steps would be opposite, and the second
    the longer), is counted as diverged and not as an exit.

    A path may leave and come back between two looks, so simulated times are too long: by order
    ``h^(1/alpha)`` where the process is driftless. Small noise in a well jumps out for good, and
    the bias is of order h. `halving` measures it.

    Parameters
    ----------
    system : LevySystem
        Of `gradient_system`, `sgd_system` or `adam_system`.
    basin : object with contains
        `Interval`, `Ball`, `Ellipsoid`, `LevelSet`, `Where`, or anything whose
        ``contains(points)`` takes a tensor of shape (n, d) to booleans of shape (n,).
    start : float or array_like of shape (d,)
        Where all paths begin, inside the basin.
    n_paths : int
        How many paths.
    step_size : float
        Time of one step, h.
    max_time : float
        When to stop waiting. Rounded up to whole steps.
    halving : bool
        Also run steps of h/2 on the same Levy paths. The result is that of h/2, and its
        ``.halving`` says how the mean moved and where it goes, or why that cannot be told.
    order : float, optional
        Order of the bias for that extrapolation; without it min(1, 1/alpha).
    seed : int
        Seed of the noise. No global state of torch is touched.
    device : torch.device or str
        Where to compute.

    Returns
    -------
    EscapeTimes
        The times, which of them are censored, and how many paths diverged.

    Raises
    ------
    ValueError
        A number is out of range, the start lies outside the basin, the drift there is NaN, or the
        basin answers in another shape.

    Examples
    --------
    >>> from noise_lens.theory.escape import Interval
    >>> from noise_lens.theory.levy import gradient_system
    >>> well = gradient_system(lambda x: x, epsilon=0.1, alpha=1.5)
    >>> found = escape_times(well, Interval(-1, 1), 0.0, n_paths=9, step_size=0.1, max_time=1e4)
    >>> found.n_exits, bool((found.times > 0).all())
    (9, True)
    """
    point = torch.as_tensor(start, dtype=torch.float64)
    if point.ndim > 1:
        raise ValueError(
            f"start must be one number or one point of shape (d,), got shape {tuple(point.shape)}; "
            "escape_times_from takes several"
        )
    return escape_times_from(
        system,
        basin,
        point.reshape(1, -1),
        n_paths=n_paths,
        step_size=step_size,
        max_time=max_time,
        halving=halving,
        order=order,
        seed=seed,
        device=device,
    )[0]


def escape_times_from(
    system: LevySystem,
    basin: HasContains,
    starts: ArrayLike | Tensor,
    *,
    n_paths: int = 1000,
    step_size: float,
    max_time: float,
    halving: bool = False,
    order: float | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> list[EscapeTimes]:
    """Simulate exit times from several starting points on the same noise.

    As `escape_times`, and as fast as one start for as long as noise is what costs. Results of
    different starts are dependent: differences between them are known better than each.

    Parameters
    ----------
    system, basin, n_paths, step_size, max_time, halving, order, seed, device
        Of `escape_times`.
    starts : array_like of shape (k, d)
        Where paths begin; `n_paths` from each.

    Returns
    -------
    list of EscapeTimes
        One for each start.

    Raises
    ------
    ValueError
        As `escape_times`.
    """
    check_steps(step_size=step_size, n_paths=n_paths)
    if not (max_time > 0 and math.isfinite(max_time)):
        raise ValueError(f"max_time must be positive and finite, got {max_time}")
    points = torch.as_tensor(starts, dtype=torch.float64)
    if points.ndim != 2 or points.numel() == 0:
        raise ValueError(f"starts must have shape (k, d), got {tuple(points.shape)}")
    n_steps = max(1, math.ceil(max_time / step_size - 1e-9))
    steps = (step_size, step_size / 2) if halving else (step_size,)
    walks = []
    for point in points:
        state = starting_states(system, point, n_paths, step_size, device)
        _check_inside(basin, system.position(state[:1]))
        walks.append([_Walk(system, basin, state, step) for step in steps])
    generator = torch.Generator(device=device).manual_seed(seed)
    _run([walk for pair in walks for walk in pair], n_steps, step_size, generator)
    order = min(1.0, 1 / system.alpha) if order is None else order
    return [_result(pair, n_steps * step_size, order) for pair in walks]


class _Walk:
    """Paths of one start by one scheme, as long as any scheme still needs their noise."""

    def __init__(
        self, system: LevySystem, basin: HasContains, state: Tensor, step_size: float
    ) -> None:
        self.system, self.basin, self.step_size = system, basin, step_size
        self.state = state.clone()
        n = len(state)
        self.lanes = torch.arange(n, device=state.device)
        # 0 while inside. For all paths of the start, not only those still walked.
        self.last_step = torch.zeros(n, dtype=torch.int64, device=state.device)
        self.diverged = torch.zeros(n, dtype=torch.bool, device=state.device)
        self.exit_points = system.position(state).clone()

    def advance(self, noise: Tensor, first: int) -> bool:
        """Walk a block of steps, the first of which is number `first`; say whether any ended."""
        time = first * self.step_size
        states = self.system.walk(self.state, noise, time=time, step_size=self.step_size)
        positions = self.system.position(states)
        inside = _contains(self.basin, positions)
        lost = ~positions[-1].isfinite().all(-1)
        ended = ~inside.all(0) | lost
        before, self.state = self.state, states[-1].clone()
        if not bool(ended.any()):
            return False
        ended &= self.last_step[self.lanes] == 0
        (columns,) = ended.nonzero(as_tuple=True)
        # The first look outside; the last look of the block where a path was lost and the basin
        # would not say so.
        outside = (~inside[:, columns]).to(torch.uint8)
        outside[-1] = 1
        at = outside.argmax(0)
        points = positions[at, columns]
        previous = torch.where((at > 0)[:, None], states[at - 1, columns], before[columns])
        lanes = self.lanes[columns]
        self.last_step[lanes] = first + at + 1
        self.exit_points[lanes] = points
        self.diverged[lanes] = ~points.isfinite().all(-1) | self._beyond_stability(previous, time)
        return True

    def keep(self, kept: Tensor) -> None:
        self.state, self.lanes = self.state[kept], self.lanes[kept]

    def _beyond_stability(self, state: Tensor, time: float) -> Tensor:
        """Return where two noise-free steps are opposite and the second is longer."""
        # On a quadratic that is curvature times step above 2, where Euler's scheme of the
        # gradient flow blows up and a path leaves its basin by arithmetic.
        nothing = torch.zeros_like(self.system.position(state))
        places = [self.system.position(state)]
        for k in range(2):
            state = self.system.step(
                state, nothing, time=time + k * self.step_size, step_size=self.step_size
            )
            places.append(self.system.position(state))
        one, two = places[1] - places[0], places[2] - places[1]
        return -(one * two).sum(-1) > (1 + 1e-9) * one.square().sum(-1)


def _run(walks: list[_Walk], n_steps: int, step_size: float, generator: torch.Generator) -> None:
    """Walk all schemes on the same noise until every path has ended, or the steps have."""
    system, shortest = walks[0].system, min(walk.step_size for walk in walks)
    halved = shortest < step_size
    dim = walks[0].exit_points.shape[-1]
    done = 0
    while done < n_steps and len(walks[0].lanes):
        lanes = walks[0].lanes
        block = min(block_length(len(lanes) * dim * len(walks)), n_steps - done)
        noise = system.noise(
            block * (2 if halved else 1),
            len(lanes),
            dim,
            step_size=shortest,
            generator=generator,
            device=lanes.device,
        )
        coarse = in_pairs(noise) if halved else noise
        ended = False
        for walk in walks:
            fine = walk.step_size < step_size
            ended |= walk.advance(noise if fine else coarse, done * 2 if fine else done)
        done += block
        if ended:
            inside = torch.stack([walk.last_step[lanes] == 0 for walk in walks])
            kept = inside.any(0).nonzero(as_tuple=True)[0]
            for walk in walks:
                walk.keep(kept)


def _result(pair: list[_Walk], max_time: float, order: float) -> EscapeTimes:
    arrays = [_times(walk, max_time) for walk in pair]
    finest = pair[-1]
    times, diverged = arrays[-1]
    censored = (finest.last_step == 0).cpu().numpy()
    halved = None
    if len(pair) == 2:
        used = ~(arrays[0][1] | diverged)
        halved = StepHalving(
            step_size=pair[0].step_size,
            coarse=arrays[0][0][used],
            fine=times[used],
            order=order,
            n_diverged=int((~used).sum()),
            unresolved=_unresolved(arrays[0][0][used], times[used], pair[0].step_size, ~used),
        )
    return EscapeTimes(
        times=times,
        censored=censored,
        diverged_paths=diverged,
        exit_points=finest.exit_points.cpu().numpy()[~(censored | diverged)],
        step_size=finest.step_size,
        max_time=max_time,
        halving=halved,
    )


def _unresolved(
    coarse: NDArray[np.float64],
    fine: NDArray[np.float64],
    step_size: float,
    lost: NDArray[np.bool_],
) -> str:
    """Return why steps of h and h/2 do not say where the mean goes; empty where they do."""
    if lost.any():
        return f"{int(lost.sum())} of {len(lost)} paths diverged: take a smaller step"
    mean = float(fine.mean())
    if mean < _MANY_STEPS * step_size:
        return (
            f"the mean is {mean / step_size:.2g} steps of {step_size:g}, fewer than "
            f"{_MANY_STEPS}: take a smaller step"
        )
    moved = abs(float((fine - coarse).mean())) / mean
    if moved > _SMALL_MOVE:
        return (
            f"halving moves the mean by {moved:.0%} of it, more than {_SMALL_MOVE:.0%}: take a "
            "smaller step, or more paths"
        )
    return ""


def _times(walk: _Walk, max_time: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    steps = walk.last_step.cpu().numpy().astype(np.float64)
    return np.where(steps == 0, max_time, steps * walk.step_size), walk.diverged.cpu().numpy()


def _contains(basin: HasContains, positions: Tensor) -> Tensor:
    """Return membership of positions of shape (..., d)."""
    points = positions.reshape(-1, positions.shape[-1])
    inside = basin.contains(points)
    if inside.shape != points.shape[:1] or inside.dtype != torch.bool:
        raise ValueError(
            f"basin.contains must answer {len(points)} points of shape {tuple(points.shape)} with "
            f"booleans of shape ({len(points)},), got {inside.dtype} of shape "
            f"{tuple(inside.shape)}"
        )
    return inside.view(positions.shape[:-1])


def _check_inside(basin: HasContains, point: Tensor) -> None:
    if not bool(_contains(basin, point).all()):
        raise ValueError(
            f"the start {point[0].tolist()} lies outside the basin {basin}: an exit time needs a "
            "start inside"
        )
