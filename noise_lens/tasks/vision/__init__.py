"""Images from a folder of the user's: MNIST and CIFAR-10 under the networks of the papers."""

from noise_lens.tasks.vision.builtin import (
    cifar10_alexnet,
    cifar10_fc,
    cifar10_resnet18,
    cifar10_vgg16,
    mnist_fc,
)
from noise_lens.tasks.vision.cifar10 import read_cifar10
from noise_lens.tasks.vision.images import Images
from noise_lens.tasks.vision.mnist import read_mnist

__all__ = [
    "Images",
    "cifar10_alexnet",
    "cifar10_fc",
    "cifar10_resnet18",
    "cifar10_vgg16",
    "mnist_fc",
    "read_cifar10",
    "read_mnist",
]
