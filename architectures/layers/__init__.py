"""Linen modules over the ops: they own the parameters and choose the dtype."""

from .conv import Conv
from .dropout import Dropout

__all__ = ['Conv', 'Dropout']
