"""Every key of an experiment, explained. Experiments start from it and override."""

from ml_collections import ConfigDict, FieldReference


def get_config() -> ConfigDict:
  """Returns the keys that all experiments share; `model` and `data` are theirs.

  It is locked, so that a mistyped key in a config file is an error.
  """
  config = ConfigDict()

  # A run is a function of its config and this seed alone.
  config.seed = 0
  # 'classification', 'segmentation', 'tagging', 'language_model', 'regression' or
  # 'forecasting': that of the dataset.
  config.task = ''

  # A name of `convscan.architectures.names()`, and fields of that model to set
  # (a field must stand in the config file to be overridden on the command line).
  config.model = ConfigDict({'name': ''})
  # A name of `convscan.data.names()`, and options of that dataset to set. It is
  # prepared in data_dir: '' is TFDS's own, ~/tensorflow_datasets or $TFDS_DATA_DIR.
  config.data = ConfigDict({'name': '', 'data_dir': ''})

  # Sequences of several lengths: each batch has examples of about the same length, and
  # is padded to one of so many lengths, chosen to pad as little as can be. The step is
  # compiled for each of them. 0 pads all to the longest, in an order of chance alone.
  config.length_buckets = 0
  # Language models: each batch goes on in the text, row by row, where the one before it
  # ended, and so does the model's state; gradients end at the batch's start (truncated
  # back-propagation through time). A document starts afresh, and so does an epoch.
  # Documents to test are read as they are without it.
  config.carry_state = False

  # Processes that read and augment, besides the run's own threads, where these are not
  # fast enough; the batches are the same.
  config.num_reader_workers = 0
  # What an example does that can't be read, such as a damaged record: 'stop' ends the
  # run, and 'skip' gives it the weight 0 and counts it, train/skipped_examples since
  # the line of the log before, and eval/skipped_examples.
  config.on_bad_example = 'stop'

  # Fine-tuning: a file of weights in torch's names (.safetensors, or .pth with torch
  # installed), such as convscan.train.export writes, that a run starts from; '' starts
  # from random weights alone. A run that goes on where it was stopped reads it no more.
  config.init_from = ''
  # Modules that start from random weights all the same, such as ('head',) for another
  # number of classes. A name stands for all that begin so, up to a _: 'stage1' for
  # stage1_block0.
  config.init_fresh = ()
  # Modules that are not trained, likewise, such as ('stem', 'stage1'): their parameters
  # stay, and their batch norms use their running statistics and keep them. Dropout in
  # them goes on. No gradient goes below the first module that is trained. On the
  # command line: --config.frozen=stem,stage1, or --config.frozen= for none.
  config.frozen = ()

  config.loss = ConfigDict()
  # Tasks with classes minimise the cross-entropy, as torch's CrossEntropyLoss. So much
  # of each target is spread evenly over all classes.
  config.loss.label_smoothing = 0.0
  # What a target of each class counts, in the order of the classes: on the command line
  # --config.loss.class_weights="(1.0,2.5)". () is 1 for all. A batch's loss is divided
  # by the sum of what its targets count, save where these are mixed (below).
  config.loss.class_weights = ()
  # Regression and forecasting: 'squared', 'absolute' or 'huber', which is half the
  # square up to an error of delta, and a line from there.
  config.loss.name = 'squared'
  config.loss.delta = 1.0

  # Classification of images: each is mixed with another of its batch, and so are their
  # targets. The share of the one, of which each batch draws its own, is distributed as
  # Beta(alpha, alpha); 0 turns it off. Mixup takes so much of every pixel (Zhang et al.
  # 2018 have 0.2 on ImageNet), CutMix a rectangle (Yun et al. 2019 have 1). With both,
  # a coin is thrown for each batch.
  config.mixup_alpha = 0.0
  config.cutmix_alpha = 0.0

  # Where a model has auxiliary heads: the share of each one's loss that is added to the
  # model's own for its gradient (the metrics show its own alone). GoogLeNet's paper has
  # 0.3; torchvision's training of Inception v3 0.4.
  config.aux_loss_weight = 0.3

  # What the batch norms of a model normalise by: 'synchronised', the whole batch's
  # statistics; 'per_device', those of the examples on each device; 'frozen', the
  # running ones, their scales and biases too being left as they are.
  config.batch_norm = 'synchronised'
  # Parts in which a batch goes through the model, one after the other, to save memory.
  # The gradient is the whole batch's; batch norms see the parts.
  config.accumulate_steps = 1
  # Evaluated and exported are moving averages of parameters and batch statistics, which
  # keep so much of themselves at each update (less in the first ones); 0 keeps none.
  config.ema_decay = 0.0
  # Or they are the plain means after each update from this one on, as of averaged
  # stochastic gradient descent (Polyak and Juditsky 1992); 0 is none.
  config.average_from_step = 0
  # What a loss or gradient that is not finite does: 'stop' ends the run, and 'skip'
  # leaves the update out and counts it.
  config.on_nonfinite = 'stop'

  # What a run is evaluated on: 'test' or, where the dataset has it, 'validation', by
  # which to choose among models, so that the test split is left for the one chosen: a
  # run that is started again with another value goes on, or is only evaluated on it.
  config.eval_split = 'test'

  # Durations, in updates. The batch is the global one, over all devices.
  config.batch_size = 64
  config.num_train_steps = 1000
  config.log_every_steps = 50
  config.eval_every_steps = 250
  config.checkpoint_every_steps = 250
  # The newest checkpoints that stay on disk.
  config.keep_checkpoints = 2
  # The first and the last step that a profiler's trace in workdir/profile is of, such
  # as --config.profile="(20,25)"; () is none.
  config.profile = ()

  config.optimizer = ConfigDict()
  # 'sgd', 'adam', 'adamw' or 'rmsprop'.
  config.optimizer.name = 'adamw'
  # The peak, after warm-up.
  config.optimizer.learning_rate = 1e-3
  # The batch size that it is meant for: it is multiplied by batch_size over this (Goyal
  # et al. 2017, https://arxiv.org/abs/1706.02677); 0 takes it as it is.
  config.optimizer.learning_rate_batch_size = 0
  config.optimizer.warmup_steps = 0
  # 'constant', 'cosine' or 'step', over the steps after warm-up.
  config.optimizer.schedule = 'cosine'
  # cosine: the share of the learning rate that is left at the end.
  config.optimizer.end_factor = 0.0
  # step: the learning rate is multiplied by step_factor at these shares of the steps
  # after warm-up.
  config.optimizer.step_at = (0.5, 0.75)
  config.optimizer.step_factor = 0.1
  # Applied to matrices and filters, not to biases and norms.
  config.optimizer.weight_decay = 0.0
  # Gradients are scaled down to this global norm; 0 turns it off.
  config.optimizer.clip_norm = 0.0
  # sgd and rmsprop.
  config.optimizer.momentum = 0.9
  config.optimizer.nesterov = False
  # adam and adamw; b2 is also the decay of rmsprop.
  config.optimizer.b1 = 0.9
  config.optimizer.b2 = 0.999
  config.optimizer.eps = 1e-8

  # Language models: the text sampled at each evaluation.
  config.sample = ConfigDict({'length': 400, 'temperature': 0.7})

  # Devices: data times fsdp of them share each batch; data -1 is all that are left. An
  # array of fsdp_min_size elements or more, of the parameters, the optimizer's state
  # and the averages, is split over fsdp devices; all else lies whole on each.
  config.mesh = ConfigDict({'data': -1, 'fsdp': 1, 'fsdp_min_size': 16384})
  return config.lock()


def steps(config: ConfigDict, epochs: float, examples: float) -> FieldReference:
  """Returns how many updates so many epochs take, rounded, for a duration in updates.

  It follows `config.batch_size`, on the command line too.

  Args:
    config: the experiment.
    epochs: how often all examples are seen.
    examples: how many there are; of a stream of text with `carry_state`, its tokens by
      the length of a window.

  >>> config = get_config()
  >>> config.num_train_steps = steps(config, epochs=10, examples=50_000)
  >>> config.batch_size = 500
  >>> config.num_train_steps
  1000
  """
  batch_size = config.get_ref('batch_size')
  return (round(epochs * examples) + batch_size // 2) // batch_size
