"""One figure of one sample: every estimate, Hill's path, the survival function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from noise_lens.errors import SamplesError
from noise_lens.estimators import HillPath, TailIndexEstimate
from noise_lens.figures import plot_estimates, plot_hill_path, plot_survival, survival_curve
from noise_lens.report.svg import drawing, write_svg


def write_sample_figure(
    path: str | Path,
    rows: NDArray[np.float64],
    estimates: Sequence[TailIndexEstimate],
    hill: HillPath | None,
) -> Path:
    """Draw a sample and what the estimators read from it.

    Parameters
    ----------
    path : str or pathlib.Path
        An .svg file; replaced if it is there.
    rows : ndarray of shape (n, d)
        The sample; columns are standardised for the survival function.
    estimates : sequence of TailIndexEstimate
        Scalars, one a method.
    hill : HillPath or None
        Hill's path; without it that panel stays out.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    SamplesError
        `path` does not end in .svg, or cannot be written.
    """
    target = Path(path)
    if target.suffix != ".svg":
        raise SamplesError(f"the figure is an .svg file, got {target.name}. Name it so.")
    law = next((e for e in estimates if e.method == "maximum_likelihood"), None)
    alpha = None if law is None else float(np.asarray(law.alpha))
    sigma = None if law is None or law.sigma is None else float(np.asarray(law.sigma))
    if sigma is not None and rows.shape[1] == 1:
        # The survival function is drawn in units of the geometric mean; pooled laws are in it.
        sigma /= float(np.exp(np.log(np.abs(rows[rows != 0])).mean()))
    with drawing(target.name):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        panels = figure.subplots(1, 2 if hill is None else 3)
        plot_estimates([e.method for e in estimates], estimates, ax=panels[0])
        if hill is not None:
            plot_hill_path(hill, ax=panels[1])
            panels[1].legend()
        plot_survival(survival_curve(rows, alpha, sigma), ax=panels[-1])
        panels[-1].legend()
        panels[-1].set_xlabel("magnitude over its geometric mean")
        try:
            write_svg(figure, target)
        except OSError as error:
            raise SamplesError(f"{target} cannot be written: {error.strerror}") from error
    return target
