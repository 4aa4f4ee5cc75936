"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

C = TypeVar("C", bound=Callable[..., Any])


def task_options(command: C) -> C:
    """Add ``--task`` and ``--task-arg``.

    Parameters
    ----------
    command : callable
        Takes `task` and `task_arg`.

    Returns
    -------
    callable
        With the options.
    """
    command = click.option(
        "--task-arg", multiple=True, metavar="KEY=VALUE", help="Argument of the task's callable."
    )(command)
    return click.option(
        "--task",
        required=True,
        metavar="NAME",
        help="digits-mlp, digits-cnn, text-transformer, text-lstm, linear-regression; mnist-fc, "
        "cifar10-fc, -alexnet, -vgg16, -resnet18 with --task-arg data=FOLDER; or "
        "pkg.module:callable (the current folder is on the path).",
    )(command)


def probe_options(command: C) -> C:
    """Add what a probe needs: minibatches, reference, views, groups, device.

    Parameters
    ----------
    command : callable
        Takes `n_minibatches`, `batch_size`, `view`, `reference`, `device`, `as_json`.

    Returns
    -------
    callable
        With the options.
    """
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        click.option("--device", help="cpu, cuda, cuda:1; a GPU if there is one by default."),
        click.option(
            "--reference",
            type=click.Choice(["auto", "full", "pair", "mean"]),
            default="auto",
            show_default=True,
            help="What is subtracted from a minibatch gradient.",
        ),
        click.option(
            "--view",
            multiple=True,
            default=["gradient"],
            show_default=True,
            help="Which noise: gradient, momentum, update, transformed, trajectory. Repeatable.",
        ),
        click.option(
            "-b", "--batch-size", type=click.IntRange(min=1), default=32, show_default=True,
            help="Examples a minibatch; a stream has its own.",
        ),
        click.option(
            "-n", "--n-minibatches", type=int, default=1024, show_default=True,
            help="Minibatches a probe; at least 50.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def parsed_groups(groups: str) -> str | list[str]:
    """Return the groups of an option.

    Parameters
    ----------
    groups : str
        ``all``, ``tensor``, ``module``, or patterns with commas between them.

    Returns
    -------
    str or list of str
        For the library.
    """
    return groups if groups in ("all", "tensor", "module") else groups.split(",")
