"""Transposed convolution over one, two or three spatial dimensions, channels last."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from .conv import Padding, per_dimension
from .pad import explicit_padding


def conv_transpose(
  x: jax.Array,
  kernel: jax.Array,
  *,
  strides: int | Sequence[int] = 1,
  padding: Padding = 0,
  output_padding: int | Sequence[int] = 0,
  dilation: int | Sequence[int] = 1,
  groups: int = 1,
) -> jax.Array:
  r"""Adds a kernel, times an entry, around every entry of an array.

  It is the transpose of `conv` with the same kernel, strides, padding, dilation and
  groups: the linear map that takes a gradient of its output to that of its input. In
  one dimension, with stride $s$, dilation $d$ and lower padding $p$,

  .. math:: y_{n,\, s i + d k - p,\, o} \mathrel{+}= \sum_{c} x_{n,i,c} \; w_{k,o,c},

  where $c$ runs over the input channels of the group that output channel $o$ belongs
  to, and what falls outside of $y$ is lost. It is torch's, whose weight
  `[in, out / groups, *window]` has its axes in another order here: `kernel =
  weight.transpose(*range(2, weight.ndim), 1, 0)`, as for the weight of a convolution.
  `flax.linen.ConvTranspose` has its kernel in another order again, and flipped.

  Args:
    x: `[batch, *spatial, in_channels]`, with one to three spatial dimensions.
    kernel: `[*window, out_channels / groups, in_channels]`.
    strides: Steps from where one entry's kernel lies to the next's; one for all
      dimensions, or one each.
    padding: How much to cut off the output: an int for every side; an int for each
      dimension; or a pair `(low, high)` for each dimension.
    output_padding: How much to extend the output at its high sides, to the size that a
      strided `conv` had mapped to that of `x`; one for all dimensions, or one each,
      each less than the stride or the dilation.
    dilation: Distances between the kernel's taps; one for all, or one each.
    groups: Into how many blocks the channels fall; a block of outputs sees one block
      of inputs.

  Returns:
    `[batch, *out, out_channels]` in the promoted dtype of `x` and `kernel`, where `out
    = (size - 1) * stride + dilation * (window - 1) + 1 + output_padding - low - high`.

  Raises:
    ValueError: If an argument does not fit the others, or the output would be empty.

  Example:
    >>> x, kernel = jnp.ones((1, 3, 1)), jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    >>> conv_transpose(x, kernel, strides=2).ravel()
    Array([1., 2., 4., 2., 4., 2., 3.], dtype=float32)
  """
  ndim = kernel.ndim - 2
  if ndim not in (1, 2, 3):
    raise ValueError(
      f'kernel with shape {kernel.shape}: expected 1 to 3 spatial dimensions, then '
      'out_channels / groups and in_channels'
    )
  *window, outs, ins = kernel.shape
  if x.ndim != kernel.ndim or x.shape[-1] != ins:
    raise ValueError(
      f'x with shape {x.shape}: expected [batch, {ndim} spatial, {ins} channels] for a '
      f'kernel with shape {kernel.shape}'
    )
  if groups < 1 or ins % groups:
    raise ValueError(f'groups {groups}: expected a divisor of the {ins} input channels')
  strides = per_dimension('strides', strides, ndim)
  dilation = per_dimension('dilation', dilation, ndim)
  # At the high sides alone, so that there are no pairs.
  extra = output_padding
  if isinstance(extra, int):
    extra = (extra,) * ndim
  if len(extra) != ndim or not all(
    isinstance(e, int) and 0 <= e < max(s, d)
    for e, s, d in zip(extra, strides, dilation, strict=True)
  ):
    raise ValueError(
      f'output_padding {output_padding!r}: expected an int >= 0, or {ndim} of them, '
      f'less than strides {strides} or dilation {dilation}'
    )
  sizes, pads = [], []
  cuts = explicit_padding(padding, window)
  for size, k, s, d, (low, high), e in zip(
    x.shape[1:-1], window, strides, dilation, cuts, extra, strict=True
  ):
    reach = d * (k - 1)
    pads.append((reach - low, reach - high + e))
    sizes.append((size - 1) * s + 1 + reach + e - low - high)
  if min(sizes) < 1:
    raise ValueError(
      f'padding {padding!r}: expected to leave an output, got spatial shape '
      f'{tuple(sizes)}'
    )
  # As a convolution: of the inputs at their distances, by the kernel flipped and with
  # its channels exchanged within each group.
  kernel = jnp.flip(kernel, range(ndim)).reshape(*window, outs, groups, ins // groups)
  kernel = jnp.swapaxes(kernel, -3, -1).reshape(*window, ins // groups, groups * outs)
  spatial = 'DHW'[-ndim:]
  dtype = jnp.result_type(x, kernel)
  return lax.conv_general_dilated(
    x.astype(dtype),
    kernel.astype(dtype),
    window_strides=(1,) * ndim,
    padding=pads,
    lhs_dilation=strides,
    rhs_dilation=dilation,
    dimension_numbers=(f'N{spatial}C', f'{spatial}IO', f'N{spatial}C'),
    feature_group_count=groups,
  )
