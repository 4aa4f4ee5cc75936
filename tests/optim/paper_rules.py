"""Every optimizer of the catalogue in NumPy, written from its paper's formulas alone.

`python benchmarks/optimizer_cost.py --equality` prints how far the optimizers are from these.

A rule takes the weights, one list of gradients a step, and one dict of options a tensor, and
yields the weights after each step. Tensors of one parameter group have the same options.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import noise_lens as nl


def decayed(weight, gradient, o):
    """Weight decay: into the gradient, or onto the weight."""
    if o.get("decoupled"):
        return weight * (1 - o["lr"] * o["weight_decay"]), gradient
    return weight, gradient + o["weight_decay"] * weight


def sgd(weights, steps, options):
    weights = list(weights)
    velocity = [None] * len(weights)
    for gradients in steps:
        for i, o in enumerate(options):
            w, g = decayed(weights[i], gradients[i], o)
            # torch's form: the first gradient enters the velocity whole, like every other.
            velocity[i] = g if velocity[i] is None else o.get("momentum", 0) * velocity[i] + g
            weights[i] = w - o["lr"] * velocity[i]
        yield list(weights)


def adam(weights, steps, options):
    """Adam; AMSGrad with the maximum taken before the bias correction, as torch has it."""
    weights = list(weights)
    m, v, top = ([np.zeros_like(w) for w in weights] for _ in range(3))
    for t, gradients in enumerate(steps, start=1):
        for i, o in enumerate(options):
            b1, b2 = o["betas"]
            w, g = decayed(weights[i], gradients[i], o)
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g**2
            top[i] = np.maximum(top[i], v[i])
            vhat = (top[i] if o.get("amsgrad") else v[i]) / (1 - b2**t)
            weights[i] = w - o["lr"] * m[i] / (1 - b1**t) / (np.sqrt(vhat) + o["eps"])
        yield list(weights)


def adal(weights, steps, options):
    """The secondary description of AdaL, with every reading that is an option."""
    weights = list(weights)
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t, gradients in enumerate(steps, start=1):
        pairs = [decayed(w, g, o) for w, g, o in zip(weights, gradients, options, strict=True)]
        total = sum(np.abs(g).sum() for _, g in pairs)
        count = sum(g.size for _, g in pairs)
        for i, o in enumerate(options):
            lr = o["lr"] / np.sqrt(t) if o.get("lr_decay") else o["lr"]
            w, g = decayed(weights[i], gradients[i], {**o, "lr": lr})
            whole = o.get("norm_scope", "tensor") == "global"
            size = total if whole else np.abs(g).sum()
            if o.get("norm", "l1") == "mean_abs":
                size = size / (count if whole else g.size)
            ghat = size * g
            b1, b2 = o["betas"]
            m[i] = b1 * m[i] + (1 - b1) * ghat
            v[i] = b2 * v[i] + (1 - b2) * ghat**2
            mhat, vhat = m[i] / (1 - b1**t), v[i] / (1 - b2**t)
            with np.errstate(divide="ignore", invalid="ignore"):
                if o.get("eps_mode", "outside") == "outside":
                    change = (vhat**-0.5 + o["eps"]) * mhat
                else:
                    change = mhat / (np.sqrt(vhat) + o["eps"])
            weights[i] = w - lr * np.where(vhat > 0, change, 0)
        yield list(weights)


def padam(weights, steps, options):
    weights = list(weights)
    m, v, top = ([np.zeros_like(w) for w in weights] for _ in range(3))
    for t, gradients in enumerate(steps, start=1):
        for i, o in enumerate(options):
            b1, b2 = o["betas"]
            w, g = decayed(weights[i], gradients[i], o)
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g**2
            top[i] = np.maximum(top[i], v[i])
            p = o.get("p", 1 / 4)
            if o.get("bias_correction", True):
                root = np.sqrt(1 - b2**t)
                size = o["lr"] * root / (1 - b1**t)
                weights[i] = w - size * m[i] / (np.sqrt(top[i]) + o["eps"] * root) ** (2 * p)
            else:
                weights[i] = w - o["lr"] * m[i] / (np.sqrt(top[i]) + o["eps"]) ** (2 * p)
        yield list(weights)


def adai(weights, steps, options):
    """Adaptive inertia; the mean second moment is one number for all tensors and groups."""
    weights = list(weights)
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    product = [np.ones_like(w) for w in weights]
    for t, gradients in enumerate(steps, start=1):
        seen, vhat = [], []
        for i, o in enumerate(options):
            weights[i], g = decayed(weights[i], gradients[i], o)
            v[i] = o["betas"][1] * v[i] + (1 - o["betas"][1]) * g**2
            seen.append(g)
            vhat.append(v[i] / (1 - o["betas"][1] ** t))
        mean = sum(x.sum() for x in vhat) / sum(x.size for x in vhat)
        for i, o in enumerate(options):
            inertia = np.clip(1 - o["betas"][0] * vhat[i] / mean, 0, 1 - o["eps"])
            m[i] = inertia * m[i] + (1 - inertia) * seen[i]
            product[i] = product[i] * inertia
            weights[i] = weights[i] - o["lr"] * m[i] / (1 - product[i])
        yield list(weights)


def yogi(weights, steps, options):
    """Algorithm 2 from m = v = 0, with Adam's bias correction."""
    weights = list(weights)
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t, gradients in enumerate(steps, start=1):
        for i, o in enumerate(options):
            b1, b2 = o["betas"]
            w, g = decayed(weights[i], gradients[i], o)
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = v[i] - (1 - b2) * np.sign(v[i] - g**2) * g**2
            mhat, vhat = m[i] / (1 - b1**t), v[i] / (1 - b2**t)
            weights[i] = w - o["lr"] * mhat / (np.sqrt(vhat) + o["eps"])
        yield list(weights)


