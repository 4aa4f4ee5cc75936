# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What averaging does
#
# Adam moves along an average of gradients, SGD along single ones. The noise of an average is not the noise that it is made of. Two laws say what becomes of it, with weights w of sum 1:
#
# | noise | after averaging |
# |---|---|
# | symmetric α-stable | **α stays**; the scale is multiplied by (Σ w^α)^(1/α) |
# | finite fourth moment | excess kurtosis is multiplied by **Σ w⁴ / (Σ w²)²** |
#
# So averaging never lightens a stable law, and lightens every other one.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from run_folders import is_finished, read_or_train
from sentences import explained, number
from torch import nn
from torch.utils.data import IterableDataset

import noise_lens as nl
from noise_lens import contrasts, theory
from noise_lens.figures import plot_decomposition, plot_predictions

torch.set_num_threads(1)
folder = Path(os.environ.get("NOISE_LENS_RUNS", "../runs")) / "found-digits"
pd.DataFrame(
    {
        f"β = {beta}": {
            "scale, α = 1.2": theory.stable_scale_ratio(1.2, beta),
            "scale, α = 1.5": theory.stable_scale_ratio(1.5, beta),
            "scale, α = 2": theory.stable_scale_ratio(2, beta),
            "excess kurtosis": theory.excess_kurtosis_factor(beta),
            "as the plain mean of": theory.equivalent_minibatches(beta),
        }
        for beta in (0.5, 0.9, 0.99)
    }
).round(3)

# %% [markdown]
# ## Noise of a known law
#
# A linear model whose loss is its output: the gradient *is* the example. Independent rows of a stable law and of a Laplace law go through the same probe and the same `momentum` view as a network's gradients: windows of 4 minibatches for β = 0.5 and of 22 for 0.9, whose factors are a little above those of an endless past.


# %%
class Rows(IterableDataset):
    def __init__(self, draw, seed):
        self.draw, self.rng = draw, np.random.default_rng(seed)

    def __iter__(self):
        while True:
            yield from torch.tensor(self.draw((256, 128), self.rng), dtype=torch.float32)


def probe(draw, beta, n_minibatches, seed):
    task = nl.Task(
        lambda: nn.Linear(128, 1, bias=False),
        lambda model, rows: model(rows).mean(),
        Rows(draw, seed),
        name="rows of a known law",
    )
    views = nl.measure(
        task,
        views=("gradient", "momentum"),
        beta=beta,
        n_minibatches=n_minibatches,
        batch_size=1,
        groups="all",
        seed=seed,
    ).views
    return views["gradient"].records[0], views["momentum"].records[0]


laws = {
    "stable, α = 1.5": lambda size, rng: nl.SymmetricStable(1.5).rvs(size, rng),
    "Laplace": lambda size, rng: rng.laplace(size=size),
}
# 8,800 minibatches are 200 rows of averages at β = 0.9: 22 a window, and a row is a pair of them.
n_seeds, n_minibatches = (5, 8800) if is_finished(folder) else (2, 880)
found, rows = [], []
for law, draw in laws.items():
    for beta in (0.5, 0.9):
        pairs = [probe(draw, beta, n_minibatches, seed) for seed in range(n_seeds)]
        raw, averaged = zip(*pairs, strict=True)
        alpha, shift, kurtosis = contrasts.predictions(
            f"{law}, β = {beta}", raw, averaged, "coordinates"
        )
        moments = law == "Laplace"  # the sample's kurtosis of a stable law means nothing
        found += [alpha, kurtosis] if moments else [alpha]
        told = (
            [f"kurtosis {number(one)}" for one in (kurtosis.predicted, kurtosis.observed)]
            if moments
            else [f"scale × {np.exp(one.mean):.3f}" for one in (shift.predicted, shift.observed)]
        )
        rows.append(
            {
                "noise": law,
                "β": beta,
                "α before": number(alpha.predicted),
                "α of averages": number(alpha.observed),
                "predicted": told[0],
                "observed": told[1],
            }
        )
pd.DataFrame(rows).set_index(["noise", "β"])

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for ax, quantity in zip(axes, ("alpha", "excess_kurtosis"), strict=True):
    plot_predictions(found, quantity=quantity, ax=ax)
    handles, labels = ax.get_legend_handles_labels()
    names = [label.removeprefix("at ").removesuffix("'s weights") for label in labels]
    ax.legend(handles, names, fontsize=8)

# %% [markdown]
# Left: the stable rows lie on the line, the Laplace rows above it. Right: the Laplace rows lie on theirs. Filled means that the miss is told from 0.
#
# ## Digits: is it the optimizer, or the average?
#
# Circles are raw noise at each optimizer's weights, squares averages there. The first row is SGD: what averaging does to *its* noise, no other optimizer involved. "Adam has lighter tails" is Adam's square against SGD's circle; the share is how much of that gap the first row makes.

# %%
run = read_or_train(folder, ("sgd", "adam", "adal"), ("gradient", "momentum"))
names = [
    name
    for name in run.manifest["settings"]["optimizers"]
    if name in ("adam", "adal", "padam", "yogi")
]
parts = {
    of: [contrasts.decompose(run, optimizer=name, of=of) for name in names]
    for of in ("coordinates", "projections")
}
fig, axes = plt.subplots(2, 1, figsize=(9, 5.5), layout="constrained")
for ax, own in zip(axes, parts.values(), strict=True):
    plot_decomposition(own, ax=ax)
for_all = fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8
)

# %%
for own in parts.values():
    for one in own:
        print(explained(one))

# %% [markdown]
# A share above 100 %: averaging makes more than the whole gap, and the optimizer's own averages are *heavier* than SGD's. An interval with 100 % in it: averaging alone may be all of it. AdaL averages ‖g‖₁ g: its square is not an average of its circle.
#
# ## Which law does this noise follow?
#
# The same for the noise of the network. On the line: as the law says.

# %%
laws_of = {of: [one for part in own for one in part.predictions] for of, own in parts.items()}
fig, axes = plt.subplots(2, 2, figsize=(8.5, 8), layout="constrained")
for row, (of, predicted) in zip(axes, laws_of.items(), strict=True):
    for ax, quantity in zip(row, ("alpha", "excess_kurtosis"), strict=True):
        plot_predictions(predicted, quantity=quantity, ax=ax)
        ax.set_title(f"{ax.get_title()}, {of}", fontsize=9)
for_all = fig.legend(
    *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8
)

# %%
for of, predicted in laws_of.items():
    misses = {one.weights: one.miss for one in predicted if one.quantity == "alpha"}
    for weights, miss in misses.items():
        verdict = "not as under a stable law" if miss.claim else f"no claim: {miss.reason}"
        print(
            f"{of} at {weights}'s weights: averaging moves α by {number(miss, sign='+')}, {verdict}"
        )

# %% [markdown]
# A law that is not missed is not proved. The kurtosis of fewer than 200 averages reads low, so nothing is claimed of it.
