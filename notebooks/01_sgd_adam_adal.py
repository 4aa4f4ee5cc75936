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
# # SGD, Adam, AdaL: does the optimizer change the tail?
#
# One network on scikit-learn's digits. For a seed, all optimizers start at the same weights and see the same minibatches; learning rates are the best of a grid on data held out for that. Now and then training stops, and thousands of minibatch gradients are drawn at those weights.

# %%
import os
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from run_folders import read_or_train
from sentences import in_columns, of_many, said

from noise_lens import contrasts
from noise_lens.figures import (
    plot_differences,
    plot_tail_over_training,
    plot_training,
    published_curves,
    seed_points,
    series_look,
    tail_curves,
)
from noise_lens.inference.verdict import ASSUMPTION, WORDS

OPTIMIZERS = ("sgd", "adam", "adal")
KINDS = ("coordinates", "projections")
looks = {name: series_look(number) for number, name in enumerate(OPTIMIZERS)}
folder = Path(os.environ.get("NOISE_LENS_RUNS", "../runs")) / "found-digits"
run = read_or_train(folder, OPTIMIZERS, ("gradient", "momentum", "update"), published=True)

# %% [markdown]
# ## Raw noise at each optimizer's weights
#
# The tail index α of single minibatches, with 95 % intervals over seeds. *Coordinates* are single parameters, *projections* random sums of all of them: under a stable law both have the same α. Right: the mean and the range over seeds.


# %%
def curves(view, of):
    return [one for one in tail_curves(run, view=view, of=of) if one.optimizer in OPTIMIZERS]


fig, axes = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained")
for ax, of in zip(axes[:2], KINDS, strict=True):
    plot_tail_over_training(curves("gradient", of), ax=ax, looks=looks)
    ax.set_title(f"gradient, {of}")
steps = curves("gradient", "coordinates")[0].steps
points = {step: seed_points(run, of="coordinates", step=step) for step in steps}
for name, look in looks.items():
    values = [[one.value for one in points[step] if one.optimizer == name] for step in steps]
    plot_training(steps, values, ylabel="test accuracy", ax=axes[2], **look)
axes[2].set_title("the same runs")
axes[1].legend(fontsize=8, loc="lower left")
axes[1].sharey(axes[0])

# %% [markdown]
# ## The noise that each optimizer moves with
#
# *momentum*: averages of 22 independent minibatches, weighted as the first moment weighs them. SGD has none; its line is the same average of its noise, and shows what averaging alone does; AdaL averages ‖g‖₁ g. *update*: the optimizer's own next step from its state; the past is what it was, and only the newest gradient varies. SGD's step is its gradient times a constant, so its α is that of the raw noise.

# %%
fig, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained", sharey=True)
for row, view in zip(axes, ("momentum", "update"), strict=True):
    for ax, of in zip(row, KINDS, strict=True):
        plot_tail_over_training(curves(view, of), ax=ax, looks=looks)
        ax.set_title(f"{view}, {of}")
axes[0, 0].legend(fontsize=8)
fig.align_ylabels()

# %% [markdown]
# ## Verdicts
#
# **α below 2 alone is no evidence of heavy tails**: any noise with occasional large values reads so at one batch size. A verdict looks at what happens to α when minibatches are summed. Fewer than 200 averages have none.

# %%
rows = [row for row in contrasts.comparison_table(run) if row.optimizer in OPTIMIZERS]
judged = [(view, of) for view in ("gradient", "update") for of in KINDS]
pd.DataFrame(
    {
        "learning rate": [row.learning_rates[0] for row in rows],
        "test accuracy": [round(row.metrics["test/accuracy"].mean, 3) for row in rows],
        **{
            f"{view}, {of}": [row.row()[f"{view}/{of}/verdicts"] for row in rows]
            for view, of in judged
        },
    },
    index=[row.optimizer for row in rows],
)

# %%
for label in sorted(
    {label for row in rows for place in judged for label in row.tails[place].verdicts}
):
    print(f"{label}: {WORDS[label]}; the heavy-tailed assumption is {ASSUMPTION[label]}")

# %% [markdown]
# ## The published estimator on the same noise
#
# The curves of the literature come from one number: all entries of the gradient noise pooled into one sample. It [reads below 2 on Gaussian noise, too](../docs/published-estimator.md), wherever parameters have different scales.

# %%
published = [one for one in published_curves(run) if one.optimizer in OPTIMIZERS]
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained", sharey=True)
plot_tail_over_training(
    curves("gradient", "coordinates"),
    published=published,
    ax=axes[0],
    published_ax=axes[1],
    looks=looks,
)
axes[0].legend(fontsize=8, loc="lower left")
axes[0].set_title("ours, of coordinates\n(each at its own scale)", fontsize=9)

# %% [markdown]
# ## Differences from SGD, paired by seed
#
# The same view is compared with the same view. Left after the same steps; right at the lowest training loss that the probes of both enclose: a difference that is gone there was progress.

# %%
every = [one for one in contrasts.differences(run) if one.optimizer in OPTIMIZERS]
last = max(one.at for one in every)
by_step = [one for one in every if one.at == last and one.quantity == "alpha"]
lowest = {}  # places come with falling loss: the last one that all seeds reach stays
for one in contrasts.differences(run, matched_by="loss"):
    if one.quantity == "alpha" and one.n and not one.n_unmatched:
        lowest[one.optimizer, one.view, one.of] = one
by_loss = [lowest[key] for one in by_step if (key := (one.optimizer, one.view, one.of)) in lowest]

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharex=True)
plot_differences(by_step, ax=axes[0], looks=looks)
axes[0].set_title(f"at step {last:,}")
axes[0].legend(fontsize=8)
if by_loss:
    plot_differences([replace(one, at=0) for one in by_loss], ax=axes[1], looks=looks)
axes[1].set_title("at equal training loss")

# %% [markdown]
# ## What may be claimed
#
# A claim takes 5 seeds and an interval without 0; none is made where most probes reach 2 and so are not told from Gaussian noise. It is about this task, network, batch size and these learning rates.

# %%
accuracy = [one for one in every if one.at == last and one.quantity == "test/accuracy"]
for one in accuracy:
    print(said(one))
for name, loss in {one.optimizer: one.at for one in by_loss}.items():
    print(f"{name} and sgd have an equal training loss at {loss:.2g}")
print(of_many([*by_step, *by_loss, *accuracy]))
pd.DataFrame(in_columns({f"α at step {last:,}": by_step, "α at equal loss": by_loss}))

# %% [markdown]
# Whether a lighter tail of averages is the optimizer's doing: [what averaging does](02_what_averaging_does.ipynb).
