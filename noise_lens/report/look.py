"""What all figures of a page share."""

from __future__ import annotations

from noise_lens.figures.style import plain
from noise_lens.figures.style import series_look as look

__all__ = ["look", "plain"]
