"""A GRU that foretells the columns of your own CSV or Parquet file.

python -m convscan.train.main --config=series_csv --config.data.path=FILE \
  --config.data.time=COLUMN --workdir=runs/series

FILE has a row for each step, and a name for each column in its first line. The steps to
foretell are set twice: --config.data.horizon=24 --config.model.horizon=24.
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'forecasting'
  config.model = ConfigDict({
    'name': 'gru_forecaster',
    'hidden_features': 64,
    'num_layers': 1,
    'dropout_rate': 0.0,
    'horizon': 24,
  })  # fmt: skip
  # convscan/data/builders/series_forecasting.py explains each option.
  config.data = ConfigDict({
    'name': 'series_forecasting',
    'data_dir': '',
    'path': '',
    'columns': (),
    'features': (),
    'series': '',
    'time': '',
    'length': 96,
    'horizon': 24,
    'test_fraction': 0.2,
    'normalise': True,
    'delimiter': ',',
    'encoding': 'utf-8',
    'on_bad': 'error',
  })  # fmt: skip
  config.batch_size = 64
  config.num_train_steps = 1000
  config.optimizer.learning_rate = 3e-3
  config.optimizer.warmup_steps = 50
  config.optimizer.clip_norm = 1.0
  return config
