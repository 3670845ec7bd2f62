"""A published network sees what torchvision shows it, on real images."""

import numpy as np
import pytest
import seeded
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch_networks import prepared
from torchvision import models

import convscan.architectures as arch
from convscan.data.transforms import published, published_names

PHOTOS = [Image.fromarray(array) for array in load_sample_images().images]
# With weights these networks normalise once more themselves, to what they saw.
INSIDE = ('googlenet', 'inception_v3')


def test_every_row_is_torchvisions() -> None:
  for full in published_names():
    network, name = full.split('.')
    every = models.get_model_weights(network)
    theirs = every[name].transforms()
    ours = published(full)
    assert [ours.crop_size] == theirs.crop_size
    assert [ours.resize_size] == theirs.resize_size
    assert ours.interpolation == theirs.interpolation.value
    mean, std = theirs.mean, theirs.std
    if network in INSIDE:
      mean = std = [0.5, 0.5, 0.5]
    np.testing.assert_allclose(ours.mean, mean, rtol=1e-15)
    np.testing.assert_allclose(ours.std, std, rtol=1e-15)
    assert published(network) == published(f'{network}.{every.DEFAULT.name}')


@pytest.mark.parametrize(
  'name',
  [
    'ResNet50_Weights.IMAGENET1K_V2',
    'EfficientNet_B0_Weights.IMAGENET1K_V1',
    'EfficientNet_V2_L_Weights.IMAGENET1K_V1',
    'RegNet_Y_16GF_Weights.IMAGENET1K_SWAG_E2E_V1',
    'VGG16_Weights.IMAGENET1K_FEATURES',
    'ConvNeXt_Tiny_Weights.IMAGENET1K_V1',
  ],
)
def test_it_sees_what_torchvision_shows(name: str) -> None:
  weights = models.get_weight(name)
  theirs = weights.transforms()
  network = name.split('_Weights')[0].lower()
  ours = published(f'{network}.{weights.name}')
  scale = 1 / min(theirs.std)
  for photo in (*PHOTOS, PHOTOS[0].crop((0, 0, 301, 427)).resize((201, 333))):
    got, want = ours(photo), theirs(photo).permute(1, 2, 0)
    assert torch.isfinite(want).all()
    assert want.std() > 0.1
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize('name', INSIDE)
def test_what_a_network_normalises_itself_is_normalised(name: str) -> None:
  weights = models.get_model_weights(name)['IMAGENET1K_V1']
  # `transform_input` is what torchvision sets where it is asked for weights.
  net = prepared(name, transform_input=True)
  model = arch.build(name)
  variables = arch.weights.from_torch(model, net.state_dict(), (1, 96, 96, 3))
  theirs, ours = weights.transforms(), published(name)
  with torch.no_grad():
    expected = net(torch.stack([theirs(photo) for photo in PHOTOS])).numpy()
  images = np.stack([ours(photo) for photo in PHOTOS])
  assert seeded.varies(expected)
  logits = model.apply(variables, images, train=False)
  assert seeded.relative_error(logits, expected) < 1e-3
