"""From a run folder and a curvature to what the theory of escape would predict."""

from noise_lens.prediction._predict import check_given, curvature_of_run, predict
from noise_lens.prediction.result import Escape, Prediction, Violation

__all__ = ["Escape", "Prediction", "Violation", "check_given", "curvature_of_run", "predict"]
