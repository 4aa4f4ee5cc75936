"""Of rows: what a verdict warns of, all detectors together."""

from __future__ import annotations

import numpy as np
import pytest

from noise_lens import SamplesError, SymmetricStable
from noise_lens.inference.artefacts import row_warnings


def gaussian(rng, shape):
    return rng.standard_normal(shape)


def correlated(rng, shape):
    """Three factors that all columns share."""
    return rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1])) + (
        rng.standard_normal(shape)
    )


def independent_stable(rng, shape):
    return SymmetricStable(1.3).rvs(shape, rng)


def elliptical_stable(rng, shape):
    """A Gaussian row times the root of a positive stable variable of index .75 (Kanter)."""
    angle, scale = rng.uniform(0, np.pi, (shape[0], 1)), rng.standard_exponential((shape[0], 1))
    radius = np.sin(0.75 * angle) / np.sin(angle) ** (1 / 0.75)
    radius *= (np.sin(0.25 * angle) / scale) ** (1 / 3)
    return rng.standard_normal(shape) * np.sqrt(radius)


@pytest.mark.parametrize(
    "law", [gaussian, correlated, independent_stable, elliptical_stable], ids=lambda f: f.__name__
)
@pytest.mark.parametrize(("shape", "repeats"), [((100, 1), 60), ((100, 10), 60), ((1000, 40), 6)])
def test_clean_rows_have_no_warning(rng, law, shape, repeats, named):
    """No alarm in 504 samples: nine detectors of at most 6e-5 make that .24 in all (.02 a case).

    The ones that count, the unequal loadings of the factors, and the one radius of elliptical
    rows are rightly there.
    """
    right = {"few_rows", "few_columns"}
    right |= {"shared_scale"} if law is elliptical_stable else set()
    right |= {"scale_spread"} if law is correlated else set()
    found = [row_warnings(law(rng, shape).astype(np.float32)) for _ in range(repeats)]
    assert {name for one in found for name in named(one)} <= right


def test_the_unit_does_not_matter(rng, named):
    rows = elliptical_stable(rng, (500, 20)) * np.linspace(1, 9, 500)[:, None]
    found = named(row_warnings(rows))
    assert {"magnitude_autocorrelation", "divergence", "shared_scale"} <= set(found)
    for unit in (2.0**-600, 2.0**600):
        scaled = named(row_warnings(rows * unit))
        assert {name: one.value for name, one in scaled.items()} == pytest.approx(
            {name: one.value for name, one in found.items()}
        )


@pytest.mark.parametrize(
    ("n", "words"),
    [(99, "support nothing"), (100, "hardly support"), (999, "hardly support"), (1000, None)],
)
def test_few_rows(rng, n, words, named):
    found = named(row_warnings(rng.standard_normal((n, 10)))).get("few_rows")
    assert (found is None) == (words is None)
    if found is not None:
        assert found.value == n
        assert found.message.startswith(f"{n} rows, fewer than 1,000: ")
        assert words in found.message


def test_few_columns_and_small_groups(rng, named):
    rows = rng.standard_normal((1000, 8))
    assert row_warnings(rows) == []
    assert named(row_warnings(rows[:, :7]))["few_columns"].value == 7
    small = named(row_warnings(rows[:, :3], n_parameters=3))
    assert set(small) == {"small_group"}
    assert small["small_group"].value == 3
    assert row_warnings(rows, n_parameters=8) == []


def test_projections_share_coordinates_and_norms_have_no_sign(rng, named):
    """Projections of independent stable coordinates go together: not a scale of the rows."""
    coordinates = SymmetricStable(1.3).rvs((1000, 200), rng)
    projections = coordinates @ rng.standard_normal((200, 20))
    assert set(named(row_warnings(projections))) == {"shared_scale"}
    assert row_warnings(projections, of="projections") == []
    norms = np.linalg.norm(coordinates, axis=1)[:, None]
    assert {"location", "few_columns"} <= set(named(row_warnings(norms)))
    assert row_warnings(norms, of="norm") == []


def test_what_are_no_rows():
    with pytest.raises(ValueError, match=r'of must be "coordinates", .*, got "?\'?norms'):
        row_warnings(np.ones((30, 2)), of="norms")
    with pytest.raises(SamplesError, match=r"shape \(M, d\), got shape \(30,\)"):
        row_warnings(np.arange(30.0))
    with pytest.raises(SamplesError, match="got 2 NaN or inf among 60"):
        row_warnings(np.array([[1.0, np.nan]] * 2 + [[1.0, 2.0]] * 28))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 1), (5, 3), (19, 2), (20, 1)])
def test_any_shape_is_answered(rng, shape, named):
    found = named(row_warnings(rng.standard_normal(shape)))
    assert set(found) == {"few_rows", "few_columns"}
    assert set(named(row_warnings(np.zeros(shape), sampling="one epoch"))) >= {"zeros", "few_rows"}


def test_of_many_columns_some_are_looked_at(rng, named):
    """2.1 million values: the part that is looked at reaches the last columns."""
    rows = rng.standard_normal((2100, 1000), dtype=np.float32)
    rows[:, 500:] *= 20
    assert named(row_warnings(rows))["scale_spread"].value == pytest.approx(
        np.log(20) / 2, rel=0.01
    )
