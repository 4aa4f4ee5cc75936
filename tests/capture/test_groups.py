from __future__ import annotations

import pytest

from noise_lens import CaptureError
from noise_lens.capture.groups import build_groups

NAMES = ["emb", "a.weight", "a.bias", "b.0.weight", "b.0.bias"]


def members(spec):
    return {group.name: group.parameters for group in build_groups(NAMES, spec)}


def test_all_comes_first_and_holds_everything():
    for spec in ("all", "tensor", "module", "*.bias"):
        assert next(iter(members(spec).items())) == ("all", tuple(NAMES))


def test_one_group_a_tensor():
    assert members("tensor") == {"all": tuple(NAMES), **{name: (name,) for name in NAMES}}


def test_one_group_a_module():
    found = members("module")
    assert found["(root)"] == ("emb",)
    assert found["b.0"] == ("b.0.weight", "b.0.bias")
    assert list(found) == ["all", "(root)", "a", "b.0"]


def test_patterns_may_overlap_and_have_names():
    assert members("*.weight,a.*")["a.*"] == ("a.weight", "a.bias")
    assert members({"biases": "*.bias"})["biases"] == ("a.bias", "b.0.bias")
    assert members(["emb"])["emb"] == ("emb",)


def test_pattern_without_a_match():
    with pytest.raises(
        CaptureError, match=r"'conv\*' matches no trainable parameter; there are emb"
    ):
        members("conv*")


def test_the_name_all_is_taken():
    with pytest.raises(CaptureError, match="cannot be named 'all'"):
        build_groups(NAMES, {"all": "*.bias"})
    names = [group.name for group in build_groups(["all", "w"], "tensor")]
    assert names == ["all", "(all)", "w"]


def test_no_parameter():
    with pytest.raises(CaptureError, match="no trainable parameter"):
        build_groups([], "all")
