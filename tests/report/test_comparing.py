"""What separates optimizers: the page says what the contrasts say, and no more."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from matplotlib.figure import Figure

import noise_lens as nl
from noise_lens import contrasts
from noise_lens.report import comparison_figures, drawings
from noise_lens.report.answers import answer, other_answers
from noise_lens.report.averaging import explained, laws
from noise_lens.report.comparison_figures import published_figure
from noise_lens.report.content import read_section
from noise_lens.report.multiplicity import still_claimed
from noise_lens.report.numbers import percent, signed, span
from noise_lens.report.svg import drawing

KINDS = ("projections", "coordinates")
CLAIMS = ("heavier", "lighter", "higher", "lower")


def plain(text):
    """Return the words of a page with single spaces."""
    return " ".join(re.sub("<[^>]*>", " ", text).split())


@pytest.fixture(scope="module")
def folder(compared, tmp_path_factory):
    tails = (("sgd", 3.0), ("adam", 12.0), ("yogi", 3.0))
    return compared(
        tmp_path_factory.mktemp("compared") / "three", tails=tails, judged=True, published=True
    )


@pytest.fixture(scope="module")
def section(folder):
    return read_section(folder)


@pytest.fixture(scope="module")
def text(folder):
    return nl.write_report(folder, folder / "page.html").read_text(encoding="utf-8")


def at_the_end(folder, **options):
    return [one for one in contrasts.differences(nl.read_run(folder), **options) if one.at == 100]


def test_the_answer_names_what_is_claimed_and_nothing_else(folder, section):
    """Student's t with 12 degrees of freedom is lighter than with 3; with 3 it is the same."""
    raw = [one for one in at_the_end(folder) if (one.view, one.quantity) == ("gradient", "alpha")]
    claimed = {(one.optimizer, one.of): one for one in raw if one.claim}
    assert ("adam", "coordinates") in claimed
    assert not any(optimizer == "yogi" for optimizer, _ in claimed)
    said = answer(section.separation)
    assert said.startswith("At step 100, over 5 paired seeds, raw noise is lighter at the weights")
    found = claimed["adam", "coordinates"]
    assert f"coordinates {signed(found.mean, found.low, found.high, digits=3)}" in said
    assert said.endswith("than at sgd's; nothing is claimed of yogi.")
    assert said.count("[") == len(claimed)


def test_the_answer_stands_above_the_verdicts_and_in_its_section(section, text):
    said = answer(section.separation)
    places = [found.start() for found in re.finditer(re.escape(said[:60]), text)]
    assert len(places) == 2
    assert places[0] < text.index('class="overview"') < text.index("what separates the optimizers")
    assert places[1] > text.index("what separates the optimizers")


@pytest.mark.usefixtures("unjudged")
def test_equal_noise_is_not_called_different(compared, tmp_path):
    """Same law, other draws, over five seeds: nothing is claimed, and that is no evidence."""
    same = (("sgd", 3.0), ("adam", 3.0))
    folder = compared(tmp_path / "same", tails=same, views=("gradient",), n_rows=(120, 0))
    found = read_section(folder).separation
    assert not [one for one in found.tails() if one.claim]
    said = answer(found)
    assert "no difference in α of raw noise" in said
    assert "That is no evidence that there is none." in said
    assert not any(word in said for word in CLAIMS)
    assert not any("Each is claimed" in sentence for sentence in other_answers(found))


@pytest.mark.usefixtures("unjudged")
@pytest.mark.parametrize("n", [1, 4])
def test_too_few_seeds_claim_nothing(compared, tmp_path, n):
    """However far apart optimizers are."""
    folder = compared(tmp_path / "few", seeds=range(n), n_rows=(100, 40))
    section = read_section(folder)
    said = answer(section.separation)
    assert said == (
        f"Of raw noise no claim with {n} seed{'s' if n > 1 else ''}: a difference between "
        "optimizers needs 5 paired seeds."
    )
    assert other_answers(section.separation) == []
    text = nl.write_report(folder, tmp_path / "p.html").read_text()
    page = plain(text)
    separation = page[page.index("what separates") : page.index("how it was measured")]
    assert "is lighter at" not in separation
    assert "needs 5" in separation
    assert not re.search(f"<b>({'|'.join(CLAIMS)})</b>", text)


