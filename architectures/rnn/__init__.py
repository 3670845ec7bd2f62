"""Recurrent cells, the layer that runs them over time, and models made of them."""

from .cells import ElmanCell, GatedCell, GRUCell, LSTMCell
from .language_model import LanguageModel, sample
from .rnn import RNN

__all__ = [
  'RNN',
  'ElmanCell',
  'GRUCell',
  'GatedCell',
  'LSTMCell',
  'LanguageModel',
  'sample',
]
