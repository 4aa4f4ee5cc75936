from __future__ import annotations

import math

import pytest
import torch

from noise_lens.theory.escape import Ball, Box, Ellipsoid, Interval, LevelSet, Where

_HESSIAN = [[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 4.0]]
_BASINS = {
    "interval": Interval(-1, 2, centre=0.5),
    "box": Box([-1, -2, -0.5], [3, 1, 0.7], centre=[0.1, 0.2, 0.3]),
    "ball": Ball(1.5, 3, centre=[1, 2, 3]),
    "ellipsoid": Ellipsoid([1, 2, 0.3]),
    "full ellipsoid": Ellipsoid(matrix=_HESSIAN),
    "level set": LevelSet(_HESSIAN, height=0.7, centre=[0, 1, 0]),
    "where": Where(lambda y: y.abs().sum(dim=1) <= 2, dim=3),
}


def _directions(dim, n=200):
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", _BASINS)
def test_the_distance_is_where_membership_ends(name):
    basin = _BASINS[name]
    directions = _directions(basin.dim)
    reach = basin.distance(directions)[:, None]

    assert basin.contains(basin.centre + directions * reach * (1 - 1e-9)).all()
    assert not basin.contains(basin.centre + directions * reach * (1 + 1e-9)).any()


@pytest.mark.parametrize("name", _BASINS)
def test_a_direction_of_twice_the_length_fits_half_as_often(name):
    basin = _BASINS[name]
    directions = _directions(basin.dim)
    once, twice = basin.distance(directions), basin.distance(2 * directions)
    torch.testing.assert_close(twice * 2, once, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    "same", [Ellipsoid([1, 2, 4]), LevelSet([2, 0.5, 0.125], height=1)], ids=str
)
def test_one_set_by_two_names(same):
    """Semi-axes are sqrt(2 height / curvature)."""
    predicate = Where(lambda y: (y / torch.tensor([1.0, 2, 4])).square().sum(1) <= 1, dim=3)
    directions = _directions(3)
    torch.testing.assert_close(
        same.distance(directions), predicate.distance(directions), rtol=1e-9, atol=0
    )


def test_a_predicate_gives_the_first_crossing():
    """A ring around the basin is the same set again: the distance is to the inner gap."""
    rings = Where(lambda y: torch.sin(y.norm(dim=1)) >= 0, dim=2)
    assert rings.distance([[0.0, 1.0]]).item() == pytest.approx(math.pi, rel=1e-12)


@pytest.mark.parametrize(
    ("basin", "direction"),
    [
        (Interval(-math.inf, 1), [-1.0]),
        (Ball(math.inf, 2), [1.0, 1.0]),
        (Ellipsoid([1, math.inf]), [0.0, 1.0]),
        (LevelSet([1, 0], height=1), [0.0, 3.0]),
        (Where(lambda y: y[:, 0] <= 1, dim=2), [0.0, 1.0]),
        (Ball(1.0, 2), [0.0, 0.0]),
    ],
    ids=str,
)
def test_never_left_that_way(basin, direction):
    assert basin.distance([direction]).item() == math.inf


@pytest.mark.parametrize("name", _BASINS)
def test_nan_lies_nowhere(name):
    basin = _BASINS[name]
    assert not basin.contains(torch.full((1, basin.dim), math.nan)).any()


def test_nan_lies_nowhere_whatever_the_predicate_makes_of_it():
    not_above = Where(lambda y: ~(y[:, 0] > 1), dim=1)
    assert not_above.contains(torch.tensor([[0.0], [math.nan]])).tolist() == [True, False]


def test_float32_points_stay_on_their_type():
    assert Ball(1.0, 2).contains(torch.zeros(3, 2, dtype=torch.float32)).tolist() == [True] * 3
    assert Interval(-1, 1).contains(torch.tensor([[0], [2]])).tolist() == [True, False]


def test_shrunk():
    assert Interval(-1, 2).shrunk(0.25).distance([[1.0], [-1.0]]).tolist() == [1.75, 0.75]
    assert Ball(1.0, 3).shrunk(0.25).radius == 0.75
    with pytest.raises(ValueError, match="margin must be at least 0"):
        Ball(1.0).shrunk(-1)
    with pytest.raises(ValueError, match="must be positive, got 0"):
        Ball(1.0).shrunk(1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Interval(1, 2), "low < centre < high must hold"),
        (lambda: Interval(-1, math.nan), "low < centre < high must hold"),
        (lambda: Box([0, 1], [1]), "low has 2 ends and high has 1"),
        (lambda: Ball(0), "radius of a ball must be positive, got 0"),
        (lambda: Ball(1, dim=0), "at least one dimension, got dim=0"),
        (lambda: Ball(1, 2, centre=[0.0]), "needs 2 numbers, got 1"),
        (lambda: Ball(1, 1, centre=[math.nan]), "centre must be finite"),
        (Ellipsoid, "semi_axes or its matrix: give one"),
        (lambda: Ellipsoid([1, -1]), "semi-axes must be positive"),
        (lambda: Ellipsoid(matrix=[[1, 0], [1, 1]]), "square and symmetric"),
        (lambda: LevelSet([1, -1], 1), "has the eigenvalue -1: a basin has none below 0"),
        (lambda: LevelSet([1], 0), "height of a barrier must be positive and finite, got 0"),
        (lambda: LevelSet([[1, 2, 3]], 1), "square and symmetric"),
        (lambda: Where(lambda y: y[:, 0] > 1, dim=1), "does not hold at the centre"),
        (lambda: Where(lambda y: y > 1, dim=1), "must return a boolean Tensor of shape"),
        (lambda: Where(lambda y: True, dim=1), "got bool"),
        (lambda: Where(lambda y: y[:, 0] < 1, dim=1, reach=(1, 0)), "reach must hold"),
        (lambda: Ball(1, 2).contains(torch.zeros(3)), r"shape \(n, 2\), got \(3,\)"),
        (lambda: Ball(1, 2).distance([[1.0]]), r"shape \(k, 2\), got \(1, 1\)"),
        (lambda: Ball(1, 1).distance([[math.inf]]), "directions must be finite"),
    ],
)
def test_bad_input(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_names():
    assert str(Interval(-1, 2)) == "Interval(-1, 2)"
    assert str(Ellipsoid([1, 2])) == "Ellipsoid([1, 2])"
    assert str(LevelSet(_HESSIAN, 1)) == "LevelSet(matrix of 3 x 3, height=1)"
