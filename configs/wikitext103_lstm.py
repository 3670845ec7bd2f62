"""An LSTM of 580 million parameters on WikiText-103, that of Rae et al. 2018.

python -m convscan.train.main --config=wikitext103_lstm --workdir=runs/wikitext103 \
    --config.mesh.fsdp=16

Published: perplexities of 36.0 on the validation and 36.4 on the test split; the LSTM
that "Fast Parametric Learning with Activation Memorization" compares with, in
https://arxiv.org/abs/1803.10049. Not trained here.

One layer of 2,048 with its embeddings tied to the 267,735 words' scores, the dropout of
its inputs, and batches of 512 windows of 100 words, with the state carried, are meant
to be the paper's, which comes without code: compare them before a result. The
optimizer, its schedule, clipping and the number of epochs are chosen here, and what is
computed in bfloat16. An evaluation reads windows of 100 words, each word after 50
others or more.
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
