"""Checkpoints that are damaged on disk, on purpose and in every file."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from convscan.train.checkpoint import (
  Checkpoints,
  latest_step,
  restore_newest,
  restore_variables,
)
from convscan.train.errors import CheckpointError, Damaged
from convscan.train.metrics import logger
from convscan.train.saved import read_step
from convscan.train.state import create_state


class Small(nn.Module):
  """Has a leaf for a data file of its own, small ones, and batch statistics."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.BatchNorm(use_running_average=not train)(nn.Dense(256)(x))
    return nn.Dense(3)(x)


def _mesh(count):
  devices = jax.devices()[:count]
  return jax.make_mesh(
    (count,), ('data',), axis_types=(AxisType.Auto,), devices=devices
  )


def _placed(state, count, split):
  """Puts a state on some devices; `split`: its matrices along the first axis."""
  mesh = _mesh(count)

  def put(x):
    spec = P('data') if split and x.ndim == 2 and x.shape[0] % count == 0 else P()
    return jax.device_put(x, NamedSharding(mesh, spec))

  return jax.tree.map(put, state)


def _state(step):
  """A state of random bits, another one at each step."""
  state = create_state(
    jax.random.key(0), jnp.ones((1, 32)), {}, model=Small(), tx=optax.adamw(1e-3)
  )
  rng = np.random.default_rng(step)

  def scramble(x):
    if not jnp.issubdtype(x.dtype, jnp.floating):
      return x
    return jnp.asarray(rng.normal(size=x.shape), x.dtype)

  state = jax.tree.map(scramble, state)
  return state.replace(step=jnp.int32(step), key=jax.random.key(step))


