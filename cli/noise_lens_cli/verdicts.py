"""Verdicts in words, for the commands that print them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.printing import number

if TYPE_CHECKING:
    from noise_lens import Measurement

KINDS = ("projections", "coordinates")  # the headline first


def echo_verdicts(found: Measurement) -> None:
    """Print the verdict on group ``all``, and what lies in groups of each label.

    Parameters
    ----------
    found : Measurement
        Judged.
    """
    if not found.verdicts:
        return
    for of in KINDS:
        verdict = found.verdicts["all"].get(of)
        if verdict is None:
            continue
        first, *reasons = str(verdict).splitlines()
        click.echo(f"all, {of}: {first}")
        for reason in reasons:
            click.echo(reason)
        for warning in verdict.warnings:
            click.echo(f"  warning, {warning.name}: {warning.message}")
    record = found.records[0]
    sizes = [
        f"{_batch_sizes(record, of)} ({of})"
        for of in KINDS
        if record[f"{of}_gaussianising_low"] is not None
    ]
    if sizes:
        click.echo(f"Gaussianising batch size, in examples: {', '.join(sizes)}")
    if found.sketch.view != "gradient":
        return
    scale, reason = record["noise_scale"], record["noise_scale_reason"]
    ends = f"[{_short(record['noise_scale_low'])}, {_short(record['noise_scale_high'])}]"
    click.echo(
        f"Gradient noise scale tr(Sigma)/|G|^2: withheld ({reason})"
        if reason
        else f"Gradient noise scale tr(Sigma)/|G|^2: {_short(scale)} {ends} examples"
    )
    _echo_tail(found)
    for of in KINDS:
        _echo_shares(found, of)


def labels_over_seeds(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the labels of repeated runs, counted.

    Parameters
    ----------
    rows : sequence of mapping
        Table rows of one optimizer, step, group and kind, one a seed.

    Returns
    -------
    str
        Such as "drifting 3/3"; a dash where nothing was judged.
    """
    labels = Counter(row["verdict"] for row in rows if row["verdict"] is not None)
    total = sum(labels.values())
    return ", ".join(f"{label} {n}/{total}" for label, n in labels.most_common()) or "-"


def _echo_tail(found: Measurement) -> None:
    from noise_lens import NotEnoughDataError
    from noise_lens.inference import tail_examples

    sketch = found.sketch
    if sketch.example_indices is None:
        return
    try:
        tail = tail_examples(sketch.groups[0].norms, sketch.example_indices, top=5)
    except NotEnoughDataError:
        return
    shares = (
        f"{example} ({100 * share:.1f} %)"
        for example, share in zip(tail.examples, tail.shares, strict=True)
    )
    whose = "" if tail.examples_a_row == 1 else ", of the rows that hold them,"
    click.echo(
        f"The heaviest 1 % of rows hold {100 * tail.top_share:.0f} % of the noise energy. Examples "
        f"that carry most, by position in the data, and their share{whose} of it: "
        f"{', '.join(shares)}"
    )


def _echo_shares(found: Measurement, of: str) -> None:
    from noise_lens.inference import shares_by_label

    parts = [r for r in found.records if r["group"] != "all" and of in found.verdicts[r["group"]]]
    if not parts:
        return
    verdicts = [found.verdicts[record["group"]][of] for record in parts]
    parameters, energy = (
        shares_by_label(verdicts, [record[key] for record in parts])
        for key in ("n_parameters", "noise_energy")
    )
    words = "; ".join(
        f"{label} {100 * parameters[label]:.0f} % of parameters, {100 * energy[label]:.0f} % of "
        "noise energy"
        for label in parameters
    )
    click.echo(f"{len(parts)} groups by their {of}: {words}")


def _batch_sizes(record: Mapping[str, Any], of: str) -> str:
    from noise_lens.inference import GaussianisingBatchSize
    from noise_lens.judging import examples_a_row

    largest = record[f"{of}_verdict_block_sizes"][-1]
    largest *= examples_a_row(record["batch_size"], record["reference"])
    low, high = record[f"{of}_gaussianising_low"], record[f"{of}_gaussianising_high"]
    return str(GaussianisingBatchSize(low, high, largest))


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if 10 <= value < 1e15 else f"{number(value, 2)}"
