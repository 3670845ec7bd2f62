"""Accelerators by name: their peaks, their memory, and the slices they come in."""

import dataclasses
import math

# Published peaks of a device in bfloat16, without sparsity, in FLOP/s, by what
# `jax.Device.device_kind` begins with; the longest that fits counts.
PEAK_FLOPS = {
  'TPU v2': 23e12,  # a device is a core, half of a chip
  'TPU v3': 61.5e12,  # likewise
  'TPU v4': 275e12,
  'TPU v4 lite': 138e12,
  'TPU v5': 459e12,  # v5p
  'TPU v5 lite': 197e12,  # v5e
  'TPU v5e': 197e12,
  'TPU v6 lite': 918e12,  # v6e
  'TPU v6e': 918e12,
  'NVIDIA A100': 312e12,
  'NVIDIA L4': 121e12,
  'NVIDIA L40': 181e12,
  'NVIDIA L40S': 362e12,
  'NVIDIA H100': 989e12,
  'NVIDIA H100 NVL': 835e12,
  'NVIDIA H100 PCIe': 756e12,
  'NVIDIA H200': 989e12,
  'NVIDIA GH200': 989e12,
  'NVIDIA B200': 2250e12,
}


@dataclasses.dataclass(frozen=True)
class TPU:
  """A generation of TPUs.

  Attributes:
    memory: bytes of a chip's memory that a program may use, as libtpu's compiler says
      where one needs more. The vendor's pages name what a chip has.
    slices: the shapes of its slices, the smallest first, as the vendor lists them.
    most: the chips of the largest slice.
    chip_config: what libtpu calls a chip that is one device.
  """

  memory: int
  slices: tuple[str, ...]
  most: int
  chip_config: str = 'default'

  def has(self, shape: str) -> bool:
    """Returns whether there are slices of this shape, such as '4x4'.

    >>> TPUS['v5e'].has('4x4'), TPUS['v5e'].has('4x4x4'), TPUS['v5p'].has('4x12x12')
    (True, False, True)
    """
    if shape in self.slices:
      return True
    # Three-dimensional slices are made of cubes of 4x4x4.
    sides = shape.split('x')
    return (
      len(sides) == 3 == len(self.slices[0].split('x'))
      and all(side.isdigit() and int(side) and int(side) % 4 == 0 for side in sides)
      and chips(shape) <= self.most
    )


_FLAT = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
_CUBES = (
  '2x2x1', '2x2x2', '2x2x4', '2x4x4', '4x4x4', '4x4x8', '4x8x8', '8x8x8', '8x8x16',
  '8x16x16', '16x16x16',
)  # fmt: skip
# https://cloud.google.com/tpu/docs/ and there v4 (32 GiB a chip), v5e (16 GB), v5p
# (95 GiB) and v6e (32 GB).
TPUS = {
  'v4': TPU(int(30.75 * 2**30), _CUBES, 4096, 'megacore'),
  'v5e': TPU(int(15.75 * 2**30), _FLAT, 256),
  'v5p': TPU(int(95.74 * 2**30), (*_CUBES, '16x16x24'), 6144),
  'v6e': TPU(int(31.25 * 2**30), _FLAT, 256),
}


def peak_flops(device_kind: str) -> float | None:
  """Returns the peak in bfloat16 of a kind of device, or None where it isn't known.

  >>> peak_flops('NVIDIA H100 80GB HBM3') / 1e12, peak_flops('cpu')
  (989.0, None)
  """
  known = [kind for kind in PEAK_FLOPS if device_kind.startswith(kind)]
  return PEAK_FLOPS[max(known, key=len)] if known else None


def chips(shape: str) -> int:
  """Returns how many chips a slice of this shape has.

  >>> chips('4x4'), chips('2x2x4')
  (16, 16)
  """
  return math.prod(map(int, shape.split('x')))
