from __future__ import annotations

import signal
import subprocess
import sys
import time

import noise_lens as nl

SMALL = (
    "--task", "digits-mlp", "--optimizers", "sgd,adal", "--steps", "20", "--seeds", "1",
    "-n", "50", "-b", "8",
)  # fmt: skip


def test_table_json_and_report(call, strict, tmp_path):
    folder = tmp_path / "run"
    result = call("compare", *SMALL, "-o", folder)
    assert result.stdout.count("\n") == 1 + 2 * 3  # a header; two optimizers, three steps
    assert "below 2 alone it is not evidence" in " ".join(result.stderr.split())
    assert "1/1" in result.stdout
    again = strict(call("compare", *SMALL, "-o", folder, "--json").stdout)
    assert len(again["table"]) == 2 * 3 * 2
    assert again["settings"]["learning_rates"] == {"sgd": 0.1, "adal": 0.001}
    page = call("report", folder).stdout.strip()
    assert page == str(folder / "report.html")
    assert again["table"][-1]["verdict"] in (folder / "report.html").read_text()


def test_steps_and_rates(call, strict, tmp_path):
    options = ("--probe-steps", "5,20", "--lr", "sgd=0.5", "--json", "-o", tmp_path / "run")
    result = call("compare", *SMALL, *options)
    found = strict(result.stdout)
    assert {row["step"] for row in found["table"]} == {5, 20}
    assert found["settings"]["learning_rates"]["sgd"] == 0.5


def test_views_tuning_and_differences(call, strict, tmp_path):
    """Two seeds show intervals and claim nothing; averages bring what averaging explains."""
    folder = tmp_path / "run"
    asked = (
        "compare", "--task", "digits-mlp", "--optimizers", "sgd,padam@p=0.25", "--steps", "20",
        "--probe-steps", "20", "--seeds", "2", "-n", "900", "-b", "8", "-o", folder,
        "--view", "gradient", "--view", "momentum", "--tune-grid", "sgd=0.01,0.1,0.3",
        "--lr", "padam@p=0.25=0.02", "--published",
    )  # fmt: skip
    result = call(*asked)
    text = result.stdout
    assert "sgd: learning rate " in result.stderr
    assert "Differences from sgd at step 20, by seed:" in text
    assert "What averaging explains of the difference in alpha:" in text
    assert "none: 2 pairs" in text
    found = strict(call(*asked, "--json").stdout)
    rates = found["settings"]["learning_rates"]
    assert rates["padam@p=0.25"] == 0.02
    assert rates["sgd"] == float(min(found["tuning"]["sgd"], key=found["tuning"]["sgd"].get))
    assert {row["view"] for row in found["table"]} == {"gradient", "momentum"}
    assert {row["law"] for row in found["predictions"]} == {"stable", "finite variance"}
    assert {row["part"] for row in found["decompositions"]} == {"level", "term", "share"}
    assert all(row["claim"] is None for row in found["differences"])
    assert found["table"][0]["published_alpha"] > 0


def test_errors(call, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "file").write_text("mine")
    for arguments, message in (
        (("--optimizers", "sgd,adma"), "Did you mean adam"),
        (("--probe-steps", "a,b"), "--probe-steps takes whole numbers"),
        (("--probe-steps", "99"), "must lie in [0, n_steps=20]"),
        (("--lr", "sgd"), "--lr takes NAME=RATE"),
        (("--tune-grid", "sgd=a"), "--tune-grid takes NAME=RATE,RATE"),
        (("--tune-grid", "adam=0.1"), "the grid names adam, but the optimizers are sgd, adal"),
        (("--baseline", "adam"), "baseline must be one of sgd, adal"),
        (("--optimizers", "sgd,padam@p=0.7"), "p must lie in (0, 1/2]"),
        (("--view", "moment"), "views must be different ones of gradient, momentum"),
        (("--steps", "0"), "n_steps must be at least 1"),
        (("-o", tmp_path / "notes"), "is not empty and is no run folder"),
    ):
        output = call("compare", *SMALL, "-o", tmp_path / "new", *arguments, code=1).stderr
        assert message in output
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["file"]


def test_ctrl_c_says_what_was_saved(tmp_path):
    """A real process gets SIGINT after its first measurement: status 130, no traceback."""
    folder = tmp_path / "run"
    arguments = [*SMALL, "--steps", "100000", "--probe-steps", "0,100000", "-o", str(folder)]
    # A shell's background job ignores SIGINT and hands that on; a user's process does not.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from noise_lens_cli import main; main({['compare', *arguments]!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob("*/records/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted. 1 finished measurements are in" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert len(nl.read_run(folder).runs["sgd-s0"].records) == 1