def _assert_same_bits(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.dtype == y.dtype
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
      x, y = jax.random.key_data(x), jax.random.key_data(y)
    np.testing.assert_array_equal(x, y)


def _save(workdir, *steps, keep=9, place=lambda state: state):
  checkpoints = Checkpoints(str(workdir), keep)
  for step in steps:
    progress = {'data': {'position': step}, 'since_log': [[0.1, float('nan')]]}
    checkpoints.save(step, place(_state(step)), progress)
  checkpoints.close()


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('saved')
  _save(workdir, 10, 20, place=lambda state: _placed(state, 8, split=True))
  return workdir


@pytest.fixture
def run(saved, tmp_path):
  """A copy to damage: the newest step is 20."""
  return shutil.copytree(saved, tmp_path / 'run')


@pytest.fixture
def lines():
  """What is logged, line by line."""
  messages = []

  class Keep(logging.Handler):
    def emit(self, record):
      messages.append(record.getMessage())

  handler = Keep()
  logger().addHandler(handler)
  yield messages
  logger().removeHandler(handler)


def _files(folder):
  return sorted(path for path in folder.rglob('*') if path.is_file())


def _largest(folder):
  return max(_files(folder), key=lambda path: path.stat().st_size)


def _flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 4
  path.write_bytes(content)


def _truncate(path):
  os.truncate(path, path.stat().st_size // 2)


def _empty(folder):
  shutil.rmtree(folder)
  folder.mkdir()


DAMAGE = {
  'a flipped byte': (lambda f: _flip(_largest(f)), 'the checksum differs'),
  'a truncated file': (lambda f: _truncate(_largest(f)), 'a file is truncated'),
  'a missing file': (lambda f: _largest(f).unlink(), 'a file is'),
  'no manifest': (lambda f: (f / 'state/manifest.ocdbt').unlink(), 'is missing'),
  'no state': (lambda f: shutil.rmtree(f / 'state'), 'state is missing'),
  'no progress': (lambda f: shutil.rmtree(f / 'progress'), 'progress is missing'),
  'no JSON': (lambda f: (f / 'progress/metadata').unlink(), 'progress is missing'),
  'cut JSON': (lambda f: _truncate(f / 'progress/metadata'), 'progress is damaged'),
  'an empty folder': (_empty, 'progress is missing'),
}


@pytest.mark.parametrize('name', DAMAGE)
def test_the_newest_good_step_is_restored_and_the_bad_one_set_aside(name, run, lines):
  damage, reason = DAMAGE[name]
  damage(run / 'checkpoints/20')
  damaged = [
    p.relative_to(run / 'checkpoints/20') for p in _files(run / 'checkpoints/20')
  ]
  step, state, progress = restore_newest(str(run), _state(0))
  assert step == 10
  _assert_same_bits(state, _state(10))
  assert progress['data'] == {'position': 10}
  assert latest_step(str(run)) == 10
  aside = run / 'checkpoints/20.bad'
  assert [p.relative_to(aside) for p in _files(aside)] == damaged
  assert len(lines) == 1
  for word in ('checkpoint 20', reason, '20.bad', 'from step 10'):
    assert word in lines[0]
  assert len(lines[0]) < 250 + len(str(run))


def test_whatever_file_is_damaged_nothing_wrong_is_restored(saved, tmp_path, lines):
  """The state is that of step 20 or of step 10, to the bit."""
  relative = [p.relative_to(saved) for p in _files(saved / 'checkpoints/20')]
  fell_back = []
  for i, name in enumerate(relative):
    for damage in (_flip, _truncate, os.unlink):
      run = shutil.copytree(saved, tmp_path / f'{i}-{damage.__name__}')
      damage(run / name)
      step, state, progress = restore_newest(str(run), _state(0))
      _assert_same_bits(state, _state(step))
      assert progress['data'] == {'position': step}
      fell_back += [name] if step == 10 else []
      shutil.rmtree(run)
  assert len(lines) == len(fell_back) > 9
  assert not any('\n' in line or len(line) > 250 + len(str(run)) for line in lines)


def test_every_flipped_byte_of_the_progress_shows(run):
  path = run / 'checkpoints/20/progress/metadata'
  content = path.read_bytes()
  for at in range(content.index(b'position') - 4, content.index(b'checksums') + 40, 3):
    damaged = bytearray(content)
    damaged[at] ^= 1
    path.write_bytes(damaged)
    step, _, progress = restore_newest(str(run), _state(0))
    assert (step, progress['data']) == (10, {'position': 10}), bytes(damaged)
    os.rename(run / 'checkpoints/20.bad', run / 'checkpoints/20')


def test_when_none_is_good_nothing_changes(run, lines):
  _truncate(run / 'checkpoints/20/state/manifest.ocdbt')
  _flip(_largest(run / 'checkpoints/10'))
  before = [(p, p.stat().st_mtime_ns) for p in sorted(run.rglob('*'))]
  with pytest.raises(CheckpointError) as error:
    restore_newest(str(run), _state(0))
  for word in ('no checkpoint', '20: ', 'a file is damaged', '10: ', 'differs'):
    assert word in str(error.value)
  assert '\n' not in str(error.value)
  assert [(p, p.stat().st_mtime_ns) for p in sorted(run.rglob('*'))] == before
  assert not lines


@contextlib.contextmanager
def _no_more_files():
  """No file can be opened: the lowest number that is free is the limit."""
  free = os.dup(0)
  os.close(free)
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _as_it_is(folder):
  return [(p, p.lstat().st_mtime_ns) for p in sorted(folder.rglob('*'))]


@pytest.mark.parametrize(
  'choose',
  [
    lambda folder: folder / 'progress/metadata',
    lambda folder: folder / 'state/manifest.ocdbt',
    _largest,
  ],
)
def test_a_step_that_could_not_be_read_may_be_good(choose, run, lines):
  path = choose(run / 'checkpoints/20')
  path.unlink()
  path.symlink_to(path.name)  # which nobody can open: not even root
  before = _as_it_is(run)
  with pytest.raises(CheckpointError, match='can not read') as error:
    restore_newest(str(run), _state(0))
  assert f"'{run}/checkpoints/20'" in str(error.value)
  assert ': Too many levels of symbolic links. It may be good' in str(error.value)
  assert _as_it_is(run) == before
  assert not lines


def test_too_many_open_files_are_no_damage(run, lines):
  before, like = _as_it_is(run), _state(0)
  for restore in (restore_newest, restore_variables):
    with pytest.raises(CheckpointError) as error, _no_more_files():
      restore(str(run), like)
    assert f"can not read '{run}/checkpoints': Too many open files" in str(error.value)
  with contextlib.ExitStack() as stack:

    def choose(sums):
      stack.enter_context(_no_more_files())  # from here on: the leaves are read
      return like

    with pytest.raises(CheckpointError, match='Too many open files') as error:
      read_step(str(run / 'checkpoints/20'), choose)
  assert not isinstance(error.value, Damaged)
  assert _as_it_is(run) == before
  assert not lines
  assert restore_newest(str(run), like)[0] == 20


def test_when_none_can_be_read_there_are_no_variables(run):
  for step in (10, 20):
    (run / f'checkpoints/{step}/state/manifest.ocdbt').unlink()
  before = sorted(run.rglob('*'))
  with pytest.raises(CheckpointError, match=r'20: .*missing; 10: .*missing'):
    restore_variables(str(run), _state(0).variables)
  assert sorted(run.rglob('*')) == before


def test_a_run_without_checkpoints(tmp_path):
  assert latest_step(str(tmp_path)) is None
  assert restore_newest(str(tmp_path), _state(0)) is None
  with pytest.raises(FileNotFoundError):
    restore_variables(str(tmp_path), _state(0).variables)


def test_after_falling_back_steps_are_saved_as_ever(run):
  _truncate(_largest(run / 'checkpoints/20'))
  (run / 'checkpoints/30').mkdir()
  assert restore_newest(str(run), _state(0))[0] == 10
  _save(run, 15, 20)
  step, state, _ = restore_newest(str(run), _state(0))
  assert step == 20
  _assert_same_bits(state, _state(20))
  _truncate(_largest(run / 'checkpoints/20'))
  assert restore_newest(str(run), _state(0))[0] == 15
  held = {path.name for path in (run / 'checkpoints').iterdir()}
  assert held == {'10', '15', '20.bad', '20.bad.1', '30.bad'}


def test_the_oldest_are_deleted_and_what_was_set_aside_is_not(run):
  _truncate(_largest(run / 'checkpoints/20'))
  restore_newest(str(run), _state(0))
  _save(run, 20, 30, 40, keep=2)
  held = {path.name for path in (run / 'checkpoints').iterdir()}
  assert held == {'30', '40', '20.bad'}


def test_reading_the_variables_renames_nothing(run, lines):
  _flip(run / 'checkpoints/20/state/manifest.ocdbt')
  before = sorted(run.rglob('*'))
  variables = restore_variables(str(run), _state(0).variables)
  _assert_same_bits(variables, _state(10).variables)
  assert sorted(run.rglob('*')) == before
  assert len(lines) == 1
  assert 'checkpoint 20' in lines[0]
  assert 'reading step 10' in lines[0]


def test_the_variables_are_the_moving_averages_where_these_are_kept(tmp_path):
  averages, params = {'params': {'w': jnp.ones(3)}}, {'w': jnp.zeros(3)}
  checkpoints = Checkpoints(str(tmp_path), 1)
  checkpoints.save(1, {'params': params, 'ema': averages}, {})
  checkpoints.close()
  _assert_same_bits(restore_variables(str(tmp_path), averages), averages)


def test_a_state_of_another_form_is_not_restored(run):
  other = _state(0)
  for state, word in [
    (other.replace(params={'w': jnp.zeros(2)}), 'is not part of this run'),
    (other.replace(params=other.params | {'w': jnp.zeros(2)}), 'params/w'),
    (other.replace(step=jnp.zeros((), jnp.float32)), r'step: int32\[\] is saved'),
  ]:
    with pytest.raises(CheckpointError, match=word):
      restore_newest(str(run), state)
  assert latest_step(str(run)) == 20


@pytest.mark.parametrize('count', [8, 4, 1])
@pytest.mark.parametrize('split', [False, True])
def test_a_state_moves_to_other_devices_bit_by_bit(saved, count, split):
  like = _placed(_state(0), count, split)
  step, state, _ = restore_newest(str(saved), like)
  assert step == 20
  _assert_same_bits(state, _state(20))
  for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(like), strict=True):
    assert x.sharding == y.sharding


def test_what_every_device_held_whole_can_be_split(tmp_path):
  _save(tmp_path, 10, place=lambda state: _placed(state, 4, split=False))
  like = _placed(_state(0), 8, split=True)
  kernels = [x for x in jax.tree.leaves(like.params) if x.ndim == 2]
  assert not any(x.sharding.is_fully_replicated for x in kernels)
  _, state, _ = restore_newest(str(tmp_path), like)
  _assert_same_bits(state, _state(10))
  for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(like), strict=True):
    assert x.sharding == y.sharding


def test_a_damaged_shard_shows_on_any_devices(saved, tmp_path):
  for count, split in [(8, True), (4, False), (1, False)]:
    run = shutil.copytree(saved, tmp_path / str(count))
    _flip(_largest(run / 'checkpoints/20'))
    assert restore_newest(str(run), _placed(_state(0), count, split))[0] == 10


def test_a_folder_that_cant_hold_checkpoints(tmp_path):
  (tmp_path / 'checkpoints').write_text('mine')
  with pytest.raises(CheckpointError, match=r'can not save step 5 .*Not a directory'):
    _save(tmp_path, 5)


def test_a_write_that_no_one_asked_for_is_not_printed(tmp_path, caplog):
  # As orbax leaves the others when one fails: never awaited, and of a file of its own.
  names: dict = {}
  source = "async def write():\n  raise OSError('full')\n"
  exec(compile(source, '/lib/orbax/checkpoint/serialization.py', 'exec'), names)

  async def leave():
    asyncio.ensure_future(names['write']())  # noqa: RUF006 (that is the point)
    await asyncio.sleep(0.01)

  Checkpoints(str(tmp_path), keep=1).close()
  asyncio.run(leave())
  gc.collect()
  assert caplog.text == ''
