"""Comparisons that are not as they should be: the page says so and does not fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import noise_lens as nl
from noise_lens import contrasts
from noise_lens.judging import FEWEST_ROWS_OF_A_VIEW
from noise_lens.report import content, verdicts
from noise_lens.report.answers import answer
from noise_lens.report.content import read_section

SMALL = {"n_rows": (60, 30), "seeds": range(2)}


@pytest.fixture
def page(compared, tmp_path, parse, monkeypatch, unjudged):
    """Return a function that writes a comparison, and its section and page as words."""

    kept = []

    def read(folder):
        kept.append(read_section(folder))
        return kept[-1]

    monkeypatch.setattr("noise_lens.report.page.read_section", read)

    def made(**options):
        folder = compared(tmp_path / "odd", **{**SMALL, **options})
        text = nl.write_report(folder, tmp_path / "p.html").read_text(encoding="utf-8")
        words = " ".join(" ".join(parse(text).words).split())
        addresses = {v for _, v in parse(text).attributes if v and "//" in v}
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert "script" not in parse(text).tags
        assert "nan" not in re.findall(r"\bnan\b", text)
        return kept[-1], words

    return made


def test_one_optimizer_has_nothing_to_be_compared_with(page):
    section, words = page(tails=(("sgd", 3.0),))
    assert section.separation is None
    assert "what separates the optimizers" not in words
    assert "Does the optimizer change" not in words


def test_a_diverged_run_is_counted_and_its_partner_left_out(page):
    section, words = page(seeds=range(3), diverged=("adam-s1",))
    assert section.separation.n_pairs == 2
    assert "2 seeds, 1 diverged" in words
    assert "adam : 1 run diverged and is left out" in words or "1 run diverged and is left" in words
    assert answer(section.separation).startswith("Of raw noise no claim with 2 seeds")


def test_an_optimizer_that_always_diverged(page):
    section, words = page(diverged=("adam-s0", "adam-s1"))
    assert "every seed diverged under one of the two" in answer(section.separation)
    assert "0 seeds, 2 diverged" in words


def test_a_baseline_that_always_diverged(page):
    section, words = page(diverged=("sgd-s0", "sgd-s1"))
    assert section.separation.by_step == ()
    assert "Of raw noise no claim" in answer(section.separation)
    assert "0 seeds, 2 diverged" in words


def test_a_baseline_that_was_not_measured_yet(page):
    section, words = page(skip=lambda optimizer, *_: optimizer == "sgd", opened=("sgd-s0",))
    assert "Of raw noise no claim" in words
    assert section.separation.table[0].n_seeds == 0


@pytest.mark.usefixtures("unjudged")
def test_a_baseline_without_a_run(compared, tmp_path):
    folder = compared(tmp_path / "none", tails=(("adam", 3.0), ("adal", 9.0)), **SMALL)
    assert read_section(folder).separation is None
    text = nl.write_report(folder, tmp_path / "p.html").read_text()
    assert "is not known yet: no run of the baseline sgd was measured" in text


def test_a_view_that_some_runs_lack(page):
    """Its numbers are of the seeds that have it; others are said to be without."""
    section, words = page(
        seeds=range(3),
        skip=lambda optimizer, seed, step, view: (
            view == "momentum" and (optimizer == "adam" or seed == 2)
        ),
    )
    assert section.view == "gradient"
    assert "adam has no record of the view" in words
    sgd = section.series[0]
    assert sgd.estimate(100, "all", "coordinates", view="momentum").n == 2
    assert sgd.estimate(100, "all", "coordinates").n == 3


def test_steps_that_some_runs_lack(page):
    """The last step at which any pair is there is compared; later ones stand in the figures."""
    section, words = page(
        steps=(0, 50, 100),
        skip=lambda optimizer, seed, step, view: step == 100 and optimizer == "adam",
        opened=("adam-s0", "adam-s1"),
    )
    assert section.separation.step == 50
    assert "Differences from sgd at step 50" in words
    assert section.steps == [0, 50, 100]
    assert "not finished: 2 of 4 runs" in words


def test_runs_of_which_some_came_further_are_paired_where_both_are(page):
    section, _ = page(
        seeds=range(3),
        skip=lambda optimizer, seed, step, view: step == 100 and seed == 2,
    )
    assert section.separation.step == 100
    assert section.separation.n_pairs == 2


def test_averages_alone(page):
    """No view of gradients: everything is of the averages, and none is judged."""
    section, words = page(views=("momentum",))
    assert section.view == "momentum"
    assert "are of the view momentum" in words
    assert answer(section.separation).startswith("Of averaged noise no claim with 2 seeds")
    assert f"30 rows of the view momentum: fewer than {FEWEST_ROWS_OF_A_VIEW} give" in words
    assert "at least four elements" not in words
    assert "Gaussianising batch size of" not in words
    found = section.series[0].estimate(100, "all", "projections")
    assert f"α of single rows: {found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]" in words


def test_few_rows_of_a_view_are_not_judged(compared, tmp_path, monkeypatch):
    """Nor is anything but the page's view: 2 series x 2 seeds, in one report."""
    judged = []

    def counted(run, records, judge=content.verdicts_of_run):
        judged.append([(record["view"], record["n_rows"]) for record in records])
        return judge(run, records)

    for module in (content, verdicts):
        monkeypatch.setattr(module, "verdicts_of_run", counted)
    read_section(compared(tmp_path / "two", views=("gradient", "update"), **SMALL))
    assert judged == [[("gradient", 60)]] * 4


