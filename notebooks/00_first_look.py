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
# # A first look at gradient noise
#
# A plain training loop on scikit-learn's digits, watched by `NoiseLens`. The weights come out the same with and without it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

import noise_lens as nl
from noise_lens.figures import plot_aggregation, plot_survival, survival_curve
from noise_lens.tasks import load_task

torch.set_num_threads(1)
task = load_task("digits-mlp")
model = task.build_model(seed=0)
loader = DataLoader(task.data, batch_size=32, shuffle=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

# %% [markdown]
# Two lines are ours: the import and the `with`. Probes come at steps 100 and 500, and once at the end.

# %%
torch.manual_seed(0)
with nl.NoiseLens(
    model,
    optimizer,
    loss=task.loss,
    data=loader,
    schedule=lambda step: step in (100, 500),
    n_minibatches=512,
    closing=512,
) as lens:
    for _ in range(23):
        for batch in loader:
            optimizer.zero_grad()
            task.loss(model, batch).backward()
            optimizer.step()

# %% [markdown]
# One row per probe, group and kind of rows. `alpha` is the tail index of *single minibatches of 32*, with its 95 % interval.

# %%
table = pd.DataFrame(lens.table())
columns = ["step", "group", "of", "alpha", "low", "high", "noise_zero_share"]
table.loc[table["group"] == "all", columns].round(3)

# %% [markdown]
# Is it a stable law? Under one, α stays where it is when minibatches are summed. Here it rises towards 2, as it does where sums become Gaussian. Look at the intervals too: few blocks are left on the right.

# %%
last = lens.measurements[-1].sketch.groups[0]
curves = {
    of: nl.aggregation_curve(getattr(last, of).astype(np.float64), np.random.default_rng(0))
    for of in ("projections", "coordinates")
}
_, ax = plt.subplots(figsize=(6, 3.2))
for of, curve in curves.items():
    plot_aggregation(curve, ax=ax, label=of, marker="o")
ax.legend()
# %% [markdown]
# How often does an entry exceed a level, against a Gaussian and the stable law that fits the centre?

# %%
rows = last.projections.astype(np.float64)
estimate = nl.pooled(rows)
_, ax = plt.subplots(figsize=(6, 3.2))
plot_survival(survival_curve(rows, estimate.alpha, estimate.sigma), ax=ax)
ax.legend()
# %% [markdown]
# The *passive trend* comes from the gradients of training itself, weights moving. It shows when something changes and supports no statement.

# %%
pd.DataFrame(lens.trend).drop(columns="groups").round(3)

# %% [markdown]
# This is an estimate, not a verdict: a tail index below 2 at one batch size is what any finite-variance noise with occasional large
# gradients reads.
