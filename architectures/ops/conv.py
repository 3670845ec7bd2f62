"""Convolution over one, two or three spatial dimensions, channels last."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from .conv_forms import Window, convolve, cpu_form, cpu_form_of_gradient

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
      pair `(low, high)` for each dimension; `'VALID'` for none; `'CAUSAL'`, in one
      dimension, for as many before `x` that no output sees what comes after it; or
      `'SAME'` for an output of size `ceil(size / stride)`. With `'SAME'` the padding
      depends on the size of `x`, so that only ints and pairs agree with weights trained
      elsewhere.
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
  *sizes, in_channels, out_channels = kernel.shape
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
  extents = [(k - 1) * d + 1 for k, d in zip(sizes, dilation, strict=True)]
  dtype = jnp.result_type(x, kernel)
  pads = tuple(resolve_padding(padding, x.shape[1:-1], extents, strides))
  window = Window(strides, pads, dilation, groups)
  return _conv(window, x.astype(dtype), kernel.astype(dtype))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _conv(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
  return convolve(window, x, kernel, cpu_form(window, x, kernel))


def _conv_jvp(window: Window, primals: Any, tangents: Any) -> Any:
  (x, kernel), (x_dot, kernel_dot) = primals, tangents
  terms = []
  if not isinstance(x_dot, SymbolicZero):
    terms.append(_conv(window, x_dot, kernel))
  if not isinstance(kernel_dot, SymbolicZero):
    # Its transpose is the kernel's gradient. Rematerialised, for what a form makes of
    # the inputs is not to be stored.
    form = cpu_form_of_gradient(window, x, kernel)
    by_kernel = jax.checkpoint(partial(convolve, window, form=form), prevent_cse=False)
    terms.append(by_kernel(x, kernel_dot))
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
    f"padding {padding!r}: expected 'SAME', 'VALID', 'CAUSAL' in one dimension, an int "
    f'>= 0, or {ndim} entries that are such ints or pairs (low, high) of them'
  )
  if padding == 'CAUSAL' and ndim == 1:
    pairs = [(extents[0] - 1, 0)]
  elif isinstance(padding, str):
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
