"""The command line of noise-lens: a skin over the library."""

from noise_lens_cli.main import main

__all__ = ["main"]
