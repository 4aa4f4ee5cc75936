"""What a type checker sees of the public API; checked by mypy, never run."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
import torch

import noise_lens as nl

rows = np.zeros((100, 3))

assert_type(nl.hill(rows, k=5), nl.TailIndexEstimate)
assert_type(nl.mohammadi(rows, block_size=8), nl.TailIndexEstimate)
assert_type(nl.characteristic_function(rows), nl.TailIndexEstimate)
assert_type(nl.maximum_likelihood(rows), nl.TailIndexEstimate)
assert_type(nl.maximum_likelihood(nl.LogHistogram(np.zeros(8192, int))), nl.TailIndexEstimate)
assert_type(nl.mohammadi(rows, compat="simsekli2019"), nl.TailIndexEstimate)
assert_type(nl.mohammadi_norm(rows), nl.TailIndexEstimate)
assert_type(nl.log_moments(rows), nl.TailIndexEstimate)
assert_type(nl.quantile(rows), nl.TailIndexEstimate)
assert_type(nl.moment(rows, k=5), nl.TailIndexEstimate)
assert_type(nl.hill_path(rows[:, 0]).choose_k(), int | None)
assert_type(nl.scipy_fit(rows[:, 0], max_samples=100), nl.TailIndexEstimate)
assert_type(nl.SymmetricStable(1.5).logpdf(rows), np.ndarray[tuple[Any, ...], np.dtype[np.float64]])
assert_type(nl.SymmetricStable(1.5, sigma=2.0).log_moments(), tuple[float, float])
assert_type(nl.pooled(rows, method="mohammadi"), nl.TailIndexEstimate)
assert_type(nl.pooled(rows).confidence_interval(0.9), nl.ConfidenceInterval)
assert_type(nl.aggregation_curve(rows, rng=np.random.default_rng(0)), nl.AggregationCurve)
assert_type(nl.measure("digits-mlp", n_minibatches=64), nl.Measurement)
assert_type(nl.measure("digits-mlp").table(), list[dict[str, Any]])
assert_type(
    nl.compare("digits-mlp", ("sgd",), n_steps=10, probe_steps=[0, 10], seeds=(0,)), nl.Comparison
)
assert_type(nl.optim.names(), tuple[str, ...])
assert_type(nl.read_run("run"), nl.Run)
assert_type(nl.measure_trajectory("digits-mlp", ["a.pt", "b.pt"]), list[nl.Measurement])
model = torch.nn.Linear(2, 2)
lens = nl.NoiseLens(
    model, torch.optim.SGD(model.parameters()), preset="light", budget=0.02, log=print
)
assert_type(lens.attach(), nl.NoiseLens)
assert_type(lens.describe(), str)
assert_type(lens.state_dict(), dict[str, Any])
assert_type(lens.measurements, list[nl.Measurement])
