"""Every example in a docstring runs, and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import convscan


def _modules():
  for part in ('architectures', 'data', 'train'):
    package = importlib.import_module(f'convscan.{part}')
    yield package.__name__
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):
      yield module.name


@pytest.mark.parametrize('name', [convscan.__name__, *_modules()])
def test_examples_run(name):
  module = importlib.import_module(name)
  result = doctest.testmod(
    module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
  )
  assert result.failed == 0


def test_there_are_examples():
  tests = doctest.DocTestFinder().find(
    importlib.import_module('convscan.train.optimizer')
  )
  assert any(test.examples for test in tests)
