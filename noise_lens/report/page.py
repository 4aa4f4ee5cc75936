"""Run folders -> one HTML file that needs nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from noise_lens.errors import RunFolderError
from noise_lens.report import answers, averaging, drawings, numbers, sentences
from noise_lens.report.comparison_figures import comparison_figures, published_figure
from noise_lens.report.content import Section, read_section
from noise_lens.report.evidence_figures import evidence_figures
from noise_lens.report.verdicts import KINDS
from noise_lens.report.views import MEANING, minibatches_a_row
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
        environment()
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
    def several_steps(view: str) -> bool:
        return any(len(series.steps_of(view)) > 1 for series in section.series)

    has_metrics = any(series.metric_keys() for series in section.series)
    return {
        "tail_index": drawings.tail_index_figure(section, f"{name}-steps", section.view)
        if several_steps(section.view)
        else None,
        "other_views": [
            (view, drawings.tail_index_figure(section, f"{name}-{view}-steps", view))
            for view in section.views
            if view != section.view and several_steps(view)
        ],
        "training": drawings.training_figure(section, f"{name}-training")
        if several_steps(section.view) and has_metrics
        else None,
        "published": published_figure(section, f"{name}-published") if section.published else None,
        "trend": drawings.trend_figure(section, f"{name}-trend") if section.trend else None,
        **evidence_figures(section, name),
        **comparison_figures(section, name),
    }


def environment() -> jinja2.Environment:
    """Return the templates with their filters.

    Returns
    -------
    jinja2.Environment
        It escapes what it is given.
    """
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("noise_lens.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {
        "number": numbers.number,
        "short": numbers.short,
        "signed": lambda value: f"{value:+.2f}",
        "share": numbers.share,
        "span": numbers.span,
        "span3": lambda found: numbers.span(found, 3),
        "change": lambda one, digits: numbers.signed(one.mean, one.low, one.high, digits=digits),
        "percent_of": lambda ratio: numbers.percent(ratio.value, ratio.low, ratio.high),
        "metric": numbers.metric_name,
        "plain_number": lambda value: f"{value:g}",
        "count": lambda value: f"{value:,}",
        "quantile": lambda values, level: float(np.quantile(values, level)),
        "sentence": lambda text: f"{text[:1].upper()}{text[1:].rstrip('.')}.",
    }
    found.globals |= {
        "interval": numbers.interval,
        "answer": answers.answer,
        "explained": averaging.explained,
        "laws": averaging.laws,
        "meaning": MEANING,
        "minibatches_a_row": minibatches_a_row,
        "no_verdict": sentences.no_verdict,
        "numbers": sentences.numbers,
        "other_answers": answers.other_answers,
        "told": answers.told,
        "together": sentences.together,
        "for_training": sentences.for_training,
        "gaussianising_sizes": sentences.gaussianising_sizes,
        "headline": sentences.headline,
        "warning_names": sentences.warning_names,
    }
    return found
