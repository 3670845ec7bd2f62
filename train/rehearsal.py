"""The two steps of a config, compiled for devices that need not be there."""

import dataclasses
import math
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections

from .. import data
from . import sequences, topologies
from .errors import blame
from .evaluation import make_eval_step
from .experiment import Experiment, check, make_experiment
from .hlo import Program, read_program
from .mesh import batch_sharded, make_mesh, replicated
from .metrics import told
from .report import model_flops
from .topologies import Topology

# Names of what lies in memory that others ask for.
TEMPORARIES = 'activations, temporaries'
BATCH = 'batch, and the next one'
CARRY = 'carried state'


@dataclasses.dataclass(frozen=True)
class Step:
  """A compiled step; all bytes and FLOPs are those of one device.

  Attributes:
    memory: the bytes of what lies in memory while it runs, by name.
    flops: as XLA counts them, and the products in a loop as often as it goes round;
      None where it does not fit, or where that is not known.
    program: what it sends, and its loops; None where it does not fit.
    seconds: how long compiling took.
  """

  memory: dict[str, int]
  flops: float | None
  program: Program | None
  seconds: float

  @property
  def needs(self) -> int:
    """The sum of the memory."""
    return sum(self.memory.values())


@dataclasses.dataclass(frozen=True)
class Rehearsal:
  """What a config needs on some devices.

  Attributes:
    topology: the devices.
    kind: what JAX calls one of them.
    mesh: the sizes of its axes.
    batch_size: the global one.
    limit: the bytes of memory that a device has for programs.
    flops: those of the model in training, for a step, on one device; see `model_flops`.
    num_params: of the model.
    training: the training step.
    evaluation: the evaluation step.
  """

  topology: Topology
  kind: str
  mesh: dict[str, int]
  batch_size: int
  limit: int
  flops: float
  num_params: int
  training: Step
  evaluation: Step

  @property
  def size(self) -> int:
    """The number of devices."""
    return math.prod(self.mesh.values())

  @property
  def needs(self) -> int:
    """The bytes of memory that the larger of the two steps needs."""
    return max(self.training.needs, self.evaluation.needs)

  @property
  def fits(self) -> bool:
    """Whether that is there."""
    return self.needs <= self.limit


def rehearse(
  config: ml_collections.ConfigDict, dataset: Any, topology: Topology
) -> Rehearsal:
  """Compiles the steps that `train_and_evaluate` runs.

  Args:
    config: a complete experiment.
    dataset: that of `config.data`, whose examples may be blank; see `data.declare`.
    topology: the devices.

  Raises:
    ConfigError: the config can't be trained so.
  """
  devices = topologies.devices(topology)
  mesh = make_mesh(config.mesh.data, config.mesh.fsdp, devices)
  check(config, mesh)
  training, evaluation = batch_shapes(config, dataset)
  experiment = make_experiment(config, dataset, mesh)
  limit = topologies.memory(topology, list(mesh.devices.flat))
  held = state_memory(experiment)
  one = bytes_on_one(training, batch_sharded(mesh))

  arguments = bytes_on_one(experiment.shapes, experiment.places) + one
  # While a step runs, the next one's batch is put on the devices.
  train = _compile(
    f'the training step for {topology}',
    lambda: experiment.update.lower(
      placed(experiment.shapes, experiment.places),
      placed(training, batch_sharded(mesh)),
    ),
    held | {BATCH: 2 * one}, arguments,
  )  # fmt: skip

  variables = experiment.shapes.evaluated
  copy = bytes_on_one(variables, replicated(mesh))
  one = bytes_on_one(evaluation, batch_sharded(mesh))
  eval_step = make_eval_step(experiment.model, experiment.task, mesh)
  rest = {'what is evaluated, whole': copy, BATCH: 2 * one}
  evaluate = _compile(
    f'the evaluation step for {topology}',
    lambda: eval_step.lower(
      placed(variables, replicated(mesh)), placed(evaluation, batch_sharded(mesh))
    ),
    held | rest,
    copy + one,
  )
  flops = model_flops(experiment.table, experiment.frozen) * config.batch_size
  return Rehearsal(
    topology=topology,
    kind=devices[0].device_kind,
    mesh=dict(mesh.shape),
    batch_size=config.batch_size,
    limit=limit,
    flops=flops / mesh.size,
    num_params=experiment.table.num_params,
    training=train,
    evaluation=evaluate,
  )


