"""Run folders -> one HTML file that needs nothing else."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2

from noise_lens.errors import RunFolderError
from noise_lens.figures.aggregation import interval
from noise_lens.inference.seeds import OverSeeds
from noise_lens.report import drawings
from noise_lens.report.content import KINDS, Section, read_section
from noise_lens.run.files import in_words


def write_report(folders: Iterable[str | Path] | str | Path, path: str | Path) -> Path:
    """Write one self-contained HTML page about run folders.

    Parameters
    ----------
    folders : path or iterable of paths
        Run folders, comparisons among them, also unfinished ones.
    path : str or Path
        The page; an existing one is replaced whole.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    RunFolderError
        A folder is no run folder or holds no measurement, or the page cannot be written.
    """
    chosen = [folders] if isinstance(folders, str | Path) else list(folders)
    if not chosen:
        raise RunFolderError("a report needs at least one run folder, got none")
    sections = [read_section(folder) for folder in chosen]
    figures = [_figures(section, f"s{index}") for index, section in enumerate(sections)]
    text = (
        _environment()
        .get_template("page.html.j2")
        .render(
            parts=list(zip(sections, figures, strict=True)),
            kinds=KINDS,
            version=metadata.version("noise-lens"),
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise RunFolderError(
            f"the report {path} cannot be written: {in_words(error)}. Choose another -o."
        ) from error
    return path


def _figures(section: Section, name: str) -> dict[str, Any]:
    several_steps = any(len(series.steps) > 1 for series in section.series)
    has_metrics = any(series.metric_keys() for series in section.series)
    return {
        "tail_index": drawings.tail_index_figure(section, f"{name}-steps")
        if several_steps
        else None,
        "training": drawings.training_figure(section, f"{name}-training")
        if several_steps and has_metrics
        else None,
        "trend": drawings.trend_figure(section, f"{name}-trend") if section.trend else None,
        "aggregation": drawings.aggregation_figure(section, f"{name}-aggregation")
        if any(closeup.aggregation for closeup in section.closeups)
        else None,
        "survival": [
            drawings.survival_figure(closeup, index, f"{name}-survival{index}")
            for index, closeup in enumerate(section.closeups)
            if closeup.survival
        ],
    }


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("noise_lens.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": _number,
        "share": lambda value: _number(None if value is None else 100 * value, 1) + " %",
        "span": _span,
        "count": lambda value: f"{value:,}",
    }
    environment.globals["curve_interval"] = interval
    return environment


def _number(value: float | None, digits: int = 2) -> str:
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    if value != 0 and abs(value) < 10.0**-digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


def _span(estimate: OverSeeds) -> str:
    if estimate.n == 0:
        return "–"
    return f"{_number(estimate.mean)} [{_number(estimate.low)}, {_number(estimate.high)}]"
