"""What ``noise-lens theory escape`` was asked, and what theory answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from noise_lens.theory.escape import Basin
    from noise_lens.theory.levy import LevySystem

_OF = {
    "interval": ("low", "high"),
    "ball": ("radius", "dim"),
    "ellipsoid": ("semi-axes",),
    "level-set": ("height",),
}


def numbers(option: str, text: str | None, dim: int | None = None) -> list[float]:
    """Return numbers parted by commas, one for each coordinate.

    Parameters
    ----------
    option : str
        For the message.
    text : str or None
        1 everywhere if not given.
    dim : int, optional
        How many; one number is taken for all.

    Returns
    -------
    list of float
        Positive.

    Raises
    ------
    click.UsageError
        Not numbers, not positive, or not as many.
    """
    try:
        found = [float(part) for part in (text or "1").split(",")]
    except ValueError:
        raise click.UsageError(f"{option} takes numbers such as 1,2.5, got {text!r}") from None
    if not all(0 < value < math.inf for value in found):
        raise click.UsageError(f"{option} takes positive numbers, got {text!r}")
    if dim is not None and len(found) == 1:
        return found * dim
    if dim is not None and len(found) != dim:
        raise click.UsageError(
            f"{option} has {len(found)} numbers, the basin {dim} dimensions: give as many, or one"
        )
    return found


def basin_of(kind: str, given: dict[str, Any], curvatures: str | None) -> tuple[Basin, list[float]]:
    """Return the basin, and the curvatures of the loss in it.

    Parameters
    ----------
    kind : str
        Of ``--basin``.
    given : dict
        Options by name; None where not given.
    curvatures : str or None
        Of ``--curvatures``.

    Returns
    -------
    tuple
        The basin about 0, and one curvature a coordinate.

    Raises
    ------
    click.UsageError
        An option is another basin's, or one is missing.
    """
    from noise_lens.theory import escape

    for name, value in given.items():
        if value is not None and name not in _OF[kind]:
            owner = next(other for other, names in _OF.items() if name in names)
            raise click.UsageError(f"--{name} is for --basin {owner}, and --basin is {kind}")
    if kind == "level-set":
        pull = numbers("--curvatures", curvatures)
        height = 0.5 if given["height"] is None else given["height"]
        return escape.LevelSet(pull, height=height), pull
    basin: Basin
    if kind == "interval":
        low, high = (
            default if given[name] is None else given[name]
            for name, default in (("low", -1.0), ("high", 1.0))
        )
        basin = escape.Interval(low, high)
    elif kind == "ball":
        radius = 1.0 if given["radius"] is None else given["radius"]
        basin = escape.Ball(radius, 2 if given["dim"] is None else given["dim"])
    else:
        if given["semi-axes"] is None:
            raise click.UsageError("--basin ellipsoid needs --semi-axes, such as 1,2")
        basin = escape.Ellipsoid(numbers("--semi-axes", given["semi-axes"]))
    return basin, numbers("--curvatures", curvatures, basin.dim)


@dataclass(frozen=True)
class Question:
    """One basin, noise and optimizer."""

    basin: Basin
    alpha: float
    epsilon: float | None
    step_size: float | None
    jumps: Literal["independent", "isotropic"]
    optimizer: str
    curvatures: list[float]
    noise: list[float]

    @property
    def size(self) -> float:
        """Return epsilon, given or of the step size."""
        if self.epsilon is not None:
            return self.epsilon
        assert self.step_size is not None
        if not (0 < self.step_size < math.inf and 0 < self.alpha <= 2):
            raise ValueError(
                "the step size must be positive and alpha in (0, 2], got "
                f"{self.step_size} and {self.alpha}"
            )
        return float(self.step_size ** ((self.alpha - 1) / self.alpha))

    def sharpest(self) -> float:
        """Return the largest rate at which the drift pulls back, at least 1 for Adam's averages."""
        if self.optimizer == "sgd":
            return max(self.curvatures)
        return max(1.0, *(h / s for h, s in zip(self.curvatures, self.noise, strict=True)))

    def check_time_step(self, time_step: float) -> None:
        """Refuse a step of the scheme that leaves without noise.

        Parameters
        ----------
        time_step : float
            Of ``--time-step``.

        Raises
        ------
        click.UsageError
            It is beyond stability.
        """
        from noise_lens.theory.escape.validity import beyond_stability

        adam = self.optimizer == "adam"
        strength = max(self.curvatures)
        if adam:
            strength = max(h / s for h, s in zip(self.curvatures, self.noise, strict=True))
        if beyond_stability(time_step, strength, 0.9 if adam else None):
            raise click.UsageError(
                f"--time-step {time_step:g} times {'curvature / Q' if adam else 'curvature'} "
                f"{strength:g} is {time_step * strength:.4g}, beyond stability"
                f"{'' if adam else ' (2)'}: paths would leave without noise. Take a smaller one, "
                f"such as {0.05 / self.sharpest():.2g}"
            )

    def settings(self) -> dict[str, Any]:
        """Return what was asked, for the document."""
        return {
            "alpha": self.alpha,
            "epsilon": self.size,
            "step_size": self.step_size,
            "basin": str(self.basin),
            "dim": self.basin.dim,
            "curvatures": self.curvatures,
            "noise": self.noise,
            "jumps": self.jumps if self.alpha < 2 else None,
            "optimizer": self.optimizer,
        }

    def noise_words(self) -> str:
        """Return the noise in words."""
        if self.alpha == 2:
            kind = "Gaussian noise"
        elif self.basin.dim == 1:
            kind = "stable noise"
        else:
            kind = f"stable noise, {self.jumps} jumps"
        return f"{kind}, alpha = {self.alpha:g}, epsilon = {self.size:.4g}"

    def answer(self) -> tuple[dict[str, Any], str, float | None]:
        """Return the prediction as a document, in words, and its mean time if there is one."""
        return self._diffusion() if self.alpha == 2 else self._jumps()

    def system(self) -> LevySystem:
        """Return the equation to simulate."""
        import torch

        from noise_lens.theory.levy import adam_system, sgd_system

        pull = torch.tensor(self.curvatures, dtype=torch.float64)

        def gradient(points: torch.Tensor) -> torch.Tensor:
            return points * pull.to(points)

        if self.optimizer == "sgd":
            return sgd_system(
                gradient, epsilon=self.size, alpha=self.alpha, noise_matrix=self.noise,
                jumps=self.jumps,
            )  # fmt: skip
        return adam_system(
            gradient, epsilon=self.size, alpha=self.alpha, noise_matrix=self.noise,
            jumps=self.jumps, noise_variance=[scale**2 for scale in self.noise],
        )  # fmt: skip

    def _jumps(self) -> tuple[dict[str, Any], str, float | None]:
        from noise_lens.theory.escape import jump_density_constant, predicted_escape_time

        found = predicted_escape_time(
            self.basin, self.noise, alpha=self.alpha, epsilon=self.epsilon,
            step_size=self.step_size, jumps=self.jumps, curvature=self.curvatures,
            preconditioner=self.noise if self.optimizer == "adam" else None,
        )  # fmt: skip
        document = {
            "theory": "jumps (Zhou et al. 2020, Theorem 1)",
            "violations": found.violations,
            "never": found.never,
            "mean_time": found.mean_time,
            "standard_error": found.standard_error,
            "log_mean_time": found.log_mean_time,
            "linear_well_time": found.linear_well_time,
            "iterations": found.iterations,
            "rate": found.rate.value,
            "normalisation": "mean_time is of noise with E exp(itL) = exp(-|t|^alpha), jump "
            "density c / |y|^(1+alpha); mean_time_of_theorem takes c = 1",
            "c": jump_density_constant(self.alpha),
            "radon_measure": found.radon_measure.value,
            "theta": found.theta,
            "mean_time_of_theorem": found.zhou_mean_time,
            "method": found.rate.method,
        }
        return document, str(found), found.mean_time

    def _diffusion(self) -> tuple[dict[str, Any], str, float | None]:
        from noise_lens.theory.escape import gaussian_escape

        if self.optimizer == "adam":
            said = "no formula for Adam at alpha = 2 was verified: simulate"
            document = {"theory": "diffusion", "never": False, "mean_time": None, "said": said}
            return document, said, None
        found = gaussian_escape(
            self.basin, epsilon=self.size, curvature=self.curvatures, noise_scales=self.noise
        )
        time = found.mean_time
        words = str(found)
        iterations = time / self.step_size if time is not None and self.step_size else None
        if iterations is not None and math.isfinite(iterations):
            words += f"\nthat is {iterations:.4g} iterations of step size {self.step_size:g}"
        document = {
            "theory": "diffusion (exact by quadrature or series, Kramers' formula)",
            "never": found.exponent is not None and math.isinf(found.exponent),
            "mean_time": time,
            "iterations": iterations,
            "exact": found.exact,
            "asymptotic": found.asymptotic,
            "barrier_over_temperature": found.exponent,
            "normalisation": "E exp(itL) = exp(-t^2): dL has variance 2 dt, the temperature is "
            "epsilon^2",
            "said": words,
        }
        return document, words, time
