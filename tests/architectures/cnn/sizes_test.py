"""Networks that torchvision does not have are of their published sizes."""

import pathlib

import pytest

import convscan.architectures as arch

_TABLE = pathlib.Path(__file__).with_name('torchvision_cnn.csv')
# For 10 classes; and for 1000 further down.
NUM_PARAMS = {
  # He et al. 2015, table 6: 0.27M, 0.46M, 0.66M, 0.85M and 1.7M.
  'resnet20_cifar': 269722,
  'resnet32_cifar': 464154,
  'resnet44_cifar': 658586,
  'resnet56_cifar': 853018,
  'resnet110_cifar': 1727962,
  # He et al. 2016, section 5: 1.7M, 1.7M and 10.2M.
  'preact_resnet110_cifar': 1730522,
  'preact_resnet164_cifar': 1703258,
  'preact_resnet1001_cifar': 10327706,
  # Zagoruyko and Komodakis 2016, table 4: 11.0M, 36.5M and 8.9M.
  'wide_resnet16_8': 10961370,
  'wide_resnet28_10': 36479194,
  'wide_resnet40_4': 8949210,
}
# For 2 classes of images of one channel, as in the paper, and sequences of numbers: a
# torch twin's. Bai et al. 2018, table 1, round the classifier's to 70K.
NUM_PARAMS |= {
  'unet': 31030658,
  'tcn_classifier': 66910,
  'tcn_forecaster': 66676,
  'tcn_tagger': 66910,
}
SHAPES = {'unet': (1, 64, 64, 1)} | {
  f'tcn_{task}': (1, 784, 1) for task in ('classifier', 'forecaster', 'tagger')
}
# Of timm 1.0.31, for 1000 classes.
TIMM = {
  'resnet18d': 11708744,
  'resnet26d': 16014408,
  'resnet34d': 21816904,
  'resnet50d': 25576264,
  'resnet101d': 44568392,
  'resnet152d': 60212040,
  'seresnet18': 11779624,
  'seresnet34': 21960416,
  'seresnet50': 28088024,
  'seresnet101': 49326872,
  'seresnet152': 66821848,
  'convnextv2_atto': 3708400,
  'convnextv2_femto': 5233240,
  'convnextv2_pico': 9066280,
  'convnextv2_nano': 15623800,
  'convnextv2_tiny': 28635496,
  'convnextv2_base': 88717800,
  'convnextv2_large': 197956840,
  'convnextv2_huge': 660289640,
  'xception': 22855952,  # its `legacy_xception`
}
NUM_PARAMS |= TIMM


def test_all_have_a_figure() -> None:
  published = _TABLE.read_text().splitlines()[1:]
  named = {row.partition(',')[0] for row in published} | NUM_PARAMS.keys()
  assert named | {'lenet5', 'lenet5_modern'} == set(arch.names('cnn'))


@pytest.mark.parametrize('name', NUM_PARAMS)
def test_parameters_are_as_many_as_published(name: str) -> None:
  shape = SHAPES.get(name, (1, 64, 64, 3))
  assert arch.summary(arch.build(name), shape).num_params == NUM_PARAMS[name]
