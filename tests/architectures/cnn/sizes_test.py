"""Networks that torchvision does not have are of their published sizes."""

import pytest

import convscan.architectures as arch

# Parameters, and the classes where they are not 10.
NUM_PARAMS = {
  # He et al. 2015, table 6: 0.27M, 0.46M, 0.66M, 0.85M and 1.7M.
  'resnet20_cifar': 269722,
  'resnet32_cifar': 464154,
  'resnet44_cifar': 658586,
  'resnet56_cifar': 853018,
  'resnet110_cifar': 1727962,
}


@pytest.mark.parametrize('name', NUM_PARAMS)
def test_parameters_are_as_many_as_published(name: str) -> None:
  summary = arch.summary(arch.build(name), (1, 32, 32, 3))
  assert summary.num_params == NUM_PARAMS[name]
