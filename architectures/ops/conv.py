"""Convolution over one, two or three spatial dimensions, channels last."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from .taps import taps

Padding = int | str | Sequence[int | tuple[int, int]]


def conv(
  x: jax.Array,
  kernel: jax.Array,
  *,
  strides: int | Sequence[int] = 1,
  padding: Padding = 0,
  dilation: int | Sequence[int] = 1,
  groups: int = 1,
) -> jax.Array:
  r"""Slides a kernel over an array; the kernel's rank says over how many dimensions.

  In one dimension, with stride $s$, dilation $d$ and lower padding $p$,

  .. math:: y_{n,i,o} = \sum_{k,c} x_{n,\, s i + d k - p,\, c} \; w_{k,c,o},

  where $x$ is zero outside of its range, and $c$ runs over the input channels of
  the group that output channel $o$ belongs to. This is the cross-correlation that
  deep learning calls a convolution: the kernel is not flipped.

  Args:
    x: `[batch, *spatial, in_channels]`, with one to three spatial dimensions.
    kernel: `[*window, in_channels / groups, out_channels]`.
    strides: Steps of the window; one for all dimensions, or one each.
    padding: Zeros around `x`: an int for every side; an int for each dimension; a
      pair `(low, high)` for each dimension; `'VALID'` for none; or `'SAME'` for an
      output of size `ceil(size / stride)`. With `'SAME'` the padding depends on the
      size of `x`, so that only ints and pairs agree with weights trained elsewhere.
    dilation: Distances between the kernel's taps; one for all, or one each.
    groups: Into how many blocks the channels fall; a block of outputs sees one block
      of inputs. `groups=in_channels` is a depthwise convolution.

  Returns:
    `[batch, *out, out_channels]` in the promoted dtype of `x` and `kernel`, where
    `out = (size + low + high - dilation * (window - 1) - 1) // stride + 1`.

  Raises:
    ValueError: If an argument does not fit the others, or a window does not fit `x`.

  Example:
    >>> x, kernel = jnp.ones((2, 7, 7, 3)), jnp.ones((3, 3, 3, 8))
    >>> conv(x, kernel, strides=2, padding=1).shape
    (2, 4, 4, 8)
  """
  ndim = kernel.ndim - 2
  if ndim not in (1, 2, 3):
    raise ValueError(
      f'kernel with shape {kernel.shape}: expected 1 to 3 spatial dimensions, then '
      'in_channels / groups and out_channels'
    )
  if x.ndim != kernel.ndim:
    raise ValueError(
      f'x with shape {x.shape}: expected [batch, {ndim} spatial, in_channels] for a '
      f'kernel with shape {kernel.shape}'
    )
  *window, in_channels, out_channels = kernel.shape
  if groups < 1 or out_channels % groups:
    raise ValueError(
      f'groups {groups}: expected a divisor of the {out_channels} output channels'
    )
  if x.shape[-1] != in_channels * groups:
    raise ValueError(
      f'x with {x.shape[-1]} channels: expected {in_channels * groups}, the '
      f"kernel's {in_channels} for each of {groups} groups"
    )
  strides = per_dimension('strides', strides, ndim)
  dilation = per_dimension('dilation', dilation, ndim)
  extents = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
  dtype = jnp.result_type(x, kernel)
  pads = tuple(resolve_padding(padding, x.shape[1:-1], extents, strides))
  how = _Window(strides, pads, dilation, groups)
  return _conv(how, x.astype(dtype), kernel.astype(dtype))


class _Window(NamedTuple):
  """How a kernel slides, by dimension."""

  strides: tuple[int, ...]
  pads: tuple[tuple[int, int], ...]
  dilation: tuple[int, ...]
  groups: int


def _native(window: _Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
  spatial = 'DHW'[-len(window.strides) :]
  return lax.conv_general_dilated(
    x,
    kernel,
    window_strides=window.strides,
    padding=window.pads,
    rhs_dilation=window.dilation,
    dimension_numbers=(f'N{spatial}C', f'{spatial}IO', f'N{spatial}C'),
    feature_group_count=window.groups,
  )


def _tap_by_tap(window: _Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves by one product for each tap of the kernel."""
  wide = jnp.promote_types(x.dtype, jnp.float32)
  x = jnp.pad(x, [(0, 0), *window.pads, (0, 0)])
  y: jax.Array | None = None
  for tap, part in taps(x, kernel.shape[:-2], window.strides, window.dilation):
    product = _pointwise(part, kernel[tap], window.groups, wide)
    y = product if y is None else y + product
  assert y is not None
  return y.astype(x.dtype)


