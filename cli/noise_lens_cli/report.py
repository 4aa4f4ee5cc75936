"""``noise-lens report``."""

from __future__ import annotations

from pathlib import Path

import click

from noise_lens_cli.translate import translated


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="The page; RUN/report.html for one run, report.html for several.",
)  # fmt: skip
@translated
def report(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write one self-contained HTML page about run folders RUNS.

    It needs no model, no data and no GPU, and reads runs that were cut off.

    \b
    Example:
        noise-lens report runs/demo -o report.html
    """
    from noise_lens import write_report

    path = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    click.echo(str(write_report(runs, path)))
