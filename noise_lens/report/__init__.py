"""Run folders in, one self-contained HTML page out. No model, no GPU, no data."""

from noise_lens.report.page import write_report

__all__ = ["write_report"]
