"""From estimates to statements: standardised, pooled, with errors that count minibatches."""

from noise_lens.inference.aggregation import AggregationCurve, aggregation_curve
from noise_lens.inference.pooling import pooled
from noise_lens.inference.rows import judged_rows

__all__ = ["AggregationCurve", "aggregation_curve", "judged_rows", "pooled"]