def test_claims_of_other_views_and_of_all_together(folder, section):
    rows = [one for one in at_the_end(folder) if one.quantity == "alpha"]
    claimed = [one for one in rows if one.claim]
    said = " ".join(other_answers(section.separation))
    assert f"{len(claimed)} of {len(rows)} differences in α are" in said
    family = sorted(rows, key=lambda one: one.pvalue)
    kept = []
    for place, one in enumerate(family):
        if one.pvalue > 0.05 / (len(family) - place):
            break
        kept.append(one)
    kept = [one for one in kept if one.claim]
    assert {id(one) for one in section.separation.after_holm()} <= {
        id(one) for one in section.separation.tails()
    }
    names = sorted(f"{one.optimizer} ({one.view}, {one.of})" for one in kept)
    listed = sorted(re.search(r"remains?: ([^.]*)\.", said).group(1).split("), "))
    assert sorted(name.rstrip(")") for name in listed) == [name.rstrip(")") for name in names]


def test_holm_is_the_closed_test(rng):
    """A hypothesis falls where every intersection it is in has a Bonferroni rejection."""
    for _ in range(50):
        pvalues = rng.random(4) ** 4
        subsets = [s for s in product([False, True], repeat=4) if any(s)]
        rejected = {s: min(pvalues[list(s)]) <= 0.05 / sum(s) for s in subsets}
        closed = [all(rejected[s] for s in subsets if s[i]) for i in range(4)]
        assert still_claimed(list(pvalues)) == closed


def test_the_table_of_optimizers_is_the_comparison_table(folder, text):
    start = text.index("<h3>All optimizers</h3>")
    table = text[start : text.index("</table>", start)]
    rows = contrasts.comparison_table(nl.read_run(folder))
    bodies = table.split("<tbody>")[1:]
    assert len(bodies) == len(rows) == 3
    for row, body in zip(rows, bodies, strict=True):
        assert f"<b>{row.optimizer}</b>" in body
        assert "5 seeds" in body
        for view, of in product(("gradient", "momentum"), KINDS):
            assert span(row.tails[view, of].alpha) in body
        for key in ("test/accuracy", "gap/accuracy"):
            assert span(row.metrics[key], 3) in body
        for label, n in row.tails["gradient", "coordinates"].verdicts.items():
            assert f"{label} {n}" in body
    assert "rate 0.1, not tuned" in bodies[0]
    assert "rate 0.05, the best of 0.01, 0.1<br>" in bodies[1]  # inside of its grid


@pytest.mark.usefixtures("unjudged")
def test_a_rate_at_the_end_of_its_grid_is_marked(compared, tmp_path):
    tails = (("adam", 3.0), ("sgd", 3.0))  # rates 0.1 and 0.05
    folder = compared(tmp_path / "edge", tails=tails, seeds=(0,), n_rows=(60, 30))
    assert "at the end of that grid" in nl.write_report(folder, tmp_path / "p.html").read_text()


def test_every_difference_stands_with_its_claim_or_its_reason(folder, text):
    start = text.index("Numbers: every difference, with p")
    table = text[start : text.index("</table>", start)]
    rows = re.findall(r"<tr><td>.*?</tr>", table)
    found = at_the_end(folder)
    assert len(rows) == len(found)
    for one in found:
        said = one.claim or f"none: {one.reason}"
        number = signed(one.mean, one.low, one.high, digits=4)
        fitting = [row for row in rows if f"<td>{one.optimizer}</td>" in row and number in row]
        assert any(said.replace("'", "&#39;") in row for row in fitting), one


def test_matched_by_loss_both_are_at_one_loss(folder, section, text):
    """The loss named is one at which most pairs can be compared, and the rows are those there."""
    every = contrasts.differences(nl.read_run(folder), matched_by="loss")
    for matched in section.separation.by_loss:
        own = [one for one in every if one.optimizer == matched.optimizer]
        raw = [one for one in own if (one.view, one.quantity) == ("gradient", "alpha")]
        most = max(one.n for one in raw)
        assert matched.at == min(one.at for one in raw if one.n == most)
        assert [repr(one) for one in matched.found] == [
            repr(one) for one in own if one.at == matched.at
        ]
    assert "by epoch that is the same here" in text


@pytest.mark.usefixtures("unjudged")
def test_runs_without_a_loss_are_not_matched_by_it(compared, tmp_path):
    folder = compared(tmp_path / "bare", metrics=False, seeds=(0, 1), n_rows=(60, 30))
    found = read_section(folder).separation
    assert found.by_loss == ()
    assert "no training loss" in found.why_not_by_loss
    assert "Not matched by loss" in nl.write_report(folder, tmp_path / "p.html").read_text()