def _pointwise(x: jax.Array, kernel: jax.Array, groups: int, dtype: Any) -> jax.Array:
  """Multiplies the channels of `x` by `kernel [in_channels / groups, out_channels]`."""
  ins, outs = kernel.shape
  if ins == 1:  # Depthwise: XLA makes one loop of all taps.
    x = jnp.repeat(x, outs // groups, axis=-1).astype(dtype)
    return x * kernel.astype(dtype).reshape((1,) * (x.ndim - 1) + (outs,))
  rows = x.reshape(-1, ins) if groups == 1 else x.reshape(-1, groups, ins)
  if groups == 1:
    y = jnp.dot(rows, kernel, preferred_element_type=dtype)
  else:
    blocks = kernel.reshape(ins, groups, outs // groups)
    y = jnp.einsum('ngi,igo->ngo', rows, blocks, preferred_element_type=dtype)
  return y.reshape(*x.shape[:-1], outs)


def _convolve(
  window: _Window, x: jax.Array, kernel: jax.Array, taps_on_cpu: bool
) -> jax.Array:
  """Convolves; the form is chosen when the program is compiled for a platform."""
  native = partial(_native, window)
  if not taps_on_cpu:
    return native(x, kernel)
  by_taps = partial(_tap_by_tap, window)
  return lax.platform_dependent(x, kernel, cpu=by_taps, default=native)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _conv(window: _Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
  # XLA's CPU backend is slow where it could multiply matrices, or where each channel
  # is by itself.
  matmul = window.groups == 1 and math.prod(kernel.shape[:-2]) == 1
  depthwise = window.groups == x.shape[-1] > 1
  return _convolve(window, x, kernel, matmul or depthwise)


def _conv_jvp(window: _Window, primals: Any, tangents: Any) -> Any:
  (x, kernel), (x_dot, kernel_dot) = primals, tangents
  terms = []
  if not isinstance(x_dot, SymbolicZero):
    terms.append(_conv(window, x_dot, kernel))
  if not isinstance(kernel_dot, SymbolicZero):
    # Its transpose is the kernel's gradient, which that backend is slow at in groups
    # too. Rematerialised, for the taps of the inputs are not to be stored.
    taps_on_cpu = window.groups > 1 or math.prod(kernel.shape[:-2]) == 1
    by_kernel = partial(_convolve, window, taps_on_cpu=taps_on_cpu)
    terms.append(jax.checkpoint(by_kernel, prevent_cse=False)(x, kernel_dot))
  y = _conv(window, x, kernel)
  return y, sum(terms) if terms else jnp.zeros_like(y)


_conv.defjvp(_conv_jvp, symbolic_zeros=True)


def per_dimension(name: str, value: int | Sequence[int], ndim: int) -> tuple[int, ...]:
  """Spreads one positive int over `ndim` dimensions, or checks that there are `ndim`.

  Args:
    name: The argument's name, for the error.
    value: One int, or one for each dimension.
    ndim: The number of spatial dimensions.

  Returns:
    `ndim` positive ints.

  Raises:
    ValueError: If `value` is neither.

  Example:
    >>> per_dimension('strides', 2, ndim=3)
    (2, 2, 2)
  """
  values = (value,) * ndim if isinstance(value, int) else tuple(value)
  if len(values) != ndim or not all(isinstance(v, int) and v > 0 for v in values):
    raise ValueError(f'{name} {value!r}: expected a positive int, or {ndim} of them')
  return values


def resolve_padding(
  padding: Padding,
  sizes: Sequence[int],
  extents: Sequence[int],
  strides: Sequence[int],
) -> list[tuple[int, int]]:
  """Turns every form of padding into `(low, high)` for each spatial dimension.

  Args:
    padding: As `conv` takes it.
    sizes: The spatial sizes of the array.
    extents: What the window covers in each dimension, its dilation included.
    strides: The steps of the window.

  Returns:
    A pair for each dimension.

  Raises:
    ValueError: If the padding is malformed, or a padded size is below its extent.

  Example:
    >>> resolve_padding('SAME', sizes=[8], extents=[3], strides=[2])
    [(0, 1)]
    >>> resolve_padding((1, (0, 2)), sizes=[8, 8], extents=[3, 3], strides=[1, 1])
    [(1, 1), (0, 2)]
  """
  ndim = len(sizes)
  error = ValueError(
    f"padding {padding!r}: expected 'SAME', 'VALID', an int >= 0, or {ndim} entries "
    'that are such ints or pairs (low, high) of them'
  )
  if isinstance(padding, str):
    if padding not in ('SAME', 'VALID'):
      raise error
    pairs = lax.padtype_to_pads(sizes, extents, strides, padding)
  else:
    entries = (padding,) * ndim if isinstance(padding, int) else tuple(padding)
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in entries]  # type: ignore
    if len(pairs) != ndim or any(len(p) != 2 or min(p) < 0 for p in pairs):
      raise error
  for size, extent, (low, high) in zip(sizes, extents, pairs, strict=True):
    if size + low + high < extent:
      raise ValueError(
        f'x with spatial shape {tuple(sizes)} and padding {pairs}: expected each '
        f'padded size to be at least what the window covers, {tuple(extents)}'
      )
  return pairs