def adabound(weights, steps, options):
    """The rule of the authors' code: bias-corrected, and no 1 / sqrt(t)."""
    weights = list(weights)
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t, gradients in enumerate(steps, start=1):
        for i, o in enumerate(options):
            b1, b2 = o["betas"]
            w, g = decayed(weights[i], gradients[i], o)
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g**2
            low = o["final_lr"] * (1 - 1 / (o["gamma"] * t + 1))
            high = o["final_lr"] * (1 + 1 / (o["gamma"] * t))
            rate = o["lr"] * np.sqrt(1 - b2**t) / (1 - b1**t) / (np.sqrt(v[i]) + o["eps"])
            weights[i] = w - np.clip(rate, low, high) * m[i]
        yield list(weights)


_ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}
_ADAI = {"betas": (0.1, 0.99), "eps": 1e-3}
# Name -> rule, and the defaults of the paper or of its authors' code.
RULES = {
    "sgd": (sgd, {"lr": 0.1}),
    "sgd-momentum": (sgd, {"lr": 0.01, "momentum": 0.9}),
    "adam": (adam, {"lr": 1e-3, **_ADAM}),
    "amsgrad": (adam, {"lr": 1e-3, "amsgrad": True, **_ADAM}),
    "adamw": (adam, {"lr": 1e-3, "decoupled": True, **_ADAM}),
    "adal": (adal, {"lr": 1e-3, **_ADAM}),
    "padam": (padam, {"lr": 0.1, **_ADAM}),
    "adai": (adai, {"lr": 0.1, **_ADAI}),
    "adaiw": (adai, {"lr": 0.1, "decoupled": True, **_ADAI}),
    "yogi": (yogi, {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-3}),
    "adabound": (adabound, {"lr": 1e-3, "final_lr": 0.1, "gamma": 1e-3, **_ADAM}),
}
# What an optimizer calls weight decay that is not in the gradient; the others have no such option.
DECOUPLED = {
    "adal": "decoupled",
    "padam": "decoupled",
    "yogi": "weight_decouple",
    "adabound": "weight_decouple",
}
SHAPES = [(3, 4), (5,), (), (2, 3, 2)]


def case(scale, n_steps=20, seed=0):
    """Weights of four tensors of unequal gradients, some of which are exactly 0."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(s) for s in SHAPES]
    sizes = scale * np.array([1.0, 0.1, 3.0, 0.01])
    steps = [
        [np.asarray(size * rng.standard_normal(s)) for s, size in zip(SHAPES, sizes, strict=True)]
        for _ in range(n_steps)
    ]
    for gradients in steps:
        gradients[1][2] = 0
    return weights, steps


def trained(optimizer, parameters, steps):
    """Step with given gradients, and yield the weights after each step."""
    for gradients in steps:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient, dtype=parameter.dtype)
        optimizer.step()
        yield [parameter.detach().numpy().copy() for parameter in parameters]


def deviation(name, *, weight_decay=0.0, decoupled=False, scale=1.0, second_lr=0.5, **options):
    """Return the largest difference from the rule in 20 steps of float64, two groups."""
    rule, defaults = RULES[name]
    weights, steps = case(scale)
    parameters = [nn.Parameter(torch.tensor(w)) for w in weights]
    lr = options.get("lr", defaults["lr"])
    groups = [{"params": parameters[:2]}, {"params": parameters[2:], "lr": second_lr * lr}]
    given = dict(options, weight_decay=weight_decay)
    if name in DECOUPLED:
        given[DECOUPLED[name]] = decoupled
    own = {**defaults, **options, "weight_decay": weight_decay}
    if decoupled:
        own["decoupled"] = True
    each = [own, own, {**own, "lr": second_lr * lr}, {**own, "lr": second_lr * lr}]
    found = trained(nl.optim.create(name, groups, **given), parameters, steps)
    pairs = zip(found, rule(weights, steps, each), strict=True)
    return max(np.abs(a - b).max() for one, other in pairs for a, b in zip(one, other, strict=True))


def table():
    """Return name -> largest deviation over weight decay of both kinds and two scales."""
    return {
        name: max(
            deviation(name, weight_decay=decay, decoupled=decoupled, scale=scale)
            for decay in (0.0, 0.1)
            for decoupled in ((False, True) if name in DECOUPLED else (False,))
            for scale in (1.0, 1e-3)
        )
        for name in RULES
    }
