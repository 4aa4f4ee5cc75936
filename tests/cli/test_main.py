from __future__ import annotations

import statistics
import subprocess
import sys
import time

import click
import pytest

from noise_lens_cli import main

COMMANDS = sorted(main.commands)
THEORY = sorted(main.commands["theory"].commands)


def test_help_is_fast_and_light():
    """Median of five below 0.3 s, and none of the heavy libraries is imported."""
    code = (
        "import sys\n"
        "from noise_lens_cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'scipy', 'matplotlib', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    assert statistics.median(times) < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, call):
    text = call(command, "--help").output
    assert "Example:" in text
    assert f"noise-lens {command}" in text
    options = [p for p in main.commands[command].params if isinstance(p, click.Option)]
    assert all(option.help for option in options)


@pytest.mark.parametrize("command", THEORY)
def test_every_command_of_theory_has_help_with_an_example(command, call):
    text = call("theory", command, "--help").output
    assert f"noise-lens theory {command}" in text
    found = main.commands["theory"].commands[command]
    assert all(p.help for p in found.params if isinstance(p, click.Option))


def test_commands_and_version(call):
    assert COMMANDS == ["check", "compare", "estimate", "measure", "report", "theory"]
    assert THEORY == ["escape", "line", "predict", "stationary", "weights"]
    assert call("--version").output.startswith("noise-lens 0.")
    assert "130 interrupted" in call("--help").output


def test_wrong_usage_is_status_two(call):
    for arguments in (("measure",), ("nonsense",), ("compare", "--task", "t", "--seeds", "0")):
        assert "Usage: " in call(*arguments, code=2).stderr
