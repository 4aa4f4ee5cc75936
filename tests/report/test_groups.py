from __future__ import annotations

import pytest

from noise_lens.report.groups import group_table
from noise_lens.run import VERDICT_FIELDS


def record(n_parameters, energy, projections, coordinates=None):
    found = {"n_parameters": n_parameters, "noise_energy": energy, "n_rows": 500}
    for of, label in (("projections", projections), ("coordinates", coordinates)):
        found |= {f"{of}_{name}": None for name in VERDICT_FIELDS}
        if label is not None:
            found |= {f"{of}_verdict": label, f"{of}_verdict_alpha": 1.5}
            found |= {f"{of}_verdict_{end}": 1.5 for end in ("low", "high", "pvalue")}
            found |= {f"{of}_verdict_{many}": [] for many in ("block_sizes", "reasons", "warnings")}
    return found


def table(**groups):
    return group_table(
        list(groups), [own if isinstance(own, list) else [own] for own in groups.values()]
    )


def test_the_heaviest_label_comes_first_then_energy():
    """All before the rest; a group without projections goes by its coordinates."""
    found = table(
        quiet=record(10, 1.0, "gaussian", "gaussian"),
        loud=record(10, 5.0, "gaussian", "gaussian"),
        all=record(60, 10.0, "gaussian", "gaussian"),
        drifting=record(10, 1.0, "drifting", "gaussian"),
        stable=record(10, 1.0, "stable", "gaussian"),
        tiny=record(2, 1.0, None, "stable"),
        dead=record(10, 1.0, "unusable", "unusable"),
    )
    names = [row.name for row in found.rows]
    assert names == ["all", "tiny", "stable", "drifting", "loud", "quiet", "dead"]
    assert found.rows[4].energy == 0.5
    assert found.n_judged == 6


def test_shares_add_up_without_all():
    found = table(
        all=record(100, 10.0, "gaussian"),
        one=record(75, 1.0, "gaussian"),
        two=record(25, 9.0, "drifting"),
    )
    assert found.labels == ["drifting", "gaussian"]
    assert found.shares["projections"]["drifting"] == pytest.approx((0.25, 0.9))
    assert found.shares["projections"]["gaussian"] == pytest.approx((0.75, 0.1))


def test_groups_that_overlap_have_no_shares():
    found = table(
        all=record(100, 10.0, "gaussian"),
        one=record(75, 5.0, "gaussian"),
        two=record(75, 5.0, "drifting"),
    )
    assert found.overlap
    assert found.shares == {}


def test_several_seeds_are_counted_and_have_no_shares():
    found = table(
        all=[record(100, 10.0, None)] * 2,
        one=[record(100, 10.0, "gaussian"), record(100, 5.0, "drifting")],
    )
    assert [(one.label, one.n) for one in found.rows[1].labels("projections")] == [
        ("drifting", 1),
        ("gaussian", 1),
    ]
    assert found.rows[1].energy == 0.75
    assert found.shares == {}


def test_unjudged_groups_go_by_energy():
    found = table(all=record(100, 10.0, None), one=record(50, 2.0, None), two=record(50, 8.0, None))
    assert [row.name for row in found.rows] == ["all", "two", "one"]
    assert found.n_judged == 0
