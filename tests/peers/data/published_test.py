"""A published network sees what torchvision shows it, on real images."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision import models

from convscan.data.transforms import published, published_names

PHOTOS = [Image.fromarray(array) for array in load_sample_images().images]


def test_every_row_is_torchvisions() -> None:
  for full in published_names():
    network, name = full.split('.')
    every = models.get_model_weights(network)
    theirs = every[name].transforms()
    ours = published(full)
    assert [ours.crop_size] == theirs.crop_size
    assert [ours.resize_size] == theirs.resize_size
    assert ours.interpolation == theirs.interpolation.value
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-15)
    np.testing.assert_allclose(ours.std, theirs.std, rtol=1e-15)
    assert published(network) == published(f'{network}.{every.DEFAULT.name}')


@pytest.mark.parametrize(
  'name',
  [
    'ResNet50_Weights.IMAGENET1K_V2',
    'EfficientNet_B0_Weights.IMAGENET1K_V1',
    'EfficientNet_V2_L_Weights.IMAGENET1K_V1',
    'Inception_V3_Weights.IMAGENET1K_V1',
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