def batch_shapes(config: ml_collections.ConfigDict, dataset: Any) -> tuple[Any, Any]:
  """Returns the shapes of a batch to train on and of one to evaluate, the longest.

  Raises:
    ConfigError: there can be no such batches.
  """
  sequences.check_batches(config, dataset)
  carry = config.carry_state

  def batches(size: int) -> Any:
    return data.train_batches(dataset, size, 0, carry_state=carry, num_threads=0)

  with blame('config.batch_size'):
    batches(config.batch_size)
  # Of one example each: a blank one is as good as any, and all have one shape.
  training = next(batches(1))
  del training['index']
  evaluation = next(data.eval_batches(dataset, config.eval_split, 1))

  def of_all(rows: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((config.batch_size, *rows.shape[1:]), rows.dtype)

  return jax.tree.map(of_all, training), jax.tree.map(of_all, evaluation)


def state_memory(experiment: Experiment) -> dict[str, int]:
  """Returns the bytes that the parts of the state take on a device, but for nothing."""
  shapes, places = experiment.shapes, experiment.places
  parts = {
    'parameters': 'params',
    'optimizer state': 'opt_state',
    'batch statistics': 'batch_stats',
    'averages': 'ema',
    CARRY: 'carry',
  }
  sizes = {
    name: bytes_on_one(getattr(shapes, part), getattr(places, part))
    for name, part in parts.items()
  }
  return {name: size for name, size in sizes.items() if size}


def bytes_on_one(tree: Any, shardings: Any) -> int:
  """Returns the bytes that arrays take on each device, without any padding.

  Args:
    tree: arrays, or their shapes and dtypes.
    shardings: one for all, or a tree of them.
  """
  return sum(
    math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
    for x in jax.tree.leaves(placed(tree, shardings))
  )


def placed(tree: Any, shardings: Any) -> Any:
  """Returns the shapes and dtypes of arrays with where they lie, as arrays have it.

  A step is traced otherwise, if to the same effect, where that is not known.

  Args:
    tree: arrays, or their shapes and dtypes.
    shardings: one for all, or a tree of them.
  """
  if isinstance(shardings, jax.sharding.Sharding):
    shardings = jax.tree.map(lambda _: shardings, tree)
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings
  )


def _compile(
  what: str,
  lower: Callable[[], jax.stages.Lowered],
  held: dict[str, int],
  arguments: int,
) -> Step:
  """Compiles a step, and adds to what is held what it needs besides.

  Args:
    what: to call it.
    lower: traces the step.
    held: the bytes of what lies in memory meanwhile, by name.
    arguments: how many of them are the step's arguments.
  """
  began = time.perf_counter()
  try:
    with told(f'compiling {what}'):
      compiled = lower().compile()
  except jax.errors.JaxRuntimeError as error:
    total = _total_needed(str(error))
    if total is None:
      raise
    temporaries = max(total - arguments, 0)
    seconds = time.perf_counter() - began
    return Step(held | {TEMPORARIES: temporaries}, None, None, seconds)
  seconds = time.perf_counter() - began
  stats: Any = compiled.memory_analysis()
  costs: Any = compiled.cost_analysis()
  own = {
    TEMPORARIES: stats.temp_size_in_bytes,
    'results': stats.output_size_in_bytes - stats.alias_size_in_bytes,
    'program': stats.generated_code_size_in_bytes,
    'padding of arrays': max(stats.argument_size_in_bytes - arguments, 0),
  }
  program = read_program(compiled.as_text() or '')
  flops = costs.get('flops', math.nan) + program.repeated
  return Step(held | own, None if math.isnan(flops) else flops, program, seconds)


def _total_needed(message: str) -> int | None:
  """Returns the bytes that libtpu says a program needs, which it therefore refuses.

  >>> _total_needed(
  ...   'RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for '
  ...   'HLO temporaries (20.00G) exceeds available HBM (15.75G).'
  ... )
  21474836480
  >>> _total_needed('INTERNAL: something else')
  """
  said = re.search(r'\(([\d.]+)([KMGT])\) exceeds available', message)
  said = said or re.search(r'Used ([\d.]+)([KMGT]) of', message)
  if 'RESOURCE_EXHAUSTED' not in message or not said:
    return None
  return int(float(said[1]) * 1024 ** ('KMGT'.index(said[2]) + 1))
