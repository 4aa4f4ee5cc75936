"""From exceptions to one line and an exit status."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")


class Interrupted(click.ClickException):
    """Ctrl-C, with what was saved."""

    exit_code = 130

    def show(self, file: object = None) -> None:
        """Print the message, without the word Error."""
        click.echo(f"\n{self.format_message()}", err=True)


def translated(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the library's errors into click's: one line on stderr, exit status 1.

    Parameters
    ----------
    command : callable
        The body of a command.

    Returns
    -------
    callable
        The same, translated.
    """

    @functools.wraps(command)
    def body(*args: P.args, **kwargs: P.kwargs) -> R:
        from noise_lens import NoiseLensError

        try:
            return command(*args, **kwargs)
        except (NoiseLensError, ValueError) as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            raise Interrupted("Interrupted. Nothing was left half-written.") from None
        except BrokenPipeError:
            # The reader of stdout went away (`| head`): not our failure.
            sys.stderr.close()
            sys.exit(0)

    return body
