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
# # Padam: between SGD with momentum and Adam
#
# Padam divides the first moment m by a power of the largest second moment so far: **θ ← θ − lr · m / v̂ᵖ**. With p → 0 it is SGD with momentum, with p = 1/2 AMSGrad. So p turns the optimizer by degrees. Does the tail turn with it?

# %%
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from run_folders import read_or_train
from sentences import in_columns, number, of_many, said

from noise_lens import contrasts
from noise_lens.figures import plot_against_parameter, plot_differences, seed_points

KINDS = ("coordinates", "projections")
folder = Path(os.environ.get("NOISE_LENS_RUNS", "../runs")) / "found-padam"
few = ("sgd-momentum", "padam@p=0.125", "padam@p=0.25", "padam@p=0.5", "adam")
run = read_or_train(folder, few, ("gradient", "momentum"))
rows = [row for row in contrasts.comparison_table(run) if row.n_seeds]

# %% [markdown]
# The learning rate is tuned anew for every p: a tail that changes with p may be the rate's doing as well. The full gradient is subtracted here, in the other notebooks pairs are: off the stable law that changes α, and theirs do not compare with these.

# %%
pd.DataFrame(
    {
        "learning rate": [row.learning_rates[0] for row in rows],
        "test accuracy": [number(row.metrics["test/accuracy"], digits=3) for row in rows],
        "training loss": [f"{row.metrics['train/loss'].mean:.2g}" for row in rows],
        **{
            f"verdicts, {of}": [row.row()[f"gradient/{of}/verdicts"] for row in rows]
            for of in KINDS
        },
    },
    index=[row.optimizer for row in rows],
)

# %% [markdown]
# ## Tail and accuracy against p
#
# At the last step: raw noise at the weights to which each p led. Lines, with their intervals: SGD with momentum, the end p → 0, and Adam, which is AMSGrad, p = 1/2, without the largest v̂ kept.

# %%
fig, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
for row, of, metric in zip(axes, KINDS, ("test/accuracy", "gap/loss"), strict=True):
    plot_against_parameter(rows, of=of, metric=metric, ax=row[0], metric_ax=row[1])
for_all = fig.legend(
    *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8
)

# %% [markdown]
# The same for averages as the first moment makes them, 22 minibatches each; beside them, how far training came.

# %%
fig, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
for row, of, metric in zip(axes, KINDS, ("train/loss", "gap/accuracy"), strict=True):
    plot_against_parameter(rows, view="momentum", of=of, metric=metric, ax=row[0], metric_ax=row[1])
for_all = fig.legend(
    *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8
)

# %% [markdown]
# ## Does it move with p?
#
# One number a seed, so that one interval answers: the slope of α, or of the accuracy, along p.


# %%
def slopes(view, of, metric=None):
    places = defaultdict(list)
    for point in seed_points(run, view=view, of=of):
        p = point.optimizer.partition("@p=")[2]
        if p:
            places[point.seed].append((float(p), point.value if metric else point.alpha))
    return [
        np.polyfit(*zip(*own, strict=True), deg=1)[0] for own in places.values() if len(own) > 1
    ]


asked = [("α", view, of, None) for view in ("gradient", "momentum") for of in KINDS]
for what, view, of, metric in [
    *asked,
    ("test accuracy", "gradient", "coordinates", "test/accuracy"),
]:
    found = slopes(view, of, metric)
    slope = contrasts.paired_difference(found, np.zeros(len(found)), words=("falls", "rises"))
    name = what if metric else f"{what}, {view} of {of}"
    verdict = f"it {slope.claim.upper()} with p" if slope.claim else f"no claim: {slope.reason}"
    print(
        f"{name}: {number(slope, digits=3, sign='+')} from p = 0 to 1, {slope.n} seeds: {verdict}"
    )

# %% [markdown]
# ## Against SGD with momentum
#
# Paired by seed. Left after the same steps; right at the lowest training loss that the probes of both enclose, where values lie on a straight line between two probes: a guess, but a difference that is gone there was progress.

# %%
every = contrasts.differences(run)
last = max(one.at for one in every)
at_last = [one for one in every if one.at == last]
alphas = [one for one in at_last if one.quantity == "alpha" and one.view == "gradient"]
accuracy = [one for one in at_last if one.quantity == "test/accuracy"]
lowest = {}  # places come with falling loss: the last one that all seeds reach stays
for one in contrasts.differences(run, views=["gradient"], matched_by="loss"):
    if one.quantity == "alpha" and one.n and not one.n_unmatched:
        lowest[one.optimizer, one.of] = one
by_loss = [lowest[key] for one in alphas if (key := (one.optimizer, one.of)) in lowest]

fig, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharex=True)
plot_differences(alphas, ax=axes[0])
axes[0].set_title(f"at step {last:,}")
axes[0].legend(fontsize=8)
if by_loss:
    plot_differences([replace(one, at=0) for one in by_loss], ax=axes[1])
axes[1].set_title("at equal training loss")
axes[0].locator_params(axis="x", nbins=5)

# %%
for one in accuracy:
    print(said(one))
for name, loss in {one.optimizer: one.at for one in by_loss}.items():
    print(f"{name} and sgd-momentum have an equal training loss at {loss:.2g}")
print(of_many([*alphas, *by_loss, *accuracy]))
pd.DataFrame(in_columns({f"α at step {last:,}": alphas, "α at equal loss": by_loss}))

# %% [markdown]
# One task, one network, one batch size. α below 2 alone is no evidence of heavy tails: the verdicts above say what becomes of sums.
