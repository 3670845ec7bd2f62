"""Recurrent cells, the layers that run them over time, and models made of them."""

from .attention import (
  AdditiveAttention,
  Attention,
  DotAttention,
  GeneralAttention,
  ScaledDotAttention,
)
from .base_cell import GatedCell, RecurrentCell
from .beam import beam_search
from .bidirectional import Bidirectional
from .cells import ElmanCell, GRUCell, LSTMCell, identity_init
from .classifier import SequenceClassifier, last_state, max_pool, mean_pool
from .conv_cells import ConvGRUCell, ConvLSTMCell
from .decoder import BahdanauDecoder, LuongDecoder
from .diagonal_cells import LRUCell, RGLRUCell
from .directions import one_way, two_way
from .encoder_decoder import EncoderDecoder
from .forecaster import Forecaster
from .language_model import LanguageModel, sample
from .linear_cell import LinearCell
from .linear_cells import MinGRUCell, MinLSTMCell, SRUCell
from .normalised_cells import LayerNormGRUCell, LayerNormLSTMCell
from .qrnn_cell import QRNNCell
from .rnn import RNN
from .stack import Stack, dense, feed, residual
from .stepwise_cells import ProjectedLSTMCell, ResetBeforeGRUCell
from .tagger import SequenceTagger
from .variant_cells import CoupledLSTMCell, IndRNNCell, MGUCell, PeepholeLSTMCell

__all__ = [
  'RNN',
  'AdditiveAttention',
  'Attention',
  'BahdanauDecoder',
  'Bidirectional',
  'ConvGRUCell',
  'ConvLSTMCell',
  'CoupledLSTMCell',
  'DotAttention',
  'ElmanCell',
  'EncoderDecoder',
  'Forecaster',
  'GRUCell',
  'GatedCell',
  'GeneralAttention',
  'IndRNNCell',
  'LRUCell',
  'LSTMCell',
  'LanguageModel',
  'LayerNormGRUCell',
  'LayerNormLSTMCell',
  'LinearCell',
  'LuongDecoder',
  'MGUCell',
  'MinGRUCell',
  'MinLSTMCell',
  'PeepholeLSTMCell',
  'ProjectedLSTMCell',
  'QRNNCell',
  'RGLRUCell',
  'RecurrentCell',
  'ResetBeforeGRUCell',
  'SRUCell',
  'ScaledDotAttention',
  'SequenceClassifier',
  'SequenceTagger',
  'Stack',
  'beam_search',
  'dense',
  'feed',
  'identity_init',
  'last_state',
  'max_pool',
  'mean_pool',
  'one_way',
  'residual',
  'sample',
  'two_way',
]
