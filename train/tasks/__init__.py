"""What can be trained: one file a task, found by the name that a dataset gives."""

import importlib

from .task import Task


def get(name: str) -> Task:
  """Returns a task by its name, that of its file.

  >>> get('classification').size_field
  'num_classes'
  """
  return importlib.import_module(f'.{name}', __name__).TASK