def test_other_references_are_not_compared(page, monkeypatch):
    """The reason stands where the number would."""
    read = contrasts.differences

    def otherwise(run, **options):
        for name, child in run.runs.items():
            for record in child.records:
                record["reference"] = "pair" if name.startswith("adam") else "full"
        return read(run, **options)

    monkeypatch.setattr("noise_lens.report.separation.differences", otherwise)
    section, words = page()
    assert "the references are pair and full" in answer(section.separation)
    assert "the references are pair and full" in words


def test_many_optimizers_and_views(page):
    """Eleven optimizers, one of them with an option: every one has a line and its own look."""
    names = ["sgd", *(f"padam@p={p}" for p in (0.125, 0.25, 0.5)), *nl.optim.names()[1:8]]
    section, words = page(
        tails=[(name, 3.0 + i) for i, name in enumerate(names)],
        seeds=(0, 1),
        steps=(100,),
        views=("gradient", "momentum", "update"),
    )
    assert [row.optimizer for row in section.separation.table] == names
    assert len(section.separation.by_step) == 10
    for name in names:
        assert words.count(name) > 3


def test_every_view_of_a_measurement(tmp_path, parse):
    """Rows, minibatches a row, decay, whose view, estimate and verdict or why there is none."""
    options = {"n_minibatches": 480, "batch_size": 64, "groups": "all", "beta": 0.5}
    views = ("gradient", "momentum")
    nl.measure("digits-mlp", views=views, optimizer="adam", out=tmp_path / "run", **options)
    section = read_section(tmp_path / "run")
    assert section.series[0].label == "run"  # no optimizer was trained: it is the folder's name
    assert section.separation is None
    raw, averages = section.series[0].views_at(0)
    window = averages.record["window"]
    assert (raw.view, raw.minibatches_a_row, raw.n_rows) == ("gradient", 1, (480,))
    assert (averages.view, averages.minibatches_a_row) == ("momentum", window)
    assert averages.n_rows == (480 // window,)
    text = nl.write_report(tmp_path / "run", tmp_path / "p.html").read_text()
    start = text.index("<h3>Every view</h3>")
    rows = re.findall(r"<tr><td.*?</tr>", text[start : text.index("</table>", start)])
    records = nl.read_run(tmp_path / "run").records
    assert len(rows) == len(records) == 2
    for row, record in zip(rows, records, strict=True):
        for of in ("projections", "coordinates"):
            ends = [record[f"{of}_characteristic_function_{end}"] for end in ("low", "high")]
            alpha = record[f"{of}_characteristic_function_alpha"]
            assert f"{alpha:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]" in row
    assert f"<b>{records[0]['coordinates_verdict']}</b>" in rows[0]
    assert rows[1].count("no verdict under 200 rows") == 2
    assert f"<td>{window}</td><td>0.5</td>" in rows[1]
    assert "Adam" in rows[1]
    assert parse(text).words
    # What the page says elsewhere is of gradients.
    assert section.any_record["view"] == "gradient"
    assert section.verdicts[0].seeds[0].record["view"] == "gradient"


def test_pairs_take_two_minibatches_a_row(tmp_path):
    nl.measure(
        "digits-mlp", views=("gradient", "momentum"), optimizer="adam", reference="pair",
        n_minibatches=200, groups="all", beta=0.5, out=tmp_path / "run",
    )  # fmt: skip
    raw, averages = read_section(tmp_path / "run").series[0].views_at(0)
    assert (raw.minibatches_a_row, raw.n_rows) == (2, (100,))
    assert averages.minibatches_a_row == 2 * averages.record["window"]


@pytest.mark.usefixtures("unjudged")
def test_a_run_of_a_comparison_by_itself(compared, tmp_path):
    folder = compared(tmp_path / "odd", **SMALL)
    section = read_section(folder / "adam-s0")
    assert section.series[0].label == "adam"
    assert section.separation is None
    assert Path(nl.write_report(folder / "adam-s0", tmp_path / "p.html")).exists()


def test_averages_are_of_no_single_example(tmp_path):
    """A probe of small minibatches keeps its examples; a row of averages is of many of them."""
    nl.measure(
        "digits-mlp", views=("momentum",), beta=0.3, n_minibatches=100, batch_size=4, groups="all",
        out=tmp_path / "run",
    )  # fmt: skip
    section = read_section(tmp_path / "run")
    assert section.closeups[0].examples is None
    text = nl.write_report(tmp_path / "run", tmp_path / "p.html").read_text()
    assert "Which examples carry the tail" not in text
