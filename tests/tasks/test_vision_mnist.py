"""The reader of MNIST's files: what it returns, and what it says of folders it cannot read."""

from __future__ import annotations

import gzip
import shutil
import struct

import numpy as np
import pytest

import noise_lens as nl
from noise_lens.tasks.vision import read_mnist

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def refusal(folder):
    with pytest.raises(nl.TaskError) as caught:
        read_mnist(folder)
    return str(caught.value)


def pack(path):
    """Gzip a file in place, as the page of the data set offers it."""
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def edit(path, start, new):
    content = bytearray(path.read_bytes())
    content[start : start + len(new)] = new
    path.write_bytes(content)


def test_what_was_written_is_read(tmp_path, write_mnist):
    made = write_mnist(tmp_path)
    for part, read in zip(("train", "t10k"), read_mnist(tmp_path), strict=True):
        images, labels = made[part]
        assert np.array_equal(read.images, images[:, None])
        assert np.array_equal(read.labels, labels)
        assert read.images.dtype == read.labels.dtype == np.uint8
        assert read.images.flags.writeable


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_spellings(mnist, dotted, packed):
    expected = read_mnist(mnist)
    for path in list(mnist.iterdir()):
        spelled = path.with_name(path.name.replace("-idx", ".idx")) if dotted else path
        path.rename(spelled)
        if packed:
            pack(spelled)
    for one, other in zip(expected, read_mnist(str(mnist)), strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)


def test_the_plain_file_is_read_where_both_are(mnist):
    expected = read_mnist(mnist)[0]
    (mnist / f"{IMAGES}.gz").write_bytes(b"left by a download that broke off")
    assert np.array_equal(read_mnist(mnist)[0].images, expected.images)


def test_the_folder_of_another_library(mnist, tmp_path):
    for inside in ("raw", "MNIST/raw"):
        root = tmp_path / inside.replace("/", "-")
        shutil.copytree(mnist, root / inside)
        assert len(read_mnist(root)[0].labels) == 40


def test_home_is_expanded(mnist, monkeypatch):
    monkeypatch.setenv("HOME", str(mnist.parent))
    assert len(read_mnist("~/mnist")[1].labels) == 20


def test_nothing_was_given():
    said = refusal(None)
    assert "--task-arg data=FOLDER" in said
    assert f"It holds {IMAGES}, {LABELS}, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte" in said


def test_no_folder(tmp_path):
    assert refusal(tmp_path / "nowhere").startswith(f"there is no folder {tmp_path / 'nowhere'}.")
    assert "got int 2024; a name that reads as a number is written ./2024" in refusal(2024)


def test_a_file_instead_of_a_folder(mnist):
    assert "is a file" in refusal(mnist / IMAGES)
    assert "Unpack it" in refusal(pack(mnist / IMAGES))


def test_incomplete(mnist):
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    said = refusal(mnist)
    assert "without t10k-labels-idx1-ubyte, plain or .gz; it holds t10k-images-idx3-ubyte" in said
    (mnist / IMAGES).unlink()
    assert f"without {IMAGES} and t10k-labels-idx1-ubyte," in refusal(mnist)


def test_empty(tmp_path):
    assert "it is empty" in refusal(tmp_path)


def test_labels_under_the_name_of_images(mnist):
    shutil.copy(mnist / LABELS, mnist / IMAGES)
    said = refusal(mnist)
    assert "should begin with 00 00 08 03" in said
    assert "begins with 00 00 08 01: these are labels, under the name of images" in said


def test_another_magic_number(mnist):
    edit(mnist / IMAGES, 2, b"\x0d")  # floats
    assert "begins with 00 00 0d 03. Copy the file again." in refusal(mnist)
    (mnist / IMAGES).write_bytes(b"")
    assert "begins with nothing" in refusal(mnist)


def test_packed_without_saying_so(mnist):
    pack(mnist / IMAGES).rename(mnist / IMAGES)
    assert "it is gzipped, so that .gz belongs at the end of its name" in refusal(mnist)


@pytest.mark.parametrize("change", [-1, 1])
def test_another_size_than_the_header_promises(mnist, change):
    content = (mnist / IMAGES).read_bytes()
    (mnist / IMAGES).write_bytes(content[:-1] if change < 0 else content + b"\0")
    promised = 40 * 28 * 28
    said = refusal(mnist)
    assert f"header promises 40 x 28 x 28 bytes, and {promised + change} follow" in said


def test_cut_off_in_the_header(mnist):
    content = (mnist / LABELS).read_bytes()
    (mnist / LABELS).write_bytes(content[:6])
    assert f"{LABELS} is cut off inside its header: it has 6 bytes of 8" in refusal(mnist)


def test_a_cut_off_gzip_stream(mnist):
    packed = pack(mnist / IMAGES)
    packed.write_bytes(packed.read_bytes()[:-200])
    assert f"{packed} is cut off: the end of the gzip stream is missing" in refusal(mnist)


def test_a_broken_gzip_stream(mnist):
    packed = pack(mnist / IMAGES)
    edit(packed, 4000, bytes(100))
    assert f"{packed} is no sound gzip file" in refusal(mnist)
    packed.write_bytes(b"<html>Not Found</html>")
    assert "no sound gzip file (Not a gzipped file" in refusal(mnist)


def test_a_label_that_is_no_class(mnist):
    edit(mnist / LABELS, 8 + 3, bytes([17]))
    said = refusal(mnist)
    assert "1 of its 40 labels are not among the 10 classes of MNIST" in said
    assert "first label 17 of example 3" in said


def test_images_and_labels_of_two_data_sets(mnist):
    shutil.copy(mnist / "t10k-labels-idx1-ubyte", mnist / LABELS)
    assert f"has 40 images, but {LABELS} has 20 labels" in refusal(mnist)


def test_training_and_test_images_of_two_data_sets(tmp_path, write_mnist):
    write_mnist(tmp_path / "small", side=16)
    write_mnist(tmp_path / "large")
    for path in (tmp_path / "small").glob("t10k*"):
        shutil.copy(path, tmp_path / "large")
    assert "training images have 28 x 28 pixels, its test images 16 x 16" in refusal(
        tmp_path / "large"
    )


def test_the_same_images_to_train_and_to_test(mnist):
    for path in mnist.glob("train*"):
        shutil.copy(path, mnist / path.name.replace("train", "t10k"))
    assert "the same 40 images twice" in refusal(mnist)


def test_no_image(mnist):
    (mnist / IMAGES).write_bytes(struct.pack(">iiii", 2051, 0, 28, 28))
    assert "of shape [0, 28, 28]: it holds nothing" in refusal(mnist)
