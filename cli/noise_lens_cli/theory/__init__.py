"""``noise-lens theory``: what the papers' theorems say of your numbers."""

from __future__ import annotations

import click

from noise_lens_cli.theory.escape import escape
from noise_lens_cli.theory.line import line
from noise_lens_cli.theory.predict import predict
from noise_lens_cli.theory.stationary import stationary
from noise_lens_cli.theory.weights import weights


@click.group()
def theory() -> None:
    """Compute what the theory predicts, and say where it does not apply.

    \b
    Example:
        noise-lens theory stationary --step-size 0.6 --batch-size 1 --dim 2
        noise-lens theory escape --alpha 1.5 --epsilon 0.1
    """


for command in (stationary, escape, predict, line, weights):
    theory.add_command(command)
