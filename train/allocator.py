"""The memory of a run on CPUs."""

import ctypes
import importlib.util
import sys

# glibc's <malloc.h>: the parameters of `mallopt`.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
  """Has the C library keep what is freed, where it is glibc and JAX is for CPUs alone.

  XLA frees a step's temporary arrays at its end. glibc gives arrays of their size back
  to the kernel, and the next step pays for every page again: see `--allocator`
  in `benchmarks/convolution.py`. Call it before the first array is made.
  """
  accelerated = any(map(importlib.util.find_spec, ('jax_plugins', 'libtpu')))
  if accelerated or not sys.platform.startswith('linux'):
    return
  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
  if mallopt is not None:
    mallopt(_ARENA_MAX, 1)  # one heap, for all threads: only that one grows at will
    mallopt(_MMAP_MAX, 0)  # large arrays come from the heap too
    mallopt(_TRIM_THRESHOLD, -1)  # which never shrinks
