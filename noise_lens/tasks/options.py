"""Checks of the numbers that a built-in task takes."""

from __future__ import annotations

from typing import Any

from noise_lens.errors import TaskError


def check_whole(task: str, least: int = 1, **options: Any) -> None:
    """Raise unless every option is a whole number that is large enough.

    Parameters
    ----------
    task : str
        Name of the task, for the message.
    least : int
        The smallest that will do.
    **options : Any
        By name.

    Raises
    ------
    TaskError
        One is not.
    """
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise TaskError(
                f"{task} needs {name} to be a whole number of at least {least}, got {value!r}"
            )


def check_share(task: str, **options: Any) -> None:
    """Raise unless every option is a number in [0, 1).

    Parameters
    ----------
    task : str
        Name of the task, for the message.
    **options : Any
        By name.

    Raises
    ------
    TaskError
        One is not.
    """
    for name, value in options.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < 1:
            raise TaskError(f"{task} needs {name} to be a number in [0, 1), got {value!r}")


def check_flag(task: str, **options: Any) -> None:
    """Raise unless every option is True or False.

    Parameters
    ----------
    task : str
        Name of the task, for the message.
    **options : Any
        By name.

    Raises
    ------
    TaskError
        One is not; the text "false" would count as true.
    """
    for name, value in options.items():
        if not isinstance(value, bool):
            raise TaskError(f"{task} needs {name} to be True or False, got {value!r}")
