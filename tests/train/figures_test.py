"""What the pictures are made from."""

import jax
import numpy as np

import convscan.architectures as arch
from convscan.train.tasks.classification import first_convolution


def test_the_figure_shows_the_first_convolution_and_its_map():
  model = arch.build('resnet20_cifar', num_classes=10, stage_sizes=(1, 1, 1))
  image = np.random.default_rng(0).uniform(size=(8, 8, 1)).astype(np.float32)
  variables = model.init(jax.random.key(1), image[None], train=False)
  kernel, maps = first_convolution(model, variables, image)
  stem = variables['params']['stem_conv']['kernel']
  np.testing.assert_array_equal(kernel, stem)
  padded = np.pad(image[..., 0], 1)
  expected = sum(
    padded[i : i + 8, j : j + 8, None] * np.asarray(stem)[i, j, 0][None, None]
    for i in range(3)
    for j in range(3)
  )
  np.testing.assert_allclose(maps, expected, atol=1e-5)
  gru = arch.build('gru_classifier', num_classes=10, hidden_features=4)
  variables = gru.init(jax.random.key(0), image[None], train=False)
  assert first_convolution(gru, variables, image) is None
