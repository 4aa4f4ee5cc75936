"""From estimates to statements: pooled, judged, with errors that count minibatches."""

from noise_lens.inference.aggregation import AggregationCurve, aggregation_curve
from noise_lens.inference.batch_size import GaussianisingBatchSize, gaussianising_batch_size
from noise_lens.inference.families import FamilyComparison, compare_families
from noise_lens.inference.many import judge_groups, shares_by_label
from noise_lens.inference.noise_scale import NoiseScale, noise_scale
from noise_lens.inference.pooling import pooled
from noise_lens.inference.rotation import RotationTest, rotation_test
from noise_lens.inference.rows import judged_rows
from noise_lens.inference.tail_examples import TailExamples, tail_examples
from noise_lens.inference.verdict import Verdict, judge

__all__ = [
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
    "judged_rows",
    "noise_scale",
    "pooled",
    "rotation_test",
    "shares_by_label",
    "tail_examples",
]
