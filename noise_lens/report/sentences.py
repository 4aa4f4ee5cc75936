"""What verdicts mean, in sentences that count seeds instead of averaging labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from noise_lens.inference import Verdict
from noise_lens.inference.seeds import over_seeds
from noise_lens.judging import FEWEST_ROWS_OF_A_VIEW, examples_a_row, is_judged
from noise_lens.report.numbers import between, interval, short, span
from noise_lens.report.verdicts import KINDS, SeedVerdicts, SeriesVerdicts, is_lighter
from noise_lens.report.views import estimate_over, minibatches_a_row

_TOGETHER = {
    ("heavy", "heavy"): "Both kinds are heavier than Gaussian: a heavy radius. Whole minibatches "
    "are large at once, as a few hard examples make them.",
    ("stable", "stable"): "Both kinds are stable: either whole minibatches are large at once (a "
    "heavy radius), or single parameters are stable each on its own.",
    ("gaussian", "heavy"): "Coordinates are heavier than Gaussian and projections are not: sparse, "
    "largely independent effects of single parameters. Whole minibatches are not large at once.",
    ("heavy", "gaussian"): "Projections are heavier than Gaussian and coordinates are not: what is "
    "large lies outside the sampled coordinates, in a small part of the model.",
    ("gaussian", "gaussian"): "Both kinds agree: nothing heavier than Gaussian at this batch size.",
    ("lighter", "lighter"): "Both kinds are lighter than Gaussian: bounded or rounded noise.",
}
_IN_WORDS = {
    "heavy": "heavier than Gaussian",
    "stable": "stable",
    "lighter": "lighter than Gaussian",
    "gaussian": "compatible with Gaussian",
    "open": "open",
}


def together(verdicts: SeriesVerdicts) -> list[str]:
    """Return what projections and coordinates say when they are set beside each other.

    Parameters
    ----------
    verdicts : SeriesVerdicts
        Of one series.

    Returns
    -------
    list of str
        One sentence where all seeds agree, else one a finding with its seeds counted.
    """
    said = [
        _together(seed.verdicts["projections"], seed.verdicts["coordinates"])
        for seed in verdicts.seeds
        if len(seed.verdicts) == 2
    ]
    return _counted(said, "{sentence} (In {n} of {total} seeds.)")


def numbers(verdicts: SeriesVerdicts, of: str) -> list[str]:
    """Return the numbers that stand beside a label.

    Parameters
    ----------
    verdicts : SeriesVerdicts
        Of one series.
    of : str
        Kind of rows.

    Returns
    -------
    list of str
        Alpha of the largest sums, the range of scales, p, and what would settle an open case;
        alpha of single rows where nothing was judged.
    """
    there = verdicts.of(of)
    usable = [(seed, verdict) for seed, verdict in there if verdict.block_sizes]
    found = [] if there else _unjudged(verdicts, of)
    if usable:
        found += _alphas(usable)
        sizes = [verdict.block_sizes[-1] for _, verdict in usable]
        record = usable[0][0].record
        scales = f"Scales seen: sums of 1 to {between(sizes, '{:,}')} {_row_name(record)}"
        batch_size = examples_a_row(record["batch_size"], record["reference"])
        if batch_size is not None and _is_raw(record):
            scales += f", {batch_size:,} to {batch_size * max(sizes):,} examples"
        pvalues = between([verdict.pvalue for _, verdict in usable])
        found += [f"{scales}.", f"Test for tails heavier than Gaussian ones: p = {pvalues}."]
    return found + _settling(there)


def for_training(verdicts: SeriesVerdicts) -> list[str]:
    """Return what follows for a choice of the batch size.

    Parameters
    ----------
    verdicts : SeriesVerdicts
        Of one series.

    Returns
    -------
    list of str
        The Gaussianising batch size of the projections and the gradient noise scale; empty for
        other views than gradients.
    """
    if not all(_is_raw(seed.record) for seed in verdicts.seeds):
        return []  # other views are of no batch size
    of = headline(verdicts)
    sizes = gaussianising_sizes(verdicts, of)
    found = [f"Gaussianising batch size of the {of}: {'; '.join(sizes)}."] if sizes else []
    return [*found, _noise_scale(verdicts.seeds)]


def headline(verdicts: SeriesVerdicts) -> str:
    """Return the kind of rows that stands for a series.

    Parameters
    ----------
    verdicts : SeriesVerdicts
        Of one series.

    Returns
    -------
    str
        Projections, but of a group that is too small for them its coordinates.
    """
    return next((kind for kind in KINDS if verdicts.of(kind)), KINDS[0])


def gaussianising_sizes(verdicts: SeriesVerdicts, of: str) -> list[str]:
    """Return the Gaussianising batch sizes, seeds with the same one counted.

    Parameters
    ----------
    verdicts : SeriesVerdicts
        Of one series.
    of : str
        Kind of rows.

    Returns
    -------
    list of str
        Such as "64 to 128 examples"; empty where there are none.
    """
    sizes = []
    for seed in verdicts.seeds:
        size = seed.gaussianising(of)
        if size is not None:
            here = " (this batch size)" if size.high == seed.record["batch_size"] else ""
            sizes.append(f"{size} example{'s' * (str(size) != '1')}{here}")
    return _counted(sizes, "{sentence} in {n} of {total} seeds")


def warning_names(verdicts: SeriesVerdicts, of: str) -> str:
    """Return the names of warnings with their numbers, over the seeds.

    Parameters
    ----------
    verdicts : SeriesVerdicts
        Of one series.
    of : str
        Kind of rows.

    Returns
    -------
    str
        Such as "few_rows 512, shared_scale 0.31 to 0.4"; empty without warnings.
    """
    values: dict[str, list[float]] = {}
    for _, verdict in verdicts.of(of):
        for warning in verdict.warnings:
            values.setdefault(warning.name, []).append(warning.value)
    return ", ".join(
        f"{name} {' to '.join(dict.fromkeys(short(end) for end in (min(found), max(found))))}"
        for name, found in values.items()
    )


def no_verdict(verdicts: SeriesVerdicts) -> str:
    """Return why a kind of rows has no verdict under any seed.

    Parameters
    ----------
    verdicts : SeriesVerdicts
        Of one series.

    Returns
    -------
    str
        A sentence.
    """
    record = verdicts.seeds[0].record
    if is_judged(record.get("view", "gradient"), record["n_rows"]):
        return "No rows of this kind: a projection needs at least four elements."
    return (
        f"{record['n_rows']} rows of the view {record['view']}: fewer than "
        f"{FEWEST_ROWS_OF_A_VIEW} give an estimate and no verdict."
    )


def _unjudged(verdicts: SeriesVerdicts, of: str) -> list[str]:
    records = [seed.record for seed in verdicts.seeds]
    if is_judged(records[0].get("view", "gradient"), records[0]["n_rows"]):
        return []
    found = estimate_over(records, of)
    over = f", mean of {found.n} seeds" if found.n > 1 else ""
    return [f"α of single {_row_name(records[0])}: {span(found)}{over}."] if found.n else []


def _is_raw(record: dict[str, Any]) -> bool:
    return bool(record.get("view", "gradient") == "gradient")


def _row_name(record: dict[str, Any]) -> str:
    """Return what rows are sums or differences of, in the plural."""
    if _is_raw(record):
        return "minibatches"
    return "steps" if record["view"] == "update" else "rows"


def _together(projections: Verdict, coordinates: Verdict) -> str:
    first, second = _nature(projections), _nature(coordinates)
    if (first, second) == ("open", "open"):
        return "Both kinds are open: nothing follows from setting them beside each other."
    if "open" in (first, second):
        named = "Projections" if first == "open" else "Coordinates"
        return f"{named} are open, so the two kinds cannot be set against each other yet."
    sentence = _TOGETHER.get((first, second)) or _TOGETHER.get(
        (first.replace("stable", "heavy"), second.replace("stable", "heavy"))
    )
    return sentence or (
        f"The kinds differ: projections are {_IN_WORDS[first]}, coordinates {_IN_WORDS[second]}."
    )


def _nature(verdict: Verdict) -> str:
    if verdict.label in ("inconclusive", "unusable"):
        return "open"
    if verdict.label in ("gaussian", "stable"):
        return verdict.label
    return "lighter" if is_lighter(verdict) else "heavy"


def _alphas(usable: Sequence[tuple[SeedVerdicts, Verdict]]) -> list[str]:
    verdicts = [verdict for _, verdict in usable]
    alike = len({(verdict.label, verdict.block_sizes) for verdict in verdicts}) == 1
    size = verdicts[0].block_sizes[-1]
    single = f"α of single {_row_name(usable[0][0].record)}"
    what = f"α of sums of {size}" if size > 1 else single
    if alike and len(verdicts) > 1:
        values, lows, highs = zip(*((v.alpha, *v.interval) for v in verdicts), strict=True)
        mean = span(over_seeds(values, lows, highs, upper=2.0))
        return [f"{what}: {mean}, mean of {len(verdicts)} seeds."]
    if alike:
        return [f"{what}: {interval(verdicts[0].alpha, *verdicts[0].interval)}."]
    return [
        f"{seed.name} ({verdict.label}), α of sums of {verdict.block_sizes[-1]}: "
        f"{interval(verdict.alpha, *verdict.interval)}."
        for seed, verdict in usable
    ]


def _settling(there: Sequence[tuple[SeedVerdicts, Verdict]]) -> list[str]:
    cases = [(seed, verdict) for seed, verdict in there if verdict.label == "inconclusive"]
    wanted = [(seed, verdict.n_needed) for seed, verdict in cases if verdict.n_needed is not None]
    found = []
    if wanted:
        seed, most = max(wanted, key=lambda pair: pair[1])
        needed = f"{most * minibatches_a_row(seed.record):,} minibatches"
        found.append(f"About {needed} would settle it; {seed.record['n_minibatches']:,} are here.")
    if len(cases) > len(wanted):
        where = f" ({len(cases) - len(wanted)} of {len(there)} seeds)" if len(there) > 1 else ""
        found.append(f"More minibatches alone would not settle it{where}: see why.")
    return found


def _noise_scale(seeds: Sequence[SeedVerdicts]) -> str:
    values, withheld = [], []
    for seed in seeds:
        value, low, high, reason = (
            seed.record[f"noise_scale{end}"] for end in ("", "_low", "_high", "_reason")
        )
        if seed.is_stable:
            withheld.append(
                "the verdict is stable, and tr(Sigma) would have no limit if that law held."
            )
        elif value is not None and math.isfinite(value):
            values.append((value, low, high))
        else:
            known = f" It is at least {short(low)} examples." if low else ""
            withheld.append(f"{(reason or 'it was not measured').rstrip('.')}.{known}")
    found = []
    if values:
        means, lows, highs = zip(*values, strict=True)
        if len(values) == 1:
            said = f"{short(means[0])} examples [{short(lows[0])}, {short(highs[0])}]"
        else:
            ends = " to ".join(dict.fromkeys(short(end) for end in (min(means), max(means))))
            said = (
                f"{ends} examples in {len(values)} seeds, all intervals within "
                f"[{short(min(lows))}, {short(max(highs))}]"
            )
        found.append(
            f"Gradient noise scale: {said}. Minibatches well below it save steps almost in "
            "proportion when they grow; well above it they hardly do."
        )
    for sentence, n in Counter(withheld).items():
        where = f" in {n} of {len(seeds)} seeds" if len(seeds) > 1 else ""
        found.append(f"Gradient noise scale withheld{where}: {sentence}")
    return " ".join(found)


def _counted(sentences: Sequence[str], form: str) -> list[str]:
    counts = Counter(sentences)
    if len(counts) <= 1:
        return list(counts)
    return [
        form.format(sentence=sentence, n=n, total=len(sentences))
        for sentence, n in counts.most_common()
    ]
