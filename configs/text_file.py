"""An LSTM on your own text, in a file or a folder of them.

python -m convscan.train.main --config=text_file --config.data.path=FILE \
  --workdir=runs/text

--config.data.tokens=word reads words, and =tokenizer.json what a tokenizer makes of
them.
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'language_model'
  config.model = ConfigDict({
    'name': 'lstm_lm',
    'embedding_features': 64,
    'hidden_features': 256,
    'num_layers': 2,
    'dropout_rate': 0.2,
  })  # fmt: skip
  # convscan/data/builders/text_files.py explains each option.
  config.data = ConfigDict({
    'name': 'text_files',
    'data_dir': '',
    'path': '',
    'tokens': 'char',
    'vocab_size': 0,
    'unknown': 'token',
    'length': 128,
    'pattern': '*.txt',
    'test_fraction': 0.1,
    'seed': 0,
    'encoding': 'utf-8',
    'on_bad': 'error',
  })  # fmt: skip
  config.batch_size = 32
  config.num_train_steps = 1000
  config.optimizer.learning_rate = 4e-3
  config.optimizer.warmup_steps = 50
  config.optimizer.clip_norm = 1.0
  return config
