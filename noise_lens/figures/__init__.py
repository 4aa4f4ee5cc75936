"""Numbers in, Axes out: one figure a file. Nothing is computed that a table does not show."""

from noise_lens.figures.aggregation import plot_aggregation
from noise_lens.figures.efficiency import plot_efficiency
from noise_lens.figures.estimates import plot_estimates
from noise_lens.figures.hill_path import plot_hill_path
from noise_lens.figures.quantiles import QuantileCurve, plot_quantiles, quantile_curve
from noise_lens.figures.rotations import plot_rotations
from noise_lens.figures.style import COLOURS, MARKERS
from noise_lens.figures.survival import SurvivalCurve, plot_survival, survival_curve
from noise_lens.figures.tail_index import plot_tail_index
from noise_lens.figures.training import plot_training

__all__ = [
    "COLOURS",
    "MARKERS",
    "QuantileCurve",
    "SurvivalCurve",
    "plot_aggregation",
    "plot_efficiency",
    "plot_estimates",
    "plot_hill_path",
    "plot_quantiles",
    "plot_rotations",
    "plot_survival",
    "plot_tail_index",
    "plot_training",
    "quantile_curve",
    "survival_curve",
]
