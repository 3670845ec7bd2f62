"""What would make a config fit, beside what each change needs by itself."""

import dataclasses

import pytest
from rehearsing import lenet, needed, rehearse_on_cpu

from convscan.configs import digits_lenet
from convscan.train import flags, loop, rehearsal, rehearsal_text, remedies, topologies
from convscan.train.topologies import Topology


def _limited(monkeypatch, limit):
  monkeypatch.setattr(topologies, 'memory', lambda *args: limit)


def test_what_makes_it_fit_is_tried(monkeypatch):
  config = lenet(batch_size=64)
  config.mesh.data = 1
  # Between what the batch needs and what half of it does.
  limit = (needed(32) + needed(64)) // 2
  assert needed(32) < limit < needed(64)
  _limited(monkeypatch, limit)
  base = rehearse_on_cpu(config)
  assert not base.fits
  dataset = loop.build_dataset(config)
  tried = list(remedies.try_remedies(config, dataset, base))
  by_key = {next(iter(t.overrides)): t for t in tried}
  assert by_key['batch_size'].overrides == {'batch_size': 32}
  assert by_key['batch_size'].rehearsal.needs == needed(32)
  assert by_key['batch_size'].fits
  for trial in tried:
    if trial.rehearsal:
      again = rehearse_on_cpu(remedies.changed(config, trial.overrides))
      assert again.training.memory == trial.rehearsal.training.memory
      assert trial.fits == (again.needs <= limit)
      assert trial.at_least <= limit
  assert by_key['accumulate_steps'].rehearsal.batch_size == 64
  assert 'mesh.fsdp' not in by_key  # one device can't share
  shown = rehearsal_text.trial(by_key['batch_size'], flags.keys(config))
  assert shown.startswith('--config.batch_size=32: fits (')


def test_values_are_tried_from_the_mildest_until_one_is_enough(monkeypatch):
  config = lenet(batch_size=64)
  config.mesh.data = 1
  base = dataclasses.replace(rehearse_on_cpu(config), limit=100)
  ladder = [remedies.Trial({'batch_size': n}, 50, None) for n in (32, 16, 8, 4, 2)]
  monkeypatch.setattr(remedies, 'remedies', lambda *unused: iter([ladder]))

  def tried(enough):
    def compiled(config, dataset, topology, trial):
      fits = trial.overrides.get('batch_size', 64) <= enough
      needs = {'all': 100 if fits else 101}
      step = dataclasses.replace(base.training, memory=needs)
      found = dataclasses.replace(base, training=step, evaluation=step)
      return dataclasses.replace(trial, rehearsal=found)

    monkeypatch.setattr(remedies, '_try', compiled)
    found = remedies.try_remedies(config, None, base)
    return [trial.overrides['batch_size'] for trial in found if trial.overrides]

  assert tried(32) == [32]
  assert tried(8) == [32, 16, 8]
  assert tried(4) == [32, 16, 8, 2]
  assert tried(1) == [32, 16, 8, 2]


def test_what_can_not_help_is_not_compiled_and_all_together_is(monkeypatch):
  config = lenet(batch_size=64)
  config.mesh.data = 1
  _limited(monkeypatch, 1000)
  base = rehearse_on_cpu(config)
  dataset = loop.build_dataset(config)
  *alone, together = remedies.try_remedies(config, dataset, base)
  assert [list(t.overrides) for t in alone] == [
    ['accumulate_steps'], ['model.dtype'], ['batch_size'],
  ]  # fmt: skip
  assert not any(t.rehearsal for t in alone)
  assert together.overrides == {'accumulate_steps': 64, 'model.dtype': 'bfloat16'}
  assert together.rehearsal.needs < base.needs
  known = flags.keys(config)
  assert 'can not be enough, since' in rehearsal_text.trial(alone[0], known)
  # Its file does not name it, so there is no flag for it.
  dtype = "config.model.dtype = 'bfloat16' in the file: "
  assert rehearsal_text.trial(alone[1], known).startswith(dtype)


def test_fsdp_and_remat_are_offered_where_they_can_be(monkeypatch):
  config = digits_lenet.get_config()
  config.model = {'name': 'resnet20_cifar', 'dtype': 'bfloat16'}
  config.mesh.data = 8
  dataset = loop.build_dataset(config)
  # As if compiled: what is offered is known from the config and the devices alone.
  step = rehearsal.Step({'parameters': 800, rehearsal.TEMPORARIES: 100}, 1.0, None, 1.0)
  base = rehearsal.Rehearsal(
    Topology('cpu', '8'), 'cpu', {'data': 8, 'fsdp': 1}, 64, 500, 1.0, 1, step, step
  )
  ladders = {
    next(iter(ladder[0].overrides)): ladder
    for ladder in remedies.remedies(config, dataset, base)
  }
  assert [t.overrides for t in ladders['mesh.fsdp']] == [
    {'mesh.fsdp': n, 'mesh.data': 8 // n} for n in (2, 4, 8)
  ]
  assert [t.at_least for t in ladders['mesh.fsdp']] == [500, 300, 200]
  [remat] = ladders['model.remat']
  assert remat.overrides['model.remat'] == ('stage0', 'stage1', 'stage2', 'stage3')
  assert 'model.dtype' not in ladders  # it is already
  assert [t.overrides['accumulate_steps'] for t in ladders['accumulate_steps']] == [
    2, 4, 8,
  ]  # fmt: skip


# Whatever is expected before it is compiled: too little, what is, or too much.
@pytest.mark.parametrize(('wrong_by', 'start'), [(0.05, 8), (1, 128), (100, 8)])
def test_the_largest_batch_is_that_of_all_that_were_tried_by_hand(
  wrong_by, start, monkeypatch
):
  expect = remedies._needs
  monkeypatch.setattr(remedies, '_needs', lambda *args: wrong_by * expect(*args))
  needs = {n: needed(n) for n in (8, 16, 32, 64)}
  assert sorted(needs.values()) == list(needs.values())
  _limited(monkeypatch, (needs[32] + needs[64]) // 2)
  config = lenet(batch_size=start)
  dataset = loop.build_dataset(config)
  base = rehearse_on_cpu(config)
  found = remedies.find_batch(config, dataset, base)
  assert found.overrides == {'batch_size': 32}
  _limited(monkeypatch, 1000)
  if start == 8:
    base = dataclasses.replace(base, limit=1000)
    assert remedies.find_batch(config, dataset, base) is None


def test_the_smallest_slice_is_that_of_all_that_were_tried_by_hand(monkeypatch):
  config = lenet(batch_size=64)
  counts = [1, 2, 3, 4, 8]  # of which 3 can't share the batch
  needs = {n: rehearse_on_cpu(config, devices=n).needs for n in (1, 2, 4, 8)}
  dataset = loop.build_dataset(config)
  slices = [Topology('cpu', str(n)) for n in counts]
  for n in (1, 4):
    _limited(monkeypatch, needs[n])
    found = remedies.find_slice(config, dataset, slices)
    assert found.topology == Topology('cpu', str(n))
    assert found.needs == needs[n]
  _limited(monkeypatch, 1000)
  assert remedies.find_slice(config, dataset, slices) is None
