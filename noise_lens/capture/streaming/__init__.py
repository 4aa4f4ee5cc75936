"""One-pass twins of estimators: noise goes by on the device, sums stay, `compute` copies once."""

from noise_lens.capture.streaming.characteristic_function import StreamingCharacteristicFunction
from noise_lens.capture.streaming.log_histogram import StreamingLogHistogram
from noise_lens.capture.streaming.log_moments import StreamingLogMoments

__all__ = ["StreamingCharacteristicFunction", "StreamingLogHistogram", "StreamingLogMoments"]
