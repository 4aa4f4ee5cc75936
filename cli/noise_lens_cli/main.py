"""The ``noise-lens`` command and its subcommands."""

from __future__ import annotations

import click

from noise_lens_cli.check import check
from noise_lens_cli.compare import compare
from noise_lens_cli.estimate import estimate
from noise_lens_cli.measure import measure
from noise_lens_cli.report import report
from noise_lens_cli.theory import theory

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_SETTINGS)
@click.version_option(package_name="noise-lens", message="noise-lens %(version)s")
def main() -> None:
    """Measure whether gradient noise is heavy-tailed, and whether the optimizer changes that.

    Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted (check has its own). Results go
    to stdout, progress and warnings to stderr.

    \b
    Example:
        noise-lens compare --task digits-mlp --optimizers sgd,adam,adal -o runs/first
        noise-lens report runs/first
    """


for command in (measure, compare, estimate, check, report, theory):
    main.add_command(command)
