from __future__ import annotations

import re
from pathlib import Path

import pytest

import noise_lens as nl
from noise_lens.report import content, verdicts
from noise_lens.report.content import read_section


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    nl.compare(
        "digits-mlp", ("sgd", "adam"), n_steps=20, probe_steps=[0, 20], n_minibatches=120,
        batch_size=8, seeds=(0, 1), groups="module", out=folder,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return nl.write_report(folder, folder / "page.html").read_text(encoding="utf-8")


def test_nothing_is_fetched_and_nothing_runs(text, parse):
    """No script, no link, no address but the names of XML namespaces."""
    page = parse(text)
    assert "script" not in page.tags
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)
    assert not [a for a in page.attributes if a[0].startswith("on")]
    addresses = {value for key, value in page.attributes if value and "//" in value}
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert all(ref.startswith("#") for ref in re.findall(r"url\(([^)]*)\)", text))


def test_ids_are_unique_and_every_reference_is_met(text, parse):
    page = parse(text)
    assert len(page.ids) == len(set(page.ids))
    wanted = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert wanted <= set(page.ids)


def test_every_figure_has_a_title_a_description_and_its_numbers(text, parse):
    page = parse(text)
    labelled = [v for k, v in page.attributes if k == "aria-labelledby"]
    drawn = page.attributes.count(("role", "img"))
    assert len(labelled) == drawn == page.tags.count("figure") == 8
    assert page.tags.count("svg") == drawn + page.attributes.count(("aria-hidden", "true"))
    for names in labelled:
        assert set(names.split()) <= set(page.ids)
    why = 2 * 2  # two series, two kinds of rows
    by_group = 2  # earlier steps of two series
    examples = 2  # that carry the tail of two series
    by_loss = 1  # differences at the same loss have numbers and no figure
    assert page.tags.count("details") == drawn + why + by_group + examples + by_loss


def test_colours_follow_the_page(text):
    svgs = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert all("#000000" not in svg for svg in svgs)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_it_says_what_a_number_is_of(text, parse):
    words = " ".join(parse(text).words)
    for phrase in (
        "What a verdict does not say.",
        "no verdict claims infinite variance",
        "Estimates only: just the last step was judged",
        "docs/verdict.md",
        "over a minibatch of 8 examples, at frozen weights",
        "120 a probe, i.i.d. with replacement",
        "full: no dropout or batch statistics are active",
        "128 sampled coordinates and 64 random projections of all 8,970 parameters",
        "exact zeros",
        "Student's t over 2 seeds",
        "torch 2.",
    ):
        assert phrase in words, phrase


def test_tables_hold_the_numbers_of_the_records(folder, text):
    section = read_section(folder)
    adam = next(series for series in section.series if series.label == "adam")
    found = adam.estimate(20, "all", "projections")
    assert f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]" in text
    loss = adam.metric(20, "test/loss")
    assert f"{sum(loss) / 2:.4f}" in text


def test_the_verdict_comes_first(text):
    """Before any figure: each series with its labels, alpha, scales, p and what follows."""
    screen = text[text.index("<h2>") : text.index(": what separates the optimizers</h2>")]
    assert "<figure" not in screen
    words = " ".join(re.sub("<[^>]*>", " ", screen).split())
    for phrase in (
        "sgd", "adam", "Projections", "Coordinates", "in each of 2 seeds", "α of sums of",
        "Test for tails heavier than Gaussian ones: p = ", "8 to 16 examples", "Together.",
        "For training.", "Gradient noise scale", "few_rows 120",
    ):  # fmt: skip
        assert phrase in words, phrase


def test_labels_of_the_records_are_counted(folder, text):
    section = read_section(folder)
    for verdicts_of_series in section.verdicts:
        for of in ("projections", "coordinates"):
            stored = [
                record[f"{of}_verdict"]
                for run in nl.read_run(folder).runs.values()
                for record in run.records
                if run.manifest["settings"]["optimizer"] == verdicts_of_series.label
                and (record["step"], record["group"]) == (20, "all")
            ]
            assert len(stored) == 2
            for label in set(stored):
                assert f"<b>{label}</b> in {stored.count(label)} of 2 seeds" in text


def test_evidence_is_that_of_the_stored_verdict(folder):
    """Judging the sketch again gives the numbers that stand in the record."""
    for closeup in read_section(folder).closeups:
        for of, verdict in closeup.verdicts.items():
            evidence = closeup.evidence[of]
            assert verdict.evidence is None  # it is from the record
            assert evidence.rotations.result().pvalue == verdict.pvalue
            assert evidence.curve.alpha[-1] == verdict.alpha
            assert (evidence.curve.low[-1], evidence.curve.high[-1]) == verdict.interval


