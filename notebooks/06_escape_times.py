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
# # Escape times
#
# Zhou et al. (2020) explain why SGD generalizes better than Adam by how fast each leaves a sharp basin, if its noise is α-stable. A diffusion (α = 2) has to climb out, and its mean escape time grows exponentially in 1/ε². A stable process jumps out at once, and its time grows like ε^−α. Here: the theorem, its constant, simulations that hold or break it, and what it says of a measured network.

# %%
import tempfile

import matplotlib.pyplot as plt
import pandas as pd
import torch

import noise_lens as nl
from noise_lens.figures import EscapePoint, plot_escape_law, plot_escape_scaling
from noise_lens.prediction import curvature_of_run, predict
from noise_lens.theory import escape, levy

torch.set_num_threads(1)
well = escape.Interval(-1, 1)


def potential(x):
    return (x**2).sum(-1) / 2


def system(alpha, epsilon):
    return levy.gradient_system(lambda x: x, alpha=alpha, epsilon=epsilon)


# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
for ax, alpha, epsilon in zip(axes, (2.0, 1.5), (0.3, 0.08), strict=True):
    paths = levy.simulate(
        system(alpha, epsilon), 0.0, n_steps=3000, step_size=0.05, n_paths=3, keep_every=1, seed=2
    )
    ax.plot(paths.times, paths.positions[..., 0], lw=0.7)
    ax.axhspan(-1, 1, color="0.9", zorder=0)
    ax.set(xlabel="time", title=f"α = {alpha:g}, ε = {epsilon}", ylim=(-3, 3))
label = axes[0].set_ylabel("x")

# %% [markdown]
# ## The theorem, with its constant
#
# A jump of the standard symmetric law above r comes at rate (c/α) r^−α, with c = Γ(1+α) sin(πα/2)/π. The interval (−1, 1) is left to both sides, so that for small ε E τ → 1 / rate = α / (2 c ε^α). Zhou's Theorem 1 writes the same as 1 / (m(W) Θ(1/ε)) with Θ = (2/α) ε^α, which takes c = 1.

# %%
for alpha in (1.2, 1.5, 1.8):
    print(f"α = {alpha}:", escape.predicted_escape_time(well, alpha=alpha, epsilon=0.02))

# %% [markdown]
# Simulated: Euler's scheme, looked at after every step, on 3000 paths. The ratio to the limit goes to 1 as ε does.

# %%
points, law = [], None
for alpha, sizes in {1.2: (0.1, 0.05, 0.025), 1.5: (0.1, 0.06, 0.035)}.items():
    for epsilon in sizes:
        limit = escape.predicted_escape_time(well, alpha=alpha, epsilon=epsilon).mean_time
        times = escape.escape_times(
            system(alpha, epsilon), well, 0.0, n_paths=3000, step_size=0.04, max_time=20 * limit
        )
        mean = times.mean_with_error()
        points.append(EscapePoint(alpha, epsilon, mean.value, mean.standard_error, limit))
        law = (times, limit)
        print(f"α = {alpha}, ε = {epsilon}: {times}; limit {limit:.4g}")

# %%
fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
plot_escape_scaling(points, ax_ratio=axes[0], ax_time=axes[1])
plot_escape_law(law[0].times, law[1], ax=axes[2])
for ax in axes:
    ax.legend(fontsize=7)
title = axes[2].set_title(f"exponential? p = {law[0].exponential_test().pvalue:.2f}")

# %% [markdown]
# ## Diffusion climbs

# %%
rows = {}
for epsilon in (0.5, 0.4, 0.3, 0.2, 0.1):
    rows[epsilon] = {
        "α = 2, exact": escape.mean_exit_time(potential, well, epsilon=epsilon),
        "α = 2, Kramers": escape.kramers_exit_time(potential, well, epsilon=epsilon),
        "α = 1.5, limit": escape.predicted_escape_time(well, alpha=1.5, epsilon=epsilon).mean_time,
    }
pd.DataFrame(rows).T.rename_axis("ε").map("{:.3g}".format)

# %% [markdown]
# From ε = 0.3 to 0.1 a jump process takes five times as long, a diffusion 10¹⁸ times. Which of the two describes a training is decided by whether α < 2 *at the sizes of noise that leave the basin*, which no finite data set shows.
#
# ## SGD and Adam
#
# One basin with curvatures 1 and 16; noise larger along the steep direction, then along the flat one. Zhou: SGD's jumps are as large as its noise; Adam divides them by √v, and leaves at another rate, by the two Radon measures. "v held" is Adam without what a jump does to v. (In sharper basins and with more noise v matters, and [the order can reverse](../docs/theory/escape.md#where-theory-and-simulation-part).)

# %%
basin = escape.LevelSet([1.0, 16.0], height=0.5)
for scales in ([1.0, 4.0], [4.0, 1.0]):
    found = escape.compare_sgd_and_adam(
        basin, scales, alpha=1.5, epsilon=0.015, n_paths=400, step_size=0.02
    )
    print(f"noise scales {scales}\n{found}\n")

# %% [markdown]
# ## From a measured α to an escape time
#
# A run folder has α and noise scales, the loss has curvatures. What the formulas make of them is the last table; what the data violate stands first. Here a small probe of an untrained network: read the list.

# %%
with tempfile.TemporaryDirectory() as scratch:
    folder = f"{scratch}/digits"
    nl.measure("digits-mlp", n_minibatches=200, groups="all", out=folder)
    curvature_of_run(folder, "digits-mlp")
    print(predict(folder, learning_rate=0.1))

# %% [markdown]
# On a trained network the list is shorter but not empty, and the numbers miss what happens by orders of magnitude: [docs/theory/prediction.md](../docs/theory/prediction.md) has the example, with what really happened.
