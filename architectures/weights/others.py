"""Torch's names of the modules of networks that torchvision does not have.

They are torchvision's for its ResNet where a network is alike.
"""

import flax.linen as nn

from ..cnn.resnet_cifar import ResNetCIFAR
from .torchvision import Name, Table

# By the class of the model.
OTHERS: dict[type[nn.Module], Table] = {
  ResNetCIFAR: (
    Name(r'stem_conv', r'conv1'),
    Name(r'stem_norm', r'bn1'),
    Name(r'stage(\d)_block(\d+)/conv(\d)', r'layer\1.\2.conv\3'),
    Name(r'stage(\d)_block(\d+)/norm(\d)', r'layer\1.\2.bn\3'),
    Name(r'head/dense', r'fc'),
  ),
}
