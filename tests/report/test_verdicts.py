"""The first screen: what is said of labels, over seeds, and of two kinds of rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from noise_lens.inference import Verdict
from noise_lens.inference.artefacts import Artefact
from noise_lens.inference.verdict import ASSUMPTION, LABELS, WORDS
from noise_lens.report.page import environment
from noise_lens.report.sentences import for_training, numbers, together, warning_names
from noise_lens.report.verdicts import HEAVIEST_FIRST, KINDS, SeedVerdicts, SeriesVerdicts


def verdict(label, of="projections", **values):
    has_rows = label != "unusable"
    default = {
        "alpha": 1.72 if has_rows else np.nan,
        "interval": (1.65, 1.8) if has_rows else (np.nan, np.nan),
        "block_sizes": (1, 2, 4, 8) if has_rows else (),
        "pvalue": (0.3 if label == "gaussian" else 0.005) if has_rows else np.nan,
        "reasons": (f"this is why it is {label}",),
        "warnings": (Artefact("few_rows", 512.0, "512 rows are few."),),
        "n_rows": 512,
    }
    return Verdict(label=label, of=of, **{**default, **values})


def seed(number, projections, coordinates, **record):
    default = {
        "view": "gradient",
        "window": 1,
        "n_rows": 512,
        "batch_size": 32,
        "reference": "full",
        "n_minibatches": 512,
        "n_parameters": 8970,
        "noise_scale": 54.0,
        "noise_scale_low": 40.0,
        "noise_scale_high": 70.0,
        "noise_scale_reason": None,
    }
    for of in KINDS:
        default |= {
            f"{of}_gaussianising_low": 64.0,
            f"{of}_gaussianising_high": 128.0,
            f"{of}_characteristic_function_alpha": 1.7,
            f"{of}_reason": None,
        }
    found = {"projections": projections, "coordinates": coordinates}
    verdicts = {
        of: verdict(one, of) if isinstance(one, str) else one for of, one in found.items() if one
    }
    return SeedVerdicts(f"seed {number}", {**default, **record}, verdicts, stored=True)


def series(*seeds, n_missing=0):
    return SeriesVerdicts("sgd", 200, seeds, n_missing)


def screen(*verdicts):
    section = SimpleNamespace(
        verdicts=verdicts,
        series=[SimpleNamespace(label=v.label, n_diverged=0) for v in verdicts],
        separation=None,
        view=verdicts[0].seeds[0].record["view"],
    )
    template = environment().get_template("parts/verdict.html.j2")
    return " ".join(template.render(section=section, kinds=KINDS, trained=True).split())


@pytest.mark.parametrize("label", LABELS)
def test_each_label_is_said_in_words(label):
    text = screen(series(seed(0, label, label)))
    assert f"<b>{label}</b>" in text
    assert WORDS[label][1:] in text
    said = {
        "cannot tell": "annot tell whether the heavy-tailed assumption holds",
    }.get(ASSUMPTION[label], f"The heavy-tailed assumption is {ASSUMPTION[label]}.")
    assert said in text
    assert f"This is why it is {label}." in text
    assert "<code>few_rows</code> 512: 512 rows are few." in text
    assert "nan" not in text


def test_no_label_has_no_place_in_the_order():
    assert sorted(HEAVIEST_FIRST) == sorted(LABELS)


def test_seeds_with_one_label_are_counted():
    found = series(*(seed(i, "drifting", "gaussian") for i in range(3)))
    text = screen(found)
    assert "<b>drifting</b> in 3 of 3 seeds" in text
    assert "α of sums of 8: 1.72 [1.65, 1.80], mean of 3 seeds." in text
    assert numbers(series(seed(0, "drifting", None)), "projections")[0] == (
        "α of sums of 8: 1.72 [1.65, 1.80]."
    )


def test_different_labels_are_never_merged():
    """Each label with its seeds, each alpha with its seed, and no mean."""
    found = series(
        seed(0, "drifting", "gaussian"),
        seed(1, verdict("inconclusive", n_needed=4100, alpha=1.9), "gaussian"),
        seed(2, "drifting", "gaussian"),
    )
    text = screen(found)
    assert "<b>drifting</b> in 2 of 3 seeds" in text
    assert "<b>inconclusive</b> in 1 of 3 seeds" in text
    lines = numbers(found, "projections")
    assert "seed 1 (inconclusive), α of sums of 8: 1.90 [1.65, 1.80]." in lines
    assert not any("mean" in line for line in lines)
    assert "About 4,100 minibatches would settle it; 512 are here." in lines


def test_equal_labels_on_other_scales_have_no_mean():
    longer = verdict("stable", block_sizes=(1, 2, 4, 8, 16))
    lines = numbers(series(seed(0, "stable", None), seed(1, longer, None)), "projections")
    assert lines[:3] == [
        "seed 0 (stable), α of sums of 8: 1.72 [1.65, 1.80].",
        "seed 1 (stable), α of sums of 16: 1.72 [1.65, 1.80].",
        "Scales seen: sums of 1 to 8 to 16 minibatches, 32 to 512 examples.",
    ]


def test_pairs_need_twice_the_minibatches():
    open_case = verdict("inconclusive", n_needed=1000)
    (line,) = [
        line
        for line in numbers(series(seed(0, open_case, None, reference="pair")), "projections")
        if "settle" in line
    ]
    assert line == "About 2,000 minibatches would settle it; 512 are here."


def test_what_more_minibatches_would_not_settle():
    lines = numbers(series(seed(0, "inconclusive", None)), "projections")
    assert lines[-1] == "More minibatches alone would not settle it: see why."


@pytest.mark.parametrize(
    ("projections", "coordinates", "phrase"),
    [
        ("gaussian", "drifting", "sparse, largely independent effects of single parameters"),
        ("gaussian", "stable", "sparse, largely independent effects of single parameters"),
        ("drifting", "gaussianising", "a heavy radius. Whole minibatches are large at once"),
        ("stable", "stable", "or single parameters are stable each on its own"),
        ("drifting", "gaussian", "outside the sampled coordinates"),
        ("gaussian", "gaussian", "Both kinds agree"),
        ("inconclusive", "drifting", "Projections are open"),
        ("gaussian", "unusable", "Coordinates are open"),
        ("inconclusive", "unusable", "Both kinds are open"),
    ],
)
def test_a_disagreement_is_a_finding(projections, coordinates, phrase):
    (sentence,) = together(series(seed(0, projections, coordinates)))
    assert phrase in sentence


def test_noise_lighter_than_gaussian_is_not_called_heavy():
    lighter = verdict("gaussianising", pvalue=1.0)
    found = series(seed(0, lighter, "drifting"))
    (sentence,) = together(found)
    assert "projections are lighter than Gaussian, coordinates heavier than" in sentence
    assert "Single minibatches are lighter than Gaussian ones." in screen(found)


def test_findings_of_seeds_are_counted():
    found = together(
        series(
            seed(0, "gaussian", "drifting"),
            seed(1, "gaussian", "drifting"),
            seed(2, "drifting", "drifting"),
        )
    )
    assert len(found) == 2
    assert found[0].endswith("(In 2 of 3 seeds.)")
    assert found[1].endswith("(In 1 of 3 seeds.)")


def test_the_gaussianising_batch_size_is_printed_as_an_interval():
    for low, high, said in (
        (64.0, 128.0, "64 to 128 examples."),
        (np.inf, np.inf, "> 256 examples."),
        (64.0, np.inf, ">= 64 (shown for none up to 256) examples."),
        (32.0, 32.0, "32 examples (this batch size)."),
    ):
        ends = {"projections_gaussianising_low": low, "projections_gaussianising_high": high}
        first = for_training(series(seed(0, "drifting", "gaussian", **ends)))[0]
        assert first == f"Gaussianising batch size of the projections: {said}"


def test_different_batch_sizes_are_counted():
    other = {"projections_gaussianising_low": np.inf, "projections_gaussianising_high": np.inf}
    found = series(seed(0, "drifting", None), seed(1, "drifting", None, **other))
    assert for_training(found)[0].endswith(
        "64 to 128 examples in 1 of 2 seeds; > 256 examples in 1 of 2 seeds."
    )


def test_the_noise_scale_has_its_interval():
    one = for_training(series(seed(0, "gaussian", "gaussian")))[1]
    assert one.startswith("Gradient noise scale: 54 examples [40, 70].")
    two = for_training(
        series(seed(0, "gaussian", None), seed(1, "gaussian", None, noise_scale=61.0))
    )[1]
    assert two.startswith(
        "Gradient noise scale: 54 to 61 examples in 2 seeds, all intervals within [40, 70]."
    )


def test_the_noise_scale_is_withheld_with_its_reason():
    """Where a verdict is stable, also if it was measured before there was one; or the record."""
    stable = for_training(series(seed(0, "gaussian", "stable")))[1]
    assert stable == (
        "Gradient noise scale withheld: the verdict is stable, and tr(Sigma) would have no limit "
        "if that law held."
    )
    record = {
        "noise_scale": np.nan,
        "noise_scale_low": 1234.0,
        "noise_scale_high": np.inf,
        "noise_scale_reason": "the squared gradient cannot be told from 0",
    }
    found = for_training(series(seed(0, "gaussian", None), seed(1, "gaussian", None, **record)))[1]
    assert "54 examples [40, 70]" in found
    assert (
        "withheld in 1 of 2 seeds: the squared gradient cannot be told from 0. It is at least "
        "1,230 examples."
    ) in found


def test_a_group_without_projections():
    record = {
        "projections_characteristic_function_alpha": None,
        "projections_reason": "a projection needs at least four elements",
    }
    found = series(seed(0, None, "drifting", **record))
    text = screen(found)
    assert "No rows of this kind" in text
    assert "Projections: no estimate. a projection needs" in text
    assert for_training(found)[0].startswith("Gaussianising batch size of the coordinates")


def test_warnings_have_their_numbers():
    one = verdict("drifting", warnings=(Artefact("shared_scale", 0.31, "Rows share a scale."),))
    two = verdict("drifting", warnings=(Artefact("shared_scale", 0.4, "Rows share a scale."),))
    found = series(seed(0, one, None), seed(1, two, None))
    assert warning_names(found, "projections") == "shared_scale 0.31 to 0.4"
    assert "warnings: shared_scale 0.31 to 0.4" in screen(found)


def test_runs_that_have_not_come_so_far_are_said():
    assert "1 of 2 runs have not come to step 200" in screen(
        series(seed(0, "gaussian", "gaussian"), n_missing=1)
    )


def test_several_series_begin_with_an_overview():
    """All labels of all series at a glance; one series needs none."""
    found = series(seed(0, "drifting", "gaussian"), seed(1, "stable", "gaussian"))
    assert "overview" not in screen(found)
    text = screen(found, found)
    overview = text[text.index("overview") : text.index("<article")]
    assert overview.count("drifting, 1 of 2") == overview.count("stable, 1 of 2") == 2
    assert "no test of a difference" in text


def test_averages_are_no_minibatches():
    """A verdict of another view has no batch size, no noise scale, and rows instead."""
    found = series(seed(0, "drifting", "gaussian", view="momentum", window=22, n_minibatches=22000))
    lines = numbers(found, "projections")
    assert "Scales seen: sums of 1 to 8 rows." in lines
    assert for_training(found) == []
    text = screen(found)
    assert "view momentum" in text
    assert "Gaussianising batch size of" not in text


@pytest.mark.parametrize(("reference", "needed"), [("full", "22,000"), ("pair", "44,000")])
def test_averages_need_their_windows_of_minibatches(reference, needed):
    open_case = verdict("inconclusive", n_needed=1000)
    record = {"view": "momentum", "window": 22, "reference": reference}
    lines = numbers(series(seed(0, open_case, None, **record)), "projections")
    assert f"About {needed} minibatches would settle it; 512 are here." in lines


def test_few_averages_have_an_estimate_and_no_verdict():
    record = {"view": "momentum", "window": 22, "n_rows": 45}
    for of in KINDS:
        record |= {f"{of}_characteristic_function_{end}": 1.9 for end in ("low", "high")}
    text = screen(series(seed(0, None, None, **record), seed(1, None, None, **record)))
    assert text.count("45 rows of the view momentum: fewer than 200 give an estimate") == 2
    assert text.count("α of single rows: 1.70 [1.70, 1.90], mean of 2 seeds.") == 2
