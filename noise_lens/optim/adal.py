"""AdaL: Adam on gradients that are scaled by their own l1 norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer


class AdaL(Optimizer):
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
        Added to the gradient times the parameter before the norm is taken (coupled).
    norm_scope : {"tensor", "global"}
        The norm of each tensor's own gradient, or of the whole gradient.
    norm : {"l1", "mean_abs"}
        Sum or mean of the magnitudes.
    lr_decay : bool
        ``lr / sqrt(t)``. The secondary source has it; it may belong to the proof alone.
    eps_mode : {"outside", "adam"}
        ``vhat**-1/2 + eps`` as the source has it, or ``1 / (sqrt(vhat) + eps)`` as Adam has.

    Raises
    ------
    ValueError
        An option is out of range.

    Notes
    -----
    A coordinate whose second moment is still exactly zero is not moved: the formula would give
    0 times infinity. A constant factor in the loss cancels for eps = 0.

    References
    ----------
    .. [1] H. Zhang et al., arXiv:2107.01525, 2021.
    .. [2] junaidaliop/zij, canon/math/adal.md, commit 00728ec.
    """

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
    ) -> None:
        if lr < 0:
            raise ValueError(f"lr must be at least 0, got {lr}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must lie in [0, 1), got {betas}")
        if eps < 0 or weight_decay < 0:
            raise ValueError(
                f"eps and weight_decay must be at least 0, got {eps} and {weight_decay}"
            )
        for option, value, allowed in (
            ("norm_scope", norm_scope, ("tensor", "global")),
            ("norm", norm, ("l1", "mean_abs")),
            ("eps_mode", eps_mode, ("outside", "adam")),
        ):
            if value not in allowed:
                raise ValueError(f"{option} must be one of {', '.join(allowed)}; got {value!r}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "norm_scope": norm_scope,
            "norm": norm,
            "lr_decay": lr_decay,
            "eps_mode": eps_mode,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew.

        Returns
        -------
        float or None
            What `closure` returned.

        Raises
        ------
        RuntimeError
            A gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [self._gradients(group) for group in self.param_groups]
        total = _global_norm([g for part in gradients for g in part])
        for group, part in zip(self.param_groups, gradients, strict=True):
            parameters = [p for p in group["params"] if p.grad is not None]
            for parameter, gradient in zip(parameters, part, strict=True):
                self._update(parameter, gradient, group, total)
        return loss

    def _gradients(self, group: dict[str, Any]) -> list[Tensor]:
        gradients = []
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            if parameter.grad.is_sparse:
                raise RuntimeError("AdaL does not take sparse gradients; use sparse=False")
            gradient = parameter.grad
            if group["weight_decay"]:
                gradient = gradient.add(parameter, alpha=group["weight_decay"])
            gradients.append(gradient)
        return gradients

    def _update(
        self,
        parameter: Tensor,
        gradient: Tensor,
        group: dict[str, Any],
        total: tuple[Tensor, int] | None,
    ) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        step = state["step"]
        beta1, beta2 = group["betas"]

        if group["norm_scope"] == "global" and total is not None:
            norm, numel = total[0].to(gradient), total[1]
        else:
            norm, numel = gradient.abs().sum(), gradient.numel()
        scaled = gradient * (norm / numel if group["norm"] == "mean_abs" else norm)
        state["exp_avg"].lerp_(scaled, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(scaled, scaled, value=1 - beta2)

        first = state["exp_avg"] / (1 - beta1**step)
        root = (state["exp_avg_sq"] / (1 - beta2**step)).sqrt_()
        learning_rate = group["lr"] / step**0.5 if group["lr_decay"] else group["lr"]
        if group["eps_mode"] == "adam":
            change = first / (root + group["eps"])
        else:
            change = first * (1 / root + group["eps"])
        # A zero second moment gives no update, where the formula gives 0 / 0.
        parameter.sub_(torch.where(root > 0, change, 0.0), alpha=learning_rate)


def _global_norm(gradients: list[Tensor]) -> tuple[Tensor, int] | None:
    if not gradients:
        return None
    device = gradients[0].device
    sums = [gradient.abs().sum().to(device) for gradient in gradients]
    return torch.stack(sums).sum(), sum(gradient.numel() for gradient in gradients)
