"""What is known of a Hessian, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import CaptureError, RunFolderError
from noise_lens.run import read_json, read_manifest, write_json

_FORMAT = "noise-lens-curvature/1"


@dataclass(frozen=True)
class Curvature:
    """What is known of the Hessian of the training loss, in eval mode.

    Attributes
    ----------
    task : str
        Its name.
    checkpoint : str
        Name of the weights.
    checkpoint_sha256 : str or None
        Digest of the file they came from.
    seed : int
        Of initial weights, subset and random vectors.
    tensors : dict of str to int
        Trainable parameters and their elements; together the rows of the Hessian.
    n_examples, n_all : int
        That the loss is the mean of, and that there are.
    dtype : str
        In which it was computed.
    loss : float
        At the weights.
    gradient_norm : float
        Euclidean; 0 at a minimum.
    eigenvalues, errors : ndarray of shape (k,)
        The largest Ritz values, falling, and their residuals: each has an eigenvalue so near.
    smallest, smallest_error : float
        The same at the lower end. The smallest eigenvalue is not above it, so that a negative
        value proves that the weights are at no minimum; a positive one proves nothing.
    converged : bool
        Whether residuals of all `eigenvalues` are within the tolerance.
    n_products : int
        Hessian-vector products of Lanczos' method.
    trace, trace_standard_error : float
        Hutchinson's estimate: the mean of v'Hv over vectors of random signs.
    n_probes : int
        Such vectors.
    coordinates : tuple of (str, int)
        Parameter and index in it, flattened, of each entry of `diagonal`.
    diagonal, slopes : ndarray of shape (d,)
        Entries of the Hessian's diagonal and of the gradient there, exact up to rounding.
    """

    task: str
    checkpoint: str
    checkpoint_sha256: str | None
    seed: int
    tensors: dict[str, int]
    n_examples: int
    n_all: int
    dtype: str
    loss: float
    gradient_norm: float
    eigenvalues: NDArray[np.float64]
    errors: NDArray[np.float64]
    smallest: float
    smallest_error: float
    converged: bool
    n_products: int
    trace: float
    trace_standard_error: float
    n_probes: int
    coordinates: tuple[tuple[str, int], ...]
    diagonal: NDArray[np.float64]
    slopes: NDArray[np.float64]

    def __str__(self) -> str:
        whole = "all" if self.n_examples == self.n_all else f"{self.n_examples} of {self.n_all}"
        top = ", ".join(f"{value:.4g}" for value in self.eigenvalues[:3])
        return (
            f"{self.task} at {self.checkpoint}: loss {self.loss:.4g}, gradient norm "
            f"{self.gradient_norm:.3g}, largest eigenvalues {top}, smallest Ritz value "
            f"{self.smallest:.3g}, trace {self.trace:.4g} ± {self.trace_standard_error:.2g}; "
            f"{whole} examples in eval mode"
        )

    @property
    def n_parameters(self) -> int:
        """Rows of the Hessian."""
        return sum(self.tensors.values())

    def at(
        self, coordinates: Sequence[tuple[str, int]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return entries of the Hessian's diagonal and of the gradient.

        Parameters
        ----------
        coordinates : sequence of (str, int)
            Parameter and index in it.

        Returns
        -------
        diagonal, slopes : ndarray of shape (len(coordinates),)
            In their order.

        Raises
        ------
        CaptureError
            One was not computed.
        """
        known = {one: place for place, one in enumerate(self.coordinates)}
        missing = [one for one in coordinates if one not in known]
        if missing:
            name, index = missing[0]
            raise CaptureError(
                f"the curvature holds the diagonal at {len(known)} coordinates, and {len(missing)} "
                f"of those asked for are not among them, such as {name}[{index}]. Compute it with "
                "coordinates= of the same sketch."
            )
        places = [known[one] for one in coordinates]
        return self.diagonal[places], self.slopes[places]

    def save(self, run: str | Path, step: int = 0) -> Path:
        """Write it into a run folder, as ``RUN/curvature/<step>.json``, whole or not at all.

        Readers of runs pass over it.

        Parameters
        ----------
        run : str or Path
            A run folder.
        step : int
            Training step of the weights.

        Returns
        -------
        Path
            The file.
        """
        read_manifest(run)  # raises where it is no run folder
        path = curvature_path(run, step)
        content = json.loads(json.dumps(asdict(self), default=lambda array: array.tolist()))
        write_json(path, {"format": _FORMAT, "step": step, **content})
        return path


def curvature_path(run: str | Path, step: int) -> Path:
    """Return where the curvature of a step lies in a run folder.

    Parameters
    ----------
    run : str or Path
        The run folder.
    step : int
        Training step.

    Returns
    -------
    Path
        ``RUN/curvature/00000100.json``.
    """
    return Path(run) / "curvature" / f"{step:08d}.json"


def load_curvature(run: str | Path, step: int = 0) -> Curvature:
    """Read the curvature that a run folder holds.

    Parameters
    ----------
    run : str or Path
        A run folder.
    step : int
        Training step.

    Returns
    -------
    Curvature
        As it was saved.

    Raises
    ------
    RunFolderError
        There is none, or it is of another version.
    """
    path = curvature_path(run, step)
    if not path.is_file():
        raise RunFolderError(
            f"{run} holds no curvature of step {step}. Compute it: `noise-lens theory predict {run}"
            " --task NAME --checkpoint CKPT`, or noise_lens.landscape.curvature(task, checkpoint, "
            "coordinates=...).save(run, step)."
        )
    content = read_json(path)
    if content.pop("format", None) != _FORMAT:
        raise RunFolderError(f"{path} is no curvature of this version ({_FORMAT}). Compute it anew")
    content.pop("step")
    try:
        arrays = {
            name: np.array(content[name], dtype=np.float64)
            for name in ("eigenvalues", "errors", "diagonal", "slopes")
        }
        coordinates = tuple((str(name), int(index)) for name, index in content["coordinates"])
        return Curvature(**{**content, **arrays, "coordinates": coordinates})
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read: {error!r}. Compute it anew") from error
