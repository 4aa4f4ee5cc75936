"""Tail indices of gradient noise, with intervals, and reports that say what they are of.

Names are loaded when they are used: ``import noise_lens`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noise_lens import contrasts, landscape, optim, prediction, theory
    from noise_lens.capture.schedule import every, logarithmic
    from noise_lens.capture.streaming import (
        StreamingCharacteristicFunction,
        StreamingLogHistogram,
        StreamingLogMoments,
    )
    from noise_lens.comparison import Comparison, compare
    from noise_lens.errors import (
        CaptureError,
        CheckpointError,
        DivergedError,
        NoiseLensError,
        NotEnoughDataError,
        RunFolderError,
        SamplesError,
        TaskError,
    )
    from noise_lens.estimators import (
        ConfidenceInterval,
        HillPath,
        LogHistogram,
        TailIndexEstimate,
        characteristic_function,
        hill,
        hill_path,
        log_moments,
        maximum_likelihood,
        mohammadi,
        mohammadi_norm,
        moment,
        quantile,
        scipy_fit,
    )
    from noise_lens.inference import (
        AggregationCurve,
        FamilyComparison,
        GaussianisingBatchSize,
        NoiseScale,
        RotationTest,
        TailExamples,
        Verdict,
        aggregation_curve,
        compare_families,
        gaussianising_batch_size,
        judge,
        judge_groups,
        noise_scale,
        pooled,
        rotation_test,
        tail_examples,
    )
    from noise_lens.lens import NoiseLens
    from noise_lens.measurement import Measurement, measure
    from noise_lens.merging import read_run
    from noise_lens.report import write_report
    from noise_lens.run import Run
    from noise_lens.stable import SymmetricStable
    from noise_lens.tasks import Task
    from noise_lens.trajectory import measure_trajectory

_HOMES = {
    "noise_lens.capture.schedule": ("every", "logarithmic"),
    "noise_lens.capture.streaming": (
        "StreamingCharacteristicFunction",
        "StreamingLogHistogram",
        "StreamingLogMoments",
    ),
    "noise_lens.comparison": ("Comparison", "compare"),
    "noise_lens.errors": (
        "CaptureError",
        "CheckpointError",
        "DivergedError",
        "NoiseLensError",
        "NotEnoughDataError",
        "RunFolderError",
        "SamplesError",
        "TaskError",
    ),
    "noise_lens.estimators": (
        "ConfidenceInterval",
        "HillPath",
        "LogHistogram",
        "TailIndexEstimate",
        "characteristic_function",
        "hill",
        "hill_path",
        "log_moments",
        "maximum_likelihood",
        "mohammadi",
        "mohammadi_norm",
        "moment",
        "quantile",
        "scipy_fit",
    ),
    "noise_lens.inference": (
        "AggregationCurve",
        "FamilyComparison",
        "GaussianisingBatchSize",
        "NoiseScale",
        "RotationTest",
        "TailExamples",
        "Verdict",
        "aggregation_curve",
        "compare_families",
        "gaussianising_batch_size",
        "judge",
        "judge_groups",
        "noise_scale",
        "pooled",
        "rotation_test",
        "tail_examples",
    ),
    "noise_lens.lens": ("NoiseLens",),
    "noise_lens.measurement": ("Measurement", "measure"),
    "noise_lens.merging": ("read_run",),
    "noise_lens.report": ("write_report",),
    "noise_lens.run": ("Run",),
    "noise_lens.stable": ("SymmetricStable",),
    "noise_lens.tasks": ("Task",),
    "noise_lens.trajectory": ("measure_trajectory",),
}
_ROOMS = ("contrasts", "landscape", "optim", "prediction", "theory")
"""Modules whose functions go by their own name: ``nl.optim.create``."""
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AggregationCurve",
    "CaptureError",
    "CheckpointError",
    "Comparison",
    "ConfidenceInterval",
    "DivergedError",
    "FamilyComparison",
    "GaussianisingBatchSize",
    "HillPath",
    "LogHistogram",
    "Measurement",
    "NoiseLens",
    "NoiseLensError",
    "NoiseScale",
    "NotEnoughDataError",
    "RotationTest",
    "Run",
    "RunFolderError",
    "SamplesError",
    "StreamingCharacteristicFunction",
    "StreamingLogHistogram",
    "StreamingLogMoments",
    "SymmetricStable",
    "TailExamples",
    "TailIndexEstimate",
    "Task",
    "TaskError",
    "Verdict",
    "aggregation_curve",
    "characteristic_function",
    "compare",
    "compare_families",
    "contrasts",
    "every",
    "gaussianising_batch_size",
    "hill",
    "hill_path",
    "judge",
    "judge_groups",
    "landscape",
    "log_moments",
    "logarithmic",
    "maximum_likelihood",
    "measure",
    "measure_trajectory",
    "mohammadi",
    "mohammadi_norm",
    "moment",
    "noise_scale",
    "optim",
    "pooled",
    "prediction",
    "quantile",
    "read_run",
    "rotation_test",
    "scipy_fit",
    "tail_examples",
    "theory",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version("noise-lens")
    if name in _ROOMS:
        return import_module(f"noise_lens.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'noise_lens' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
