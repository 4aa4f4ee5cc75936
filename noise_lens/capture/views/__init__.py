"""Which noise: what stands between a minibatch gradient and a row of a sketch."""

from noise_lens.capture.views.build import (
    VIEWS,
    build_views,
    check_views,
    common_reference,
    needs_beta,
    needs_optimizer,
)
from noise_lens.capture.views.momentum import window_of
from noise_lens.capture.views.view import View

__all__ = [
    "VIEWS",
    "View",
    "build_views",
    "check_views",
    "common_reference",
    "needs_beta",
    "needs_optimizer",
    "window_of",
]
