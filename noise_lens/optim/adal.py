"""AdaL: Adam on gradients that are scaled by their own l1 norm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from noise_lens.optim.foreach import (
    HALVES,
    Bucket,
    ForeachOptimizer,
    batches,
    decayed,
    l1_norms,
    refuse_sparse,
)
from noise_lens.optim.options import check_choice


class AdaL(ForeachOptimizer):
    """AdaL of Zhang et al. (2021), reimplemented from a secondary description.

    ::

        ghat  = ||g||_1 g
        m     = beta1 m + (1 - beta1) ghat
        v     = beta2 v + (1 - beta2) ghat**2
        theta = theta - lr (vhat**-1/2 + eps) mhat      mhat, vhat: bias-corrected

    The paper [1]_ has no released code, and no full text of it was at hand. The rule is that of
    one secondary source [2]_; what that source leaves open is an option here, and the defaults
    are choices of this project, not of the paper. Results belong to this reading of AdaL.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    lr : float
        Learning rate, at least 0. The paper's default is not known.
    betas : tuple of float
        Decay of the two moments, each in [0, 1). Adam's values; the paper's are not known.
    eps : float
        At least 0; where it is added says `eps_mode`.
    weight_decay : float
        At least 0. Added to the gradient times the parameter before the norm is taken (coupled),
        unless `decoupled`.
    norm_scope : {"tensor", "global"}
        The norm of each tensor's own gradient, or of the whole gradient.
    norm : {"l1", "mean_abs"}
        Sum or mean of the magnitudes. In float16 the squares of sums overflow: take the mean.
    lr_decay : bool
        ``lr / sqrt(t)``. The secondary source has it; it may belong to the proof alone.
    eps_mode : {"outside", "adam"}
        ``vhat**-1/2 + eps`` as the source has it, or ``1 / (sqrt(vhat) + eps)`` as Adam has.
    decoupled : bool
        ``theta = theta (1 - lr weight_decay)`` before the step, as AdamW has it, in place of the
        term in the gradient.

    Raises
    ------
    ValueError
        An option is out of range, or a parameter is complex.

    Notes
    -----
    Where a second moment is below the smallest normal number of its dtype, that number stands
    for it: the formula would give 0 times infinity on a coordinate without gradients, and here
    it does not move. A constant factor in the loss cancels for eps = 0.

    References
    ----------
    .. [1] H. Zhang et al., arXiv:2107.01525, 2021.
    .. [2] junaidaliop/zij, canon/math/adal.md, commit 00728ec.
    """

    _moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        norm_scope: Literal["tensor", "global"] = "tensor",
        norm: Literal["l1", "mean_abs"] = "l1",
        lr_decay: bool = False,
        eps_mode: Literal["outside", "adam"] = "outside",
        decoupled: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "norm_scope": norm_scope,
            "norm": norm,
            "lr_decay": lr_decay,
            "eps_mode": eps_mode,
            "decoupled": decoupled,
        }
        self._check(defaults)
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("decoupled", False)

    def _check(self, options: Mapping[str, Any]) -> None:
        super()._check(options)
        check_choice("norm_scope", options["norm_scope"], ("tensor", "global"))
        check_choice("norm", options["norm"], ("l1", "mean_abs"))
        check_choice("eps_mode", options["eps_mode"], ("outside", "adam"))

    @torch.no_grad()
    def transformed(self, gradients: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
        """Return what the moments would see of these gradients: each times its norm.

        No state is read or changed, and weight decay is not added.

        Parameters
        ----------
        gradients : mapping
            Parameter -> gradient. For ``norm_scope="global"`` the norm is that of all of them.

        Returns
        -------
        dict
            Parameter -> new tensor, in the order of `gradients`.

        Raises
        ------
        ValueError
            A parameter is not of this optimizer.
        RuntimeError
            A gradient is sparse.
        """
        home = {p: group for group in self.param_groups for p in group["params"]}
        refuse_sparse(iter(gradients.values()), type(self).__name__)
        found: dict[Any, Bucket] = {}
        for parameter, gradient in gradients.items():
            if parameter not in home:
                raise ValueError(
                    f"a parameter of shape {tuple(parameter.shape)} is not of this AdaL; give it "
                    "to the optimizer, or leave it out"
                )
            group = home[parameter]
            key = (id(group), gradient.device, gradient.dtype)
            bucket = found.setdefault(key, Bucket(group, step=0))
            bucket.parameters.append(parameter)
            bucket.gradients.append(gradient)
        self._prepare(list(found.values()))
        scaled = {
            parameter: ghat
            for bucket in found.values()
            for parameter, ghat in zip(
                bucket.parameters, _scaled(bucket.gradients, bucket.scales), strict=True
            )
        }
        return {parameter: scaled[parameter] for parameter in gradients}

    def _prepare(self, buckets: Sequence[Bucket]) -> None:
        """Compute the factor of each gradient."""
        for bucket in buckets:
            bucket.scales = l1_norms(bucket)
        everywhere = [bucket for bucket in buckets if bucket.group["norm_scope"] == "global"]
        if everywhere:
            at = buckets[0].scales[0]
            total = torch.stack([norm.to(at) for b in buckets for norm in b.scales]).sum()
            for bucket in everywhere:
                bucket.scales = [total.to(norm) for norm in bucket.scales]
        count = sum(g.numel() for bucket in buckets for g in bucket.gradients)
        for bucket in buckets:
            if bucket.group["norm"] == "mean_abs":
                whole = bucket.group["norm_scope"] == "global"
                counts = [count if whole else max(g.numel(), 1) for g in bucket.gradients]
                bucket.scales = list(torch._foreach_div(bucket.scales, counts))

    def _move(self, bucket: Bucket) -> None:
        group = bucket.group
        beta1, beta2 = group["betas"]
        learning_rate = group["lr"] / bucket.step**0.5 if group["lr_decay"] else group["lr"]
        # lr mhat / sqrt(vhat) = size m / sqrt(v), and eps is measured in the same unit.
        root = (1 - beta2**bucket.step) ** 0.5
        size = learning_rate * root / (1 - beta1**bucket.step)
        floor = torch.finfo(bucket.parameters[0].dtype).tiny
        columns = [bucket.parameters, bucket.gradients, *bucket.moments]
        for rows, (parameters, gradients, first, second) in batches(columns):
            decaying = decayed(gradients, parameters, bucket.decay)
            ghat = _scaled(decaying, [bucket.scales[row] for row in rows])
            torch._foreach_lerp_(first, ghat, 1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, ghat, ghat, 1 - beta2)
            del ghat, decaying  # its memory is in the cache: the next temporary takes it

            if group["decoupled"] and group["weight_decay"]:
                torch._foreach_mul_(parameters, 1 - learning_rate * group["weight_decay"])
            below = torch._foreach_clamp_min(second, floor)
            torch._foreach_sqrt_(below)
            if group["eps_mode"] == "adam" and group["eps"]:
                torch._foreach_add_(below, group["eps"] * root)
            torch._foreach_addcdiv_(parameters, first, below, -size)
            if group["eps_mode"] == "outside" and group["eps"]:
                torch._foreach_add_(parameters, first, alpha=-size / root * group["eps"])


def _scaled(gradients: list[Tensor], scales: list[Tensor]) -> list[Tensor]:
    """Return each gradient times its factor."""
    if gradients[0].dtype in HALVES:
        # The factor may be beyond float16 where the product is not.
        return [(g.float() * s).to(g.dtype) for g, s in zip(gradients, scales, strict=True)]
    return list(torch._foreach_mul(gradients, scales))
