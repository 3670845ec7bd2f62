"""Checkpoints of a run: the one file that knows orbax."""

import os
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging

from .state import TrainState

_FOLDER = 'checkpoints'
# What is evaluated is an item of its own, so that a trained model is read without the
# optimizer's state, which can be twice its size.
_ITEMS = ('variables', 'rest', 'progress')


class Checkpoints:
  """Saves the state of a run beside its training, and finds the newest one again.

  Args:
    workdir: the run's folder.
    keep: how many of the newest checkpoints stay; None is for reading alone, which
      changes nothing on disk, so that a run can be read while it trains.
  """

  def __init__(self, workdir: str, keep: int | None) -> None:
    writes = keep is not None
    verbosity = logging.get_verbosity()
    if not writes:
      logging.set_verbosity(logging.ERROR)  # it warns that it will not write
    self._manager = ocp.CheckpointManager(
      os.path.join(os.path.abspath(workdir), _FOLDER),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=writes,
        read_only=not writes,
        cleanup_tmp_directories=writes,  # what a killed save left
        enable_async_checkpointing=writes,
      ),
      item_names=_ITEMS,
    )
    logging.set_verbosity(verbosity)

  def latest_step(self) -> int | None:
    """Returns the newest step saved, or None."""
    return self._manager.latest_step()

  def save(self, step: int, state: TrainState, progress: dict[str, Any]) -> None:
    """Starts saving; training goes on while the files are written.

    `progress` is what else the run needs to go on, as JSON can hold it.
    """
    self._manager.save(
      step,
      args=ocp.args.Composite(
        variables=ocp.args.StandardSave(state.evaluated),
        rest=ocp.args.StandardSave(_rest(state)),
        progress=ocp.args.JsonSave(progress),
      ),
      force=True,
    )

  def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
    """Returns a step's state, placed as `like` is, and what was saved beside it."""
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    saved = self._manager.restore(
      step,
      args=ocp.args.Composite(
        variables=ocp.args.StandardRestore(abstract.evaluated),
        rest=ocp.args.StandardRestore(_rest(abstract)),
        progress=ocp.args.JsonRestore(),
      ),
    )
    variables, rest = saved['variables'], saved['rest']
    averaged = {'ema': variables} if like.ema else variables
    return like.replace(**averaged, **rest), saved['progress']

  def restore_variables(self, step: int, like: Any) -> Any:
    """Returns the model's variables alone, placed as `like` is."""
    saved = self._manager.restore(
      step, args=ocp.args.Composite(variables=ocp.args.StandardRestore(like))
    )
    return saved['variables']

  def close(self) -> None:
    """Waits until what is being saved is on disk."""
    self._manager.wait_until_finished()
    self._manager.close()


def _rest(state: TrainState) -> dict[str, Any]:
  """Returns all of a state but what is evaluated."""
  rest = {'step': state.step, 'opt_state': state.opt_state, 'key': state.key}
  return rest | state.variables if state.ema else rest


def latest_step(workdir: str) -> int | None:
  """Returns the newest step that the run in a folder has saved, or None."""
  folder = os.path.join(workdir, _FOLDER)
  steps = ocp.utils.checkpoint_steps(folder) if os.path.isdir(folder) else []
  return max(steps, default=None)
