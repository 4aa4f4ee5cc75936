"""Seeds that are functions of names, so that ranks and shards agree without talking."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *names: str) -> int:
    """Return a 63-bit seed that depends on `seed` and `names` and on nothing else.

    Parameters
    ----------
    seed : int
        The run's seed.
    *names : str
        What the seed is for.

    Returns
    -------
    int
        The same on every machine.
    """
    text = "\0".join([str(seed), *names]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
