"""The networks of the papers and two small language models, as plain modules.

Names of modules are those of the papers' released code, so that checkpoints of those fit. Initial
weights are torch's defaults, as there.
"""

from noise_lens.tasks.networks.alexnet import AlexNet
from noise_lens.tasks.networks.fully_connected import FullyConnected
from noise_lens.tasks.networks.lstm import LSTMLanguageModel
from noise_lens.tasks.networks.resnet import ResNet18
from noise_lens.tasks.networks.transformer import TransformerLanguageModel
from noise_lens.tasks.networks.vgg import VGG16

__all__ = [
    "VGG16",
    "AlexNet",
    "FullyConnected",
    "LSTMLanguageModel",
    "ResNet18",
    "TransformerLanguageModel",
]
