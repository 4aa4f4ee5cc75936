"""The reader of CIFAR-10's files: what it returns, and what it says of folders it cannot read."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest

import noise_lens as nl
from noise_lens.tasks.vision import read_cifar10

FIRST, TEST = "data_batch_1.bin", "test_batch.bin"


def refusal(folder):
    with pytest.raises(nl.TaskError) as caught:
        read_cifar10(folder)
    return str(caught.value)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_what_was_written_is_read(tmp_path, write_cifar10):
    made = write_cifar10(tmp_path)
    train, test = read_cifar10(tmp_path)
    names = sorted(made)[:5]
    assert np.array_equal(train.images, np.concatenate([made[name][0] for name in names]))
    assert np.array_equal(train.labels, np.concatenate([made[name][1] for name in names]))
    assert np.array_equal(test.images, made[TEST][0])
    assert np.array_equal(test.labels, made[TEST][1])
    assert train.images.flags.writeable
    assert test.images.flags.writeable


def test_the_first_byte_is_the_label_and_red_comes_first(cifar10):
    record = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([3]) * 1024
    (cifar10 / TEST).write_bytes(record)
    _, test = read_cifar10(cifar10)
    assert test.labels.tolist() == [7]
    assert test.images[0].mean(axis=(1, 2)).tolist() == [1, 2, 3]


def test_the_folder_as_it_unpacks(cifar10, tmp_path):
    shutil.copytree(cifar10, tmp_path / "root" / "cifar-10-batches-bin")
    assert len(read_cifar10(tmp_path / "root")[0].labels) == 40


def test_nothing_was_given():
    said = refusal(None)
    assert "CIFAR-10 is read from a folder of yours, and none was given" in said
    assert "--task-arg data=FOLDER" in said


def test_no_folder(tmp_path, cifar10):
    assert f"there is no folder {tmp_path / 'nowhere'}" in refusal(tmp_path / "nowhere")
    assert "is a file" in refusal(cifar10 / TEST)


def test_incomplete(cifar10):
    (cifar10 / "data_batch_3.bin").unlink()
    (cifar10 / TEST).unlink()
    assert f"without data_batch_3.bin, {TEST}; it holds {FIRST}" in refusal(cifar10)


def test_the_python_version_is_never_read(tmp_path):
    """Not the files, whose names differ, and not one that was renamed."""
    sprung = tmp_path / "sprung"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    for named in (folder, tmp_path):
        said = refusal(named)
        assert "the Python version, whose files are pickles" in said
        assert "cifar-10-binary.tar.gz" in said
    for path in list(folder.iterdir()):
        path.rename(path.with_name(f"{path.name}.bin"))
    assert "looks like a pickle, which is never read" in refusal(folder)
    assert not sprung.exists()


def test_what_else_it_may_be(tmp_path):
    (tmp_path / "train.bin").write_bytes(b"")
    assert "looks like CIFAR-100" in refusal(tmp_path)
    (tmp_path / "train.bin").rename(tmp_path / "cifar-10-binary.tar.gz")
    assert "Unpack cifar-10-binary.tar.gz first" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 3072, 3074])
def test_not_whole_records(cifar10, keep):
    content = (cifar10 / FIRST).read_bytes()
    (cifar10 / FIRST).write_bytes(content[:keep])
    assert f"records of 3073 bytes, and has {keep} bytes. Copy the file again." in refusal(cifar10)


def test_cut_off_between_records(cifar10):
    content = (cifar10 / "data_batch_4.bin").read_bytes()
    (cifar10 / "data_batch_4.bin").write_bytes(content[: 5 * 3073])
    assert "and hold 8, 8, 8, 5, 8" in refusal(cifar10)


def test_a_label_that_is_no_class(cifar10):
    content = bytearray((cifar10 / FIRST).read_bytes())
    content[2 * 3073] = 10
    (cifar10 / FIRST).write_bytes(content)
    said = refusal(cifar10)
    assert "1 of its 8 labels are not among the 10 classes of CIFAR-10" in said
    assert "first label 10 of example 2" in said


@pytest.mark.parametrize("name", ["data_batch_5.bin", TEST])
def test_one_file_under_two_names(cifar10, name):
    shutil.copy(cifar10 / "data_batch_2.bin", cifar10 / name)
    assert f"the same 8 images as data_batch_2.bin and as {name}" in refusal(cifar10)
