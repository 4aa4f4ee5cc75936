from __future__ import annotations

import numpy as np
import pytest

from noise_lens import SymmetricStable, judge_groups
from noise_lens.inference.many import benjamini_yekutieli, shares_by_label


def test_thresholds_by_hand():
    """k = 4: c = 25/12, thresholds .006, .012, .018, .024 at rate .05."""
    assert benjamini_yekutieli(np.array([0.0061, 0.5, 0.5, 0.5]), 0.05).tolist() == [False] * 4
    assert benjamini_yekutieli(np.array([0.0059, 0.5, 0.5, 0.5]), 0.05).tolist() == [
        True, False, False, False,
    ]  # fmt: skip
    stepped_up = benjamini_yekutieli(np.array([0.013, 0.014, 0.0175, 0.9]), 0.05)
    assert stepped_up.tolist() == [True, True, True, False]
    assert benjamini_yekutieli(np.empty(0), 0.05).size == 0


def test_one_heavy_group_among_many_is_found():
    """30 groups: its threshold is .05 / (30 * 3.99) = .0004, below what 199 rotations can say.
    False groups among 29 Gaussian ones: at most one (false alarm below 1e-3 at this rate).
    """
    rng = np.random.default_rng(11)
    groups = {f"g{i}": rng.standard_normal((200, 10)) for i in range(29)}
    groups["heavy"] = rng.laplace(size=(200, 10))
    found = judge_groups(groups, rng=rng)
    assert list(found) == list(groups)
    heavy = found["heavy"]
    assert heavy.pvalue < 0.05 / (30 * 3.99)
    assert heavy.label not in ("gaussian", "inconclusive")
    others = [verdict for name, verdict in found.items() if name != "heavy"]
    assert sum(verdict.label not in ("gaussian", "inconclusive") for verdict in others) <= 1
    assert max(v.evidence.rotations.n for v in others if v.pvalue > 0.05) == 199


def test_rejected_alone_but_not_in_the_family():
    """A p of some percent among 60 groups is inconclusive, and says so."""
    rng = np.random.default_rng(5)
    groups = {f"g{i}": rng.standard_normal((100, 8)) for i in range(60)}
    found = judge_groups(groups, rng=rng)
    between = [v for v in found.values() if v.pvalue <= 0.05]
    assert between
    for verdict in between:
        assert verdict.label == "inconclusive"
        assert "not among as many groups" in verdict.reasons[0]


def test_a_group_is_judged_alike_in_any_family(rng):
    """What else is judged moves no estimate of a group."""
    one = SymmetricStable(1.5).rvs((400, 10), rng)
    alone = judge_groups({"a": one}, rng=np.random.default_rng(1))["a"]
    among = judge_groups({"b": one + 0, "a": one}, rng=np.random.default_rng(1))["a"]
    assert among.alpha == alone.alpha
    assert among.evidence.rotations.statistic == alone.evidence.rotations.statistic


def test_dead_groups_stay_in_the_answer(rng):
    found = judge_groups({"dead": np.zeros((100, 3)), "live": rng.standard_normal((100, 3))})
    assert found["dead"].label == "unusable"
    assert shares_by_label(list(found.values()), [1, 3]) == {
        found["live"].label: 0.75, "unusable": 0.25,
    }  # fmt: skip


def test_rate_must_be_a_share(rng):
    with pytest.raises(ValueError, match=r"\(0, 1\), got 1"):
        judge_groups({"a": rng.standard_normal((100, 3))}, false_discovery_rate=1)
