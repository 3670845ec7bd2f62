"""ConvNeXt V2: Woo et al. 2023, https://arxiv.org/abs/2301.00808."""

from functools import partial

from ..layers import GlobalResponseNorm
from .convnext import ConvNeXt
from .network import Layer


class ConvNeXtV2(ConvNeXt):
  """ConvNeXt with global response normalisation, and without layer scale.

  For the fields see `ConvNeXt`.

  >>> from convscan.architectures import build
  >>> build('convnextv2_atto', num_classes=10).feature_info
  {'stage1': (4, 40), 'stage2': (8, 80), 'stage3': (16, 160), 'stage4': (32, 320)}
  """

  layer_scale_init: float | None = None
  response_norm: Layer | None = GlobalResponseNorm


# The sizes of the stages, the channels of the first, which double from stage to stage,
# and the rate with which the authors fine-tune it (0.1 where they do not say).
_VARIANTS = {
  'atto': ((2, 2, 6, 2), 40, 0.1),
  'femto': ((2, 2, 6, 2), 48, 0.1),
  'pico': ((2, 2, 6, 2), 64, 0.1),
  'nano': ((2, 2, 8, 2), 80, 0.1),
  'tiny': ((3, 3, 9, 3), 96, 0.2),
  'base': ((3, 3, 27, 3), 128, 0.1),
  'large': ((3, 3, 27, 3), 192, 0.1),
  'huge': ((3, 3, 27, 3), 352, 0.1),
}
MODELS = {
  f'convnextv2_{name}': partial(
    ConvNeXtV2,
    stage_sizes=sizes,
    channels=(width, 2 * width, 4 * width, 8 * width),
    stochastic_depth_rate=rate,
  )
  for name, (sizes, width, rate) in _VARIANTS.items()
}
