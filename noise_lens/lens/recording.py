"""What a lens hands on: the run folder, the logger, and what went wrong."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from noise_lens.capture.ranks import ALONE, Ranks
from noise_lens.errors import NoiseLensError
from noise_lens.lens.agreement import training_ranks
from noise_lens.lens.folder import opened
from noise_lens.lens.loggers import SafeLog, numbers_of_records, numbers_of_trend
from noise_lens.measurement import Measurement
from noise_lens.run import RunWriter, check_new


class Recording:
    """Writes and logs; whatever fails is a warning and a line in `problems`, never an error.

    Parameters
    ----------
    out : str or Path, optional
        The run folder; none is written if not given.
    log : callable or object, optional
        As for :class:`noise_lens.NoiseLens`.

    Attributes
    ----------
    problems : list of str
        What went wrong, with its step.
    ranks : Ranks
        This process among those that train.

    Raises
    ------
    RunFolderError
        The folder cannot be written, or holds something else than a run.
    """

    def __init__(self, out: str | Path | None, log: Any) -> None:
        self.problems: list[str] = []
        self.ranks: Ranks = ALONE
        self._out, self._log = out, SafeLog(log)
        self._writer: RunWriter | None = None
        if out is not None:
            check_new(out, resume=True, ranks=training_ranks())

    @property
    def has_folder(self) -> bool:
        """Whether a run folder is written."""
        return self._out is not None

    def open(self, manifest: Mapping[str, Any], *, resumed: bool) -> None:
        """Begin or continue the folder; the first call counts.

        Parameters
        ----------
        manifest : mapping
            Of the run.
        resumed : bool
            The lens has loaded a state.
        """
        if self._out is not None and self._writer is None:
            self._writer = opened(self._out, manifest, self.ranks, resumed=resumed)

    def keep_probe(self, measurement: Measurement, step: int) -> None:
        """Log a probe's numbers and write it.

        Parameters
        ----------
        measurement : Measurement
            The probe.
        step : int
            Optimizer steps done.
        """
        self._log_first(numbers_of_records(measurement.records), step)
        if self._writer is not None:
            try:
                measurement.write_to(self._writer)
            except NoiseLensError as error:
                self.problem(step, "could not keep the probe", error)

    def keep_window(
        self,
        trend: Sequence[Mapping[str, Any]],
        capture: Mapping[str, Any],
        rows: Mapping[str, NDArray[Any]] | None,
        step: int,
    ) -> None:
        """Log the newest window of a trend and write it.

        Parameters
        ----------
        trend : sequence of mapping
            All windows so far.
        capture : mapping
            What was seen.
        rows : mapping of str to ndarray, optional
            Of the newest window, where other ranks have comparable ones.
        step : int
            Optimizer steps done.
        """
        self._log_first(numbers_of_trend(trend[-1]), step)
        if self._writer is not None:
            try:
                self._writer.write_trend(trend, capture)
                if self.ranks.world_size > 1 and rows is not None:
                    self._writer.write_trend_rows(trend[-1]["first_step"], rows)
            except NoiseLensError as error:
                self.problem(step, "wrote no trend", error)

    def close(self, step: int, **facts: Any) -> None:
        """Mark the folder as ended.

        Parameters
        ----------
        step : int
            Optimizer steps done.
        **facts : Any
            JSON-ready.
        """
        if self._writer is not None:
            try:
                self._writer.close(status="finished", n_steps=step, problems=self.problems, **facts)
            except NoiseLensError as error:
                self.problem(step, "did not close its folder", error)

    def problem(self, step: int, what: str, error: Exception) -> None:
        """Warn of an error that training must not see."""
        self.problems.append(f"step {step}: {error}")
        warnings.warn(f"NoiseLens {what} at {self.problems[-1]}", stacklevel=3)

    def warn(self, step: int, message: str) -> None:
        """Warn, and keep the warning with the run."""
        self.problems.append(f"step {step}: {message}")
        warnings.warn(f"NoiseLens: {message}", stacklevel=3)

    def _log_first(self, numbers: Mapping[str, float | None], step: int) -> None:
        if self.ranks.rank == 0:
            self._log(numbers, step)
