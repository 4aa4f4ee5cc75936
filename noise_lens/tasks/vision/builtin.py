"""The tasks on MNIST and CIFAR-10."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from torch import nn

from noise_lens.errors import TaskError
from noise_lens.tasks.classification import accuracy, cross_entropy
from noise_lens.tasks.networks import VGG16, AlexNet, FullyConnected, ResNet18
from noise_lens.tasks.options import check_flag, check_share, check_whole
from noise_lens.tasks.task import Task
from noise_lens.tasks.vision.cifar10 import read_cifar10
from noise_lens.tasks.vision.folder import RawImages
from noise_lens.tasks.vision.images import Images, channel_moments, checked_moments
from noise_lens.tasks.vision.mnist import read_mnist

Folder = str | Path | None
Reader = Callable[[Folder], tuple[RawImages, RawImages]]


class ImageOptions(TypedDict, total=False):
    """What every task on images takes beside its folder and its network's sizes.

    Attributes
    ----------
    n_train, n_test : int
        Keep this many images, chosen at random; all if not given.
    subset_seed : int
        Of that choice, 0 by default. A smaller choice is the beginning of a larger one.
    mean, sd : float or sequence of float
        What pixels in [0, 1] are normalised by, for all channels or one each; those of all
        training images in the folder if not given. ``mean=0 sd=1`` leaves them as they are.
    """

    n_train: int | None
    n_test: int | None
    subset_seed: int
    mean: float | Sequence[float] | None
    sd: float | Sequence[float] | None


def mnist_fc(
    data: Folder = None,
    *,
    depth: int = 9,
    width: int = 512,
    bias: bool = False,
    **images: Unpack[ImageOptions],
) -> Task:
    """Return MNIST under the fully connected ReLU network of Zhou et al. (2020).

    9 weight matrices of width 512 without biases, 2,241,536 parameters by default.

    Parameters
    ----------
    data : str or Path
        Folder with the four files of MNIST, plain or ``.gz``.
    depth : int
        Weight matrices, at least 2: one more than there are hidden layers.
    width : int
        Units of a hidden layer.
    bias : bool
        Whether the layers have biases.
    **images : Any
        As for :class:`ImageOptions`.

    Returns
    -------
    Task
        ``mnist-fc``, with accuracy.
    """
    name = "mnist-fc"
    return _fully_connected(name, read_mnist, data, depth, width, bias, images)


def cifar10_fc(
    data: Folder = None,
    *,
    depth: int = 7,
    width: int = 512,
    bias: bool = False,
    augment: bool = False,
    **images: Unpack[ImageOptions],
) -> Task:
    """Return CIFAR-10 under the fully connected ReLU network of Zhou et al. (2020).

    7 weight matrices of width 512 without biases, 2,888,704 parameters by default.

    Parameters
    ----------
    data : str or Path
        Folder with the six files of CIFAR-10, binary version.
    depth : int
        Weight matrices, at least 2: one more than there are hidden layers.
    width : int
        Units of a hidden layer.
    bias : bool
        Whether the layers have biases.
    augment : bool
        Random crops and flips of training images.
    **images : Any
        As for :class:`ImageOptions`.

    Returns
    -------
    Task
        ``cifar10-fc``, with accuracy.
    """
    name = "cifar10-fc"
    return _fully_connected(name, read_cifar10, data, depth, width, bias, images, augment)


def cifar10_alexnet(
    data: Folder = None,
    *,
    width: int = 64,
    dropout: float = 0.5,
    augment: bool = False,
    **images: Unpack[ImageOptions],
) -> Task:
    """Return CIFAR-10 under the AlexNet of Simsekli et al. (2019), 451,146 parameters by default.

    Parameters
    ----------
    data : str or Path
        Folder with the six files of CIFAR-10, binary version.
    width : int
        Channels of every convolution.
    dropout : float
        Share of units that training drops before two linear layers; 0.5 in the released code.
    augment : bool
        Random crops and flips of training images.
    **images : Any
        As for :class:`ImageOptions`.

    Returns
    -------
    Task
        ``cifar10-alexnet``, with accuracy.
    """
    name = "cifar10-alexnet"
    check_whole(name, width=width)
    check_share(name, dropout=dropout)
    return _convolutional(name, data, lambda: AlexNet(width, dropout), images, augment)


def cifar10_vgg16(
    data: Folder = None,
    *,
    width: int = 64,
    augment: bool = False,
    **images: Unpack[ImageOptions],
) -> Task:
    """Return CIFAR-10 under VGG16 with batch normalisation, 14,728,266 parameters by default.

    Parameters
    ----------
    data : str or Path
        Folder with the six files of CIFAR-10, binary version.
    width : int
        Channels of the first convolutions; the last have 8 times as many.
    augment : bool
        Random crops and flips of training images.
    **images : Any
        As for :class:`ImageOptions`.

    Returns
    -------
    Task
        ``cifar10-vgg16``, with accuracy.
    """
    name = "cifar10-vgg16"
    check_whole(name, width=width)
    return _convolutional(name, data, lambda: VGG16(width), images, augment)


def cifar10_resnet18(
    data: Folder = None,
    *,
    width: int = 64,
    augment: bool = False,
    **images: Unpack[ImageOptions],
) -> Task:
    """Return CIFAR-10 under ResNet-18 with a 3 x 3 stem, 11,173,962 parameters by default.

    Parameters
    ----------
    data : str or Path
        Folder with the six files of CIFAR-10, binary version.
    width : int
        Channels of the first stage; the last has 8 times as many.
    augment : bool
        Random crops and flips of training images.
    **images : Any
        As for :class:`ImageOptions`.

    Returns
    -------
    Task
        ``cifar10-resnet18``, with accuracy.
    """
    name = "cifar10-resnet18"
    check_whole(name, width=width)
    return _convolutional(name, data, lambda: ResNet18(width), images, augment)


def _fully_connected(
    name: str,
    read: Reader,
    data: Folder,
    depth: int,
    width: int,
    bias: bool,
    options: ImageOptions,
    augment: bool = False,
) -> Task:
    check_whole(name, width=width)
    check_whole(name, least=2, depth=depth)
    check_flag(name, bias=bias)
    train, test = _images(name, read, data, options, augment)
    n_inputs = math.prod(train.images.shape[1:])
    return _task(name, lambda: FullyConnected(n_inputs, depth, width, bias=bias), train, test)


def _convolutional(
    name: str, data: Folder, network: Callable[[], nn.Module], options: ImageOptions, augment: bool
) -> Task:
    return _task(name, network, *_images(name, read_cifar10, data, options, augment))


def _task(name: str, network: Callable[[], nn.Module], train: Images, test: Images) -> Task:
    metrics = {"accuracy": accuracy}
    return Task(network, cross_entropy, train, test_data=test, metrics=metrics, name=name)


def _images(
    name: str, read: Reader, data: Folder, options: ImageOptions, augment: bool
) -> tuple[Images, Images]:
    unknown = sorted(set(options) - set(ImageOptions.__annotations__))
    if unknown:
        raise TaskError(
            f"{name} takes no {', '.join(unknown)}; beside its own arguments it takes "
            f"{', '.join(ImageOptions.__annotations__)}"
        )
    check_flag(name, augment=augment)
    seed = options.get("subset_seed", 0)
    check_whole(name, least=0, subset_seed=seed)
    raw_train, raw_test = read(data)
    # Of all training images, so that a subset is scaled as the whole is.
    n_channels = raw_train.images.shape[1]
    mean, sd = options.get("mean"), options.get("sd")
    own = channel_moments(raw_train.images) if mean is None or sd is None else ([], [])
    means = own[0] if mean is None else checked_moments("mean", mean, n_channels)
    sds = own[1] if sd is None else checked_moments("sd", sd, n_channels)
    train = _subset(name, "n_train", raw_train, options.get("n_train"), seed)
    test = _subset(name, "n_test", raw_test, options.get("n_test"), seed)
    return Images(train, means, sds, augment=augment), Images(test, means, sds)


def _subset(name: str, option: str, raw: RawImages, n: int | None, seed: int) -> RawImages:
    if n is None:
        return raw
    check_whole(name, **{option: n})
    if n > len(raw.labels):
        raise TaskError(
            f"{name} was asked for {option}={n}, and the folder has {len(raw.labels)} such images"
        )
    chosen = np.random.default_rng(seed).permutation(len(raw.labels))[:n]
    return RawImages(raw.images[chosen], raw.labels[chosen])
