from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import noise_lens as nl
from noise_lens.report.content import read_section

VOID = {"meta", "br", "hr", "img", "link", "path", "use", "input"}


class Page(HTMLParser):
    """Keeps what the tests ask for, and checks that tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes, self.words = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


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


def test_nothing_is_fetched_and_nothing_runs(text):
    """No script, no link, no address but the names of XML namespaces."""
    page = Page(text)
    assert "script" not in page.tags
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)
    assert not [a for a in page.attributes if a[0].startswith("on")]
    addresses = {value for key, value in page.attributes if value and "//" in value}
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert all(ref.startswith("#") for ref in re.findall(r"url\(([^)]*)\)", text))


def test_ids_are_unique_and_every_reference_is_met(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    wanted = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert wanted <= set(page.ids)


def test_every_figure_has_a_title_a_description_and_its_numbers(text):
    page = Page(text)
    labelled = [v for k, v in page.attributes if k == "aria-labelledby"]
    assert len(labelled) == page.tags.count("svg") == page.tags.count("figure") == 5
    for names in labelled:
        assert set(names.split()) <= set(page.ids)
    by_group = 2  # earlier steps of two series
    assert page.tags.count("details") == page.tags.count("figure") + by_group


def test_colours_follow_the_page(text):
    svgs = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert all("#000000" not in svg for svg in svgs)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_it_says_what_a_number_is_of(text):
    words = " ".join(Page(text).words)
    for phrase in (
        "This report gives no verdict",
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
        "import sys; sys.modules['torch'] = None\n"
        f"import noise_lens; noise_lens.write_report({str(folder)!r}, {str(tmp_path / 'p.html')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "p.html").stat().st_size > 50_000


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