@pytest.mark.parametrize(("stored", "times"), [(True, 2), (False, 4)])
def test_a_sketch_is_judged_once(folder, monkeypatch, stored, times):
    """Stored verdicts: the first seed of each series, for its figures. Else every seed."""
    judged = []

    def counted(run, records, judge=content.verdicts_of_run):
        judged.append(run.folder.name)
        return judge(run, records)

    for module in (content, verdicts):
        monkeypatch.setattr(module, "verdicts_of_run", counted)
    if not stored:
        monkeypatch.setattr(verdicts, "stored_verdict", lambda record, of: None)
    section = read_section(folder)
    assert len(set(judged)) == len(judged) == times
    assert {one.stored for series in section.verdicts for one in series.seeds} == {stored}


def test_the_examples_that_carry_the_tail(folder, text):
    """A batch of 8 keeps its examples: the page has the table that the indices give."""
    run = nl.read_run(folder).runs["sgd-s0"]
    record = next(r for r in run.records if (r["step"], r["group"]) == (20, "all"))
    found = nl.tail_examples(run.sketch(record)["norms"], run.example_indices(record))
    assert "Which examples carry the tail" in text
    row = f"<td>{found.examples[0]}</td><td>{found.n_drawn[0]}</td>"
    assert row in text


def test_groups_that_were_not_judged_are_estimates(text, parse):
    words = " ".join(" ".join(parse(text).words).split())
    assert "groups were not judged here" in words


def test_series_are_in_the_order_asked(folder):
    assert [series.label for series in read_section(folder).series] == ["sgd", "adam"]


def test_the_same_run_gives_the_same_page(folder, text):
    again = nl.write_report(folder, folder / "again.html").read_text(encoding="utf-8")
    undated = [re.sub(r"written [\d\-: ]+UTC", "", page) for page in (text, again)]
    assert undated[0] == undated[1]


def test_it_needs_no_torch(folder, tmp_path):
    """A report is drawn where torch cannot even be imported."""
    import subprocess
    import sys

    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        f"import noise_lens; noise_lens.write_report({str(folder)!r}, {str(tmp_path / 'p.html')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "p.html").stat().st_size > 50_000


@pytest.fixture(scope="module")
def judged_groups(tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups") / "run"
    nl.measure("digits-mlp", n_minibatches=60, groups="tensor", batch_size=64, out=folder)
    return folder


def test_groups_are_sorted_by_their_verdicts(judged_groups, tmp_path):
    text = nl.write_report(judged_groups, tmp_path / "p.html").read_text()
    section = read_section(judged_groups)
    table = section.groups_at(section.series[0], 0)
    assert table.n_judged == len(table.rows) - 1 == 6
    places = [text.index(f"<td>{row.name}</td>") for row in table.rows]
    assert places == sorted(places)
    assert "share of parameters and of noise energy in groups of each label" in text
    assert "judged as one family" in text
    assert "Which examples carry the tail" not in text  # 64 a minibatch: not kept


def test_user_text_is_escaped(tmp_path):
    from noise_lens.tasks import load_task

    task = load_task("digits-mlp")
    evil = nl.Task(task.model, task.loss, task.data, name="<script>alert(1)</script>")
    nl.measure(evil, n_minibatches=50, groups="all", out=tmp_path / "run")
    text = nl.write_report(tmp_path / "run", tmp_path / "p.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_name_with_dollars_is_no_mathematics(tmp_path):
    nl.measure("digits-mlp", n_minibatches=50, groups="all", out=tmp_path / r"a$\frac$")
    assert nl.write_report(tmp_path / r"a$\frac$", tmp_path / "p.html").exists()


def test_no_folder_and_no_measurement(tmp_path):
    with pytest.raises(nl.RunFolderError, match="at least one run folder"):
        nl.write_report([], tmp_path / "p.html")
    assert not Path(tmp_path / "p.html").exists()


def test_what_passive_capture_saw_is_said_in_words():
    """1 is a number and True is not."""
    seen = {"reduced": False, "world_size": 1, "n_lost": 0, "dtypes": ["float32"], "point": "hooks"}
    assert content._seen(seen) == {
        "reduced": "no",
        "world size": "1",
        "n lost": "0",
        "dtypes": "float32",
        "point": "hooks",
    }
