"""Training: one command from a config file to a trained network.

`train_and_evaluate(config, workdir)` is the command
`python -m convscan.train.main --config=... --workdir=...` as a function, and
`restore(workdir)` gives a trained model and its variables back.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from .loop import train_and_evaluate as train_and_evaluate
  from .workdir import restore as restore

__all__ = ['restore', 'train_and_evaluate']


def __getattr__(name: str) -> Any:
  # Imported on first use: `--help` and a mistyped flag need not wait for jax.
  if name == 'train_and_evaluate':
    from .loop import train_and_evaluate

    return train_and_evaluate
  if name == 'restore':
    from .workdir import restore

    return restore
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
