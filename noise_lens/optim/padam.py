"""Padam: between AMSGrad and SGD with momentum by the power of the second moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from noise_lens.optim.foreach import Bucket, ForeachOptimizer, batches, decayed

_ROOTS = {2.0**-k: k for k in range(7)}


class Padam(ForeachOptimizer):
    """Partially adaptive momentum estimation (Chen et al., 2020).

    ::

        m     = beta1 m + (1 - beta1) g
        v     = beta2 v + (1 - beta2) g**2
        vmax  = max(vmax, v)
        theta = theta - lr sqrt(1 - beta2**t) / (1 - beta1**t) m / (sqrt(vmax) + e)**(2 p)

    with ``e = eps sqrt(1 - beta2**t)``. p = 1/2 is ``torch.optim.Adam(amsgrad=True)``, eps
    included; p -> 0 is SGD with an averaged gradient and the learning rate
    ``lr sqrt(1 - beta2**t) / (1 - beta1**t)``. The paper [1]_ has the rule of
    ``bias_correction=False``; its authors' code [2]_ corrects as above, whatever p is, with
    ``e = eps``.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    lr : float
        Learning rate, at least 0.
    betas : tuple of float
        Decay of the two moments, each in [0, 1).
    eps : float
        At least 0; the paper has none.
    weight_decay : float
        At least 0. Added to the gradient times the parameter (coupled, as in the authors' code),
        unless `decoupled`.
    p : float
        Power of the second moment, in (0, 1/2]. 1/4 is the default of the authors' code, 1/8
        their choice for CIFAR.
    bias_correction : bool
        False is the rule as the paper prints it: ``theta - lr m / (sqrt(vmax) + eps)**(2 p)``.
    decoupled : bool
        ``theta = theta (1 - lr weight_decay)`` before the step, as AdamW has it, in place of the
        term in the gradient.

    Raises
    ------
    ValueError
        An option is out of range, or a parameter is complex.

    Notes
    -----
    Where `eps` rounds to 0 in the dtype of a parameter (eps = 0, or 1e-8 in float16), a
    coordinate whose second moment is 0 is not moved; the formula would divide by 0.

    References
    ----------
    .. [1] J. Chen et al., Closing the generalization gap of adaptive gradient methods in training
       deep neural networks, IJCAI 2020. arXiv:1806.06763
    .. [2] uclaml/Padam, Padam.py, commit 26212ab.
    """

    _moments = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        p: float = 1 / 4,
        bias_correction: bool = True,
        decoupled: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "p": p,
            "bias_correction": bias_correction,
            "decoupled": decoupled,
        }
        self._check(defaults)
        super().__init__(params, defaults)

    def _move(self, bucket: Bucket) -> None:
        group = bucket.group
        beta1, beta2 = group["betas"]
        size, eps = group["lr"], group["eps"]
        if group["bias_correction"]:
            root = (1 - beta2**bucket.step) ** 0.5
            size, eps = size * root / (1 - beta1**bucket.step), eps * root
        numbers = torch.finfo(bucket.parameters[0].dtype)
        smallest = numbers.tiny * numbers.eps
        columns = [bucket.parameters, bucket.gradients, *bucket.moments]
        for _, (parameters, gradients, first, second, largest) in batches(columns):
            seen = decayed(gradients, parameters, bucket.decay)
            torch._foreach_lerp_(first, seen, 1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, seen, seen, 1 - beta2)
            torch._foreach_maximum_(largest, second)

            if group["decoupled"] and group["weight_decay"]:
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            below = list(torch._foreach_sqrt(largest))
            above = first
            if eps < smallest:  # 0 in this dtype
                above = list(torch._foreach_mul(torch._foreach_sign(largest), first))
                torch._foreach_clamp_min_(below, smallest)
            else:
                torch._foreach_add_(below, eps)
            _power_(below, 2 * group["p"])
            torch._foreach_addcdiv_(parameters, above, below, -size)


def _power_(tensors: list[Tensor], exponent: float) -> None:
    """Raise to a power in (0, 1], in place; roots of roots cost a sixth of a power each."""
    if exponent in _ROOTS:
        for _ in range(_ROOTS[exponent]):
            torch._foreach_sqrt_(tensors)
    else:
        torch._foreach_pow_(tensors, exponent)
