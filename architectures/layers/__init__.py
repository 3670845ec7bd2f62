"""Linen modules over the ops: they own the parameters and choose the dtype."""

from .conv import Conv

__all__ = ['Conv']
