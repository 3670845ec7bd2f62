"""Rounding of scaled widths."""


def make_divisible(width: float, divisor: int = 8) -> int:
  """Rounds to a multiple, at least one, and down by no more than a tenth.

  As the networks since MobileNetV2 have it (Sandler et al. 2018,
  https://arxiv.org/abs/1801.04381).

  >>> make_divisible(35.2), make_divisible(10)
  (32, 16)
  """
  rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
  return rounded + divisor if rounded < 0.9 * width else rounded