def test_what_averaging_explains_is_the_decomposition(folder, section, text):
    run = nl.read_run(folder)
    (averaging,) = section.separation.averaging
    assert averaging.n_rows == (60,)
    for of, name in product(KINDS, ("adam", "yogi")):
        one = contrasts.decompose(run, optimizer=name, of=of, step=100)
        said = " ".join(explained(averaging, of))
        share = percent(one.share.value, one.share.low, one.share.high)
        if one.share.reason is None:
            assert f"{name} {share} of" in said
        else:
            assert re.search(rf"No share for [a-z, ]*{name}", said)
        for term in (one.apparent, one.averaging, one.remainder, one.weights):
            assert signed(term.mean, term.low, term.high, digits=3) in text
        for level in one.levels:
            assert f"<td>{span(level.value)}</td><td>{level.value.n}</td>" in text
    assert "yogi" in " ".join(explained(averaging, "coordinates"))


@pytest.mark.usefixtures("unjudged")
def test_laws_are_called_missed_only_where_that_is_claimed(compared, tmp_path):
    """Averages of Student's t are lighter, so they are of no stable law."""
    tails = (("sgd", 3.0), ("adam", 6.0))
    folder = compared(tmp_path / "many", tails=tails, steps=(100,), n_rows=(400, 300))
    (averaging,) = read_section(folder).separation.averaging
    stable, finite = laws(averaging)
    every = [one for of in KINDS for one in averaging.predictions(of)]
    for quantity, said in (("alpha", stable), ("excess_kurtosis", finite)):
        missed = [one for one in every if one.quantity == quantity and one.miss.claim]
        expected = f"in {len(missed)} of " if missed else "which is no proof of the law"
        assert expected in said
    assert "(above in" in stable


def test_few_averages_test_no_kurtosis(section):
    _, finite = laws(section.separation.averaging[0])
    assert "not tested, since the kurtosis of 60 averages reads low" in finite


def test_figures_are_drawn_from_the_same_numbers(folder, section, monkeypatch):
    """What is passed to the figures equals what the contrasts return."""
    seen = {}
    for module, name in (
        (comparison_figures, "plot_differences"),
        (comparison_figures, "plot_decomposition"),
        (comparison_figures, "plot_predictions"),
        (comparison_figures, "plot_tail_over_training"),
    ):
        draw = getattr(module, name)

        def kept(found, *, name=name, ax=None, draw=draw, **options):
            seen.setdefault(name, []).append((found, options))
            return draw(found, ax=ax, **options)

        monkeypatch.setattr(module, name, kept)
    comparison_figures.comparison_figures(section, "a")
    published_figure(section, "b")
    run = nl.read_run(folder)
    alphas = [one for one in at_the_end(folder) if one.quantity == "alpha"]
    drawn = [one for found, _ in seen["plot_differences"] for one in found]
    assert sorted(map(repr, drawn)) == sorted(map(repr, alphas))
    assert [one.optimizer for one in seen["plot_decomposition"][0][0]] == ["adam", "yogi"]
    assert len(seen["plot_predictions"]) == 6
    ((ours, options),) = seen["plot_tail_over_training"]
    from noise_lens.figures import published_curves, tail_curves

    assert repr(ours) == repr(tail_curves(run, of="coordinates"))
    assert repr(options["published"]) == repr(published_curves(run))


def test_the_published_numbers_stand_beside_ours(text):
    """Five seeds of 0.5, 0.6, ... 0.9; their Student interval, and the block size."""
    reach = 2.776 * np.std([0.5, 0.6, 0.7, 0.8, 0.9], ddof=1) / np.sqrt(5)
    found = f"<td>0.70 [{0.7 - reach:.2f}, {0.7 + reach:.2f}]</td><td>7</td>"
    start = text.index("What the literature would print")
    assert found in text[start : text.index("</table>", start)]


@pytest.mark.parametrize("label", ["sgd", "optimizer@option={}", "at the weights of number {}"])
def test_no_legend_is_cut_by_the_edge_of_a_figure(label):
    """Ten series, with names of any length."""
    with drawing("legend"):
        figure = Figure(figsize=(8, 3), layout="constrained")
        ax = figure.subplots()
        for number in range(10):
            ax.plot([0, 1], [0, number], marker="o", label=label.format(number))
        drawings.shared_legend(figure)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
