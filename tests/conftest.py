from __future__ import annotations

import os
import zlib

import numpy as np
import pytest
import torch

collect_ignore = ["typing"]  # for mypy alone

torch.set_num_threads(1)  # sums in another order are other numbers


@pytest.fixture
def rng(request):
    """A generator seeded by the test's own name: the same on every run and in any order."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available() or os.environ.get("NOISE_LENS_REQUIRE_GPU") == "1":
        return
    skip = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)
