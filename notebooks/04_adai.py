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
# # Adai: inertia instead of learning rates
#
# Adam gives each coordinate a learning rate of its own. Adai leaves the rate and gives each a *memory* of its own ([Xie et al., 2022](https://arxiv.org/abs/2006.15815)):
#
# > β₁ = clip(1 − β₀ v̂ / v̄, 0, 1 − ε), with v̂ the second moment of the coordinate and v̄ its mean over all of them<br>
# > m ← β₁ m + (1 − β₁) g, θ ← θ − lr · m / (1 − Π β₁)
#
# Coordinates with large gradients forget fast. No step is divided by √v̂.

# %%
import os
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from run_folders import is_finished, read_or_train
from sentences import in_columns, number, of_many, said
from torch.utils.data import DataLoader

import noise_lens as nl
from noise_lens import contrasts
from noise_lens.figures import (
    plot_differences,
    plot_tail_over_training,
    series_look,
    tail_curves,
)
from noise_lens.tasks import load_task

torch.set_num_threads(1)

# %% [markdown]
# ## With equal second moments it is SGD with momentum
#
# Gradients of random signs and equal size: v̂ = v̄, so β₁ = 0.9 everywhere. `torch.optim.SGD` with momentum 0.9 adds gradients up instead of averaging them and corrects no bias; its rate makes up for both.

# %%
generator = torch.Generator().manual_seed(0)
start = torch.randn(1000, dtype=torch.float64, generator=generator)
own, other = (torch.nn.Parameter(start.clone()) for _ in range(2))
adai = nl.optim.create("adai", [own], lr=0.1)
momentum = nl.optim.create("sgd-momentum", [other], lr=0.1)
for step in range(1, 21):
    signs = torch.randint(0, 2, (1000,), generator=generator, dtype=torch.float64) * 2 - 1
    own.grad, other.grad = signs * step, signs * step
    momentum.param_groups[0]["lr"] = 0.1 * (1 - 0.9) / (1 - 0.9**step)
    adai.step()
    momentum.step()
moved = (other - start).abs().max().item()
print(
    f"after 20 steps of up to {moved:.2g} in all, the two differ by {(own - other).abs().max().item():.1g}"
)

# %% [markdown]
# ## Inertia follows the noise
#
# A network trained by Adai, then stopped. v̂ holds the variance s² of the noise and the square of the mean gradient, averaged over the last hundred steps. Without the latter, the newest gradient's weight 1 − β₁ would be β₀ s² / v̄: the line.

# %%
folder = Path(os.environ.get("NOISE_LENS_RUNS", "../runs")) / "found-digits"
few = ("sgd-momentum", "adam", "adai")
run = read_or_train(folder, few, ("gradient", "momentum", "update"))
rows = {row.optimizer: row for row in contrasts.comparison_table(run)}
n_steps, n_minibatches = (2000, 1024) if is_finished(folder) else (200, 256)

task = load_task("digits-mlp")
model = task.build_model(0)
adai = nl.optim.create("adai", model.parameters(), lr=rows["adai"].learning_rates[0])
torch.manual_seed(0)
loader = DataLoader(task.data, batch_size=32, shuffle=True, drop_last=True)
step = 0
while step < n_steps:
    for batch in loader:
        adai.zero_grad()
        task.loss(model, batch).backward()
        adai.step()
        step += 1

trained = replace(task, model=model)
sketch = nl.measure(trained, n_minibatches=n_minibatches, reference="full", groups="tensor").sketch
parameters = dict(model.named_parameters())
second = {name: adai.state[p]["exp_avg_sq"].flatten() for name, p in parameters.items()}
mean = torch.cat(list(second.values())).mean()
newest = {name: (0.1 * v / mean).clip(1e-3, 1).numpy() for name, v in second.items()}

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
scales = []
for place, group in enumerate(group for group in sketch.groups if group.name != "all"):
    scales.append(group.coordinates.std(axis=0))
    weight = [newest[sketch.tensors[tensor]][index] for tensor, index in group.positions]
    look = {**series_look(place), "linestyle": ""}
    ax.plot(scales[-1], weight, ms=3.5, alpha=0.7, label=group.name, **look)
largest = np.concatenate(scales).max()
s = np.geomspace(1e-3 * largest, largest, 200)
unbiased = mean.item() / (1 - 0.99**step)
ax.plot(s, np.clip(0.1 * s**2 / unbiased, 1e-3, 1), color="0.3", lw=1, label="β₀ s² / v̄, clipped")
ax.axhline(0.1, color="0.5", ls=":", label="SGD with momentum 0.9")
ax.set(xscale="log", yscale="log", xlim=(s[0], 1.3 * largest))
ax.set(
    xlabel="standard deviation s of a coordinate's noise",
    ylabel="weight of the newest gradient, 1 − β₁",
)
ax.legend(fontsize=8)
every = np.concatenate(list(newest.values()))
print(
    f"of all {len(every):,} coordinates {np.mean(every <= 1e-3):.0%} have the longest memory, {np.mean(every >= 1):.1%} have none"
)
print(
    f"of {sum(map(len, scales))} sampled ones {sum((own < s[0]).sum() for own in scales)} have less noise than is drawn"
)

# %% [markdown]
# So the noisiest coordinates are averaged least. `momentum` below uses β = 0.9 for all coordinates, which is Adai's where all second moments are equal; its own memory is in `update`.
#
# ## Its tails
#
# Raw noise at each optimizer's weights, and each optimizer's own step, with 95 % intervals over seeds.

# %%
looks = {name: series_look(place) for place, name in enumerate(few)}


def curves(view, of):
    return [one for one in tail_curves(run, view=view, of=of) if one.optimizer in few]


fig, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained", sharey=True)
for row, view in zip(axes, ("gradient", "update"), strict=True):
    for ax, of in zip(row, ("coordinates", "projections"), strict=True):
        plot_tail_over_training(curves(view, of), ax=ax, looks=looks)
        ax.set_title(f"{view}, {of}")
axes[0, 0].legend(fontsize=8)
fig.align_ylabels()

# %%
pd.DataFrame(
    {
        "learning rate": [rows[name].learning_rates[0] for name in few],
        "test accuracy": [number(rows[name].metrics["test/accuracy"], digits=3) for name in few],
        **{
            f"{view}, {of}": [rows[name].row()[f"{view}/{of}/verdicts"] for name in few]
            for view in ("gradient", "update")
            for of in ("coordinates", "projections")
        },
    },
    index=few,
)

# %% [markdown]
# ## Against SGD with momentum
#
# Paired by seed, at the last step.

# %%
every = [one for one in contrasts.differences(run, baseline="sgd-momentum") if one.optimizer in few]
last = max(one.at for one in every)
alphas = [one for one in every if one.at == last and one.quantity == "alpha"]
accuracy = [one for one in every if one.at == last and one.quantity == "test/accuracy"]
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=(4, 3))
plot_differences(alphas, ax=axes[0], looks=looks)
plot_differences(accuracy, ax=axes[1], looks=looks)
axes[0].legend(fontsize=8)
axes[0].set_title("tails")
axes[1].set_title("test accuracy")

# %%
for one in accuracy:
    print(said(one))
print(of_many([*alphas, *accuracy]))
pd.DataFrame(in_columns({f"α at step {last:,}": alphas}))

# %% [markdown]
# One task, one network, one batch size. α below 2 alone is no evidence of heavy tails: the verdicts say what becomes of sums.
