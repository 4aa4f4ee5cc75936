from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from noise_lens_cli import main


@pytest.fixture
def call():
    """Run a command in this process; returns click's result with ``.json`` for its stdout."""

    def run(*arguments, code=0, text=None):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=text)
        assert code in (None, result.exit_code), result.output + repr(result.exception)
        return result

    return run


@pytest.fixture
def strict():
    """Parse strict JSON: NaN and Infinity are refused."""

    def refuse(word):
        raise AssertionError(f"{word} is not strict JSON")

    return lambda text: json.loads(text, parse_constant=refuse)
