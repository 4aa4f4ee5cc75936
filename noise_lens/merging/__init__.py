"""What several ranks wrote, read as one measurement; NumPy only, at read time."""

from noise_lens.merging.reading import MergedRun, merged_measurement, read_run, wait_for_ranks
from noise_lens.merging.rows import merged_by_rows
from noise_lens.merging.shards import merged_by_shards

__all__ = [
    "MergedRun",
    "merged_by_rows",
    "merged_by_shards",
    "merged_measurement",
    "read_run",
    "wait_for_ranks",
]
