"""How a convolution is computed, which depends on what it is compiled for.

TPUs and GPUs take XLA's own. Its CPU backend is slow where it could multiply matrices,
where each channel is by itself, and at 3x3 kernels; there other forms take its place.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .taps import MOST_TAPS, taps
from .winograd import winograd


class Window(NamedTuple):
  """How a kernel slides, by dimension."""

  strides: tuple[int, ...]
  pads: tuple[tuple[int, int], ...]
  dilation: tuple[int, ...]
  groups: int


Form: TypeAlias = Callable[[Window, jax.Array, jax.Array], jax.Array]


# Compiled by itself, so that layers of the same shapes are traced once.
@partial(jax.jit, static_argnames=('window', 'form'))
def convolve(window: Window, x: jax.Array, kernel: jax.Array, form: Form) -> jax.Array:
  """Convolves by `form` on CPUs and by `native` elsewhere, as the program is compiled.

  Args:
    window: how the kernel slides.
    x: `[batch, *spatial, in_channels]`.
    kernel: `[*window, in_channels / groups, out_channels]` of the same dtype.
    form: one of this file's.
  """
  if form is native:
    return native(window, x, kernel)
  return lax.platform_dependent(
    x, kernel, cpu=partial(form, window), default=partial(native, window)
  )


def cpu_form(window: Window, x: jax.Array, kernel: jax.Array) -> Form:
  """Chooses the form of the convolution, and of its transpose in the inputs."""
  depthwise = window.groups == x.shape[-1] > 1
  return _cpu_form(window, x, kernel, grouped_by_taps=depthwise)


def cpu_form_of_gradient(window: Window, x: jax.Array, kernel: jax.Array) -> Form:
  """Chooses the form whose transpose is the kernel's gradient."""
  return _cpu_form(window, x, kernel, grouped_by_taps=window.groups > 1)


def _cpu_form(
  window: Window, x: jax.Array, kernel: jax.Array, grouped_by_taps: bool
) -> Form:
  if grouped_by_taps and math.prod(kernel.shape[:-2]) <= MOST_TAPS:
    return tap_by_tap
  if window.groups == 1 and _is_few_rows(window, x, kernel):
    return tap_by_tap
  return minimal if _is_minimal(window, x, kernel) else native


def native(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Leaves it to XLA."""
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


def tap_by_tap(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves by one product for each tap of the kernel, summed in float32 at least."""
  wide = x.dtype
  if jnp.issubdtype(wide, jnp.inexact):
    wide = jnp.promote_types(wide, jnp.float32)
  sizes = kernel.shape[:-2]
  parts = taps(
    x,
    (1, *sizes, 1),
    (1, *window.strides, 1),
    [(0, 0), *window.pads, (0, 0)],
    (1, *window.dilation, 1),
    0,
  )
  y: jax.Array | None = None
  for tap, part in zip(np.ndindex(*sizes), parts, strict=True):
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


def minimal(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves by Winograd's minimal filtering."""
  return winograd(x, kernel, window.pads)


def _is_few_rows(window: Window, x: jax.Array, kernel: jax.Array) -> bool:
  """Whether the kernel is one tap, or is larger than all that it slides over."""
  *sizes, in_channels, out_channels = kernel.shape
  rows = x.shape[0] * math.prod(x.shape[1:-1])
  small = rows <= min(in_channels, out_channels) and math.prod(sizes) <= 9
  return small or math.prod(sizes) == 1


def _is_minimal(window: Window, x: jax.Array, kernel: jax.Array) -> bool:
  """Whether minimal filtering is possible, and saves more than it costs."""
  *sizes, in_channels, out_channels = kernel.shape
  fits = (
    tuple(sizes) == (3, 3)
    and window.strides == window.dilation == (1, 1)
    and window.groups == 1
    and x.dtype in (jnp.float32, jnp.float64)
  )
  if not fits:
    return False
  out = [n + sum(p) - 2 for n, p in zip(x.shape[1:3], window.pads, strict=True)]
  in_tiles = math.prod(n + n % 2 for n in out) / math.prod(out)
  return min(in_channels, out_channels) >= 64 and in_tiles < 1.4
