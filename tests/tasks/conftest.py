"""Small files in the formats of MNIST and CIFAR-10, written by the formats' own descriptions."""

from __future__ import annotations

import struct

import numpy as np
import pytest


def _write_mnist(folder, *, n_train=40, n_test=20, side=28, seed=0):
    """Write the four idx files, plain; returns {part: (images, labels)}."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for part, n in (("train", n_train), ("t10k", n_test)):
        images = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
        labels = np.arange(n, dtype=np.uint8) % 10
        # Magic numbers and big-endian sizes, as the page of the data set gives them.
        header = struct.pack(">iiii", 2051, n, side, side)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">ii", 2049, n)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
        made[part] = images, labels
    return made


def _write_cifar10(folder, *, n=8, n_test=10, seed=0):
    """Write the six binary files; returns {file name: (images, labels)}."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        count = n_test if name.startswith("test") else n
        images = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        records = b"".join(
            bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True)
        )
        (folder / name).write_bytes(records)
        made[name] = images, labels
    return made


@pytest.fixture
def write_mnist():
    return _write_mnist


@pytest.fixture
def write_cifar10():
    return _write_cifar10


@pytest.fixture
def mnist(tmp_path):
    """A folder of a small MNIST."""
    _write_mnist(tmp_path / "mnist")
    return tmp_path / "mnist"


@pytest.fixture
def cifar10(tmp_path):
    """A folder of a small CIFAR-10."""
    _write_cifar10(tmp_path / "cifar10")
    return tmp_path / "cifar10"
