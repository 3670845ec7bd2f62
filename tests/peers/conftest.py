"""What the comparisons share: the peers can be imported, and one way to compare."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_networks import import_torchvision

# Before timm and transformers, which import it too.
import_torchvision()


@pytest.fixture(scope='session')
def equals_torch() -> Callable[..., None]:
  """Returns a check that a function equals torch's, forward and in all gradients.

  Its arguments: both functions; the shape of `x`, `[batch, *spatial, channels]`, which
  torch gets with its channels first; and the shapes of what follows it: kernels
  `[*window, i, o]`, which torch gets as `[o, i, *window]`, and vectors.
  """

  def axes(shape: tuple[int, ...], first: bool) -> tuple[int, ...]:
    last = len(shape) - 1
    if first:
      return (0, last, *range(1, last)) if last else (0,)
    return (last, last - 1, *range(last - 1)) if last else (0,)

  def check(
    ours: Any, theirs: Any, *shapes: tuple[int, ...], tol: float = 1e-5
  ) -> None:
    rng = np.random.default_rng(sum(shapes[0]))
    args = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    orders = [axes(shape, first=i == 0) for i, shape in enumerate(shapes)]
    tensors = [
      torch.from_numpy(a.transpose(order)).requires_grad_()
      for a, order in zip(args, orders, strict=True)
    ]
    y, pullback = jax.vjp(ours, *map(jnp.asarray, args))
    ty = theirs(*tensors)
    order = axes(y.shape, first=True)
    g = np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape)
    tgs = torch.autograd.grad(ty, tensors, torch.from_numpy(g.transpose(order)))
    for got, want, to_torch in zip(
      (y, *pullback(jnp.asarray(g))),
      (ty.detach(), *tgs),
      (order, *orders),
      strict=True,
    ):
      np.testing.assert_allclose(
        np.transpose(got, to_torch), want, rtol=tol, atol=tol * float(want.abs().max())
      )

  return check
