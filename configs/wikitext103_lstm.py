"""A large LSTM on WikiText-103: 580 million parameters, most of them of its words.

python -m convscan.train.main --config=wikitext103_lstm --workdir=runs/wikitext103 \
    --config.mesh.fsdp=16

One layer of 2,048, with embeddings of 2,048 tied to the scores of 267,735 words. The
published LSTM that is nearest to it is that with which Rae et al. 2018,
https://arxiv.org/abs/1803.10049, compare: perplexities of 36.0 on the validation and
36.4 on the test split. It has one layer of 2,048, too, but, as others describe it
(https://micronet-challenge.github.io), embeddings of 512 and a projection to them, some
160 million parameters. All else here, the dropout, the windows and the optimizer, is
chosen, not theirs. Not trained here. An evaluation reads windows of 100 words, each
word after 50 others or more.
"""

from ml_collections import ConfigDict

from convscan.configs import base

_WORDS = 103_227_021


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'language_model'
  config.model = ConfigDict({
    'name': 'lstm_lm',
    'embedding_features': 2048,
    'hidden_features': 2048,
    'num_layers': 1,
    'dropout_rate': 0.0,
    'input_dropout_rate': 0.3,
    'tie_embeddings': True,
    'dtype': 'bfloat16',
  })  # fmt: skip
  config.data = ConfigDict({'name': 'wikitext103', 'data_dir': '', 'length': 100})
  config.carry_state = True
  config.batch_size = 512
  # The scores of all words are what takes most memory: 55 GB of them, were it not for
  # this.
  config.accumulate_steps = 8
  epoch = base.steps(config, 1, _WORDS / 100)
  config.num_train_steps = base.steps(config, 20, _WORDS / 100)
  config.log_every_steps = 100
  config.eval_every_steps = epoch
  config.checkpoint_every_steps = epoch
  config.eval_split = 'validation'
  config.optimizer.name = 'adam'
  config.optimizer.learning_rate = 1e-3
  config.optimizer.warmup_steps = 1000
  config.optimizer.schedule = 'cosine'
  config.optimizer.clip_norm = 1.0
  config.sample.length = 100
  return config
