"""Numbers in, Axes out: one figure a file. Nothing is computed that a table does not show."""

from noise_lens.figures.aggregation import plot_aggregation
from noise_lens.figures.decomposition import plot_decomposition
from noise_lens.figures.differences import plot_differences
from noise_lens.figures.efficiency import plot_efficiency
from noise_lens.figures.escape_scaling import (
    EscapePoint,
    plot_escape_law,
    plot_escape_scaling,
)
from noise_lens.figures.estimates import plot_estimates
from noise_lens.figures.hill_path import plot_hill_path
from noise_lens.figures.loss_line import plot_loss_line
from noise_lens.figures.parameter import plot_against_parameter
from noise_lens.figures.predictions import plot_predictions
from noise_lens.figures.quantiles import QuantileCurve, plot_quantiles, quantile_curve
from noise_lens.figures.rotations import plot_rotations
from noise_lens.figures.stationary_tail import (
    SimulatedTail,
    StationaryCurve,
    plot_stationary_tail,
    stationary_curve,
)
from noise_lens.figures.style import COLOURS, MARKERS, series_look
from noise_lens.figures.survival import SurvivalCurve, plot_survival, survival_curve
from noise_lens.figures.tail_against_accuracy import (
    SeedPoint,
    plot_tail_against_accuracy,
    seed_points,
)
from noise_lens.figures.tail_index import plot_tail_index
from noise_lens.figures.tail_over_training import (
    TailCurve,
    plot_tail_over_training,
    published_curves,
    tail_curves,
)
from noise_lens.figures.training import plot_training
from noise_lens.figures.weight_tails import plot_weight_tails, tails_by_ratio

__all__ = [
    "COLOURS",
    "MARKERS",
    "EscapePoint",
    "QuantileCurve",
    "SeedPoint",
    "SimulatedTail",
    "StationaryCurve",
    "SurvivalCurve",
    "TailCurve",
    "plot_against_parameter",
    "plot_aggregation",
    "plot_decomposition",
    "plot_differences",
    "plot_efficiency",
    "plot_escape_law",
    "plot_escape_scaling",
    "plot_estimates",
    "plot_hill_path",
    "plot_loss_line",
    "plot_predictions",
    "plot_quantiles",
    "plot_rotations",
    "plot_stationary_tail",
    "plot_survival",
    "plot_tail_against_accuracy",
    "plot_tail_index",
    "plot_tail_over_training",
    "plot_training",
    "plot_weight_tails",
    "published_curves",
    "quantile_curve",
    "seed_points",
    "series_look",
    "stationary_curve",
    "survival_curve",
    "tail_curves",
    "tails_by_ratio",
]
