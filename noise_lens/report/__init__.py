"""Run folders in, one self-contained HTML page out; a sample in, one figure. No model, no GPU."""

from noise_lens.report.page import write_report
from noise_lens.report.sample import write_sample_figure

__all__ = ["write_report", "write_sample_figure"]
