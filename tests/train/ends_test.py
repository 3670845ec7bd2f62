"""A run that ends before its last step, and what of it is kept."""

import pytest
from commands import checksums, lines

from convscan.configs import digits_lenet
from convscan.train.errors import RunError, Stopped
from convscan.train.loop import train_and_evaluate


def _config(**changes):
  config = digits_lenet.get_config()
  config.update_from_flattened_dict(
    {
      'num_train_steps': 12,
      'checkpoint_every_steps': 2,
      'eval_every_steps': 12,
      'log_every_steps': 4,
      'optimizer.warmup_steps': 8,
      'optimizer.learning_rate': 1e30,
      'optimizer.name': 'sgd',
    }
    | changes
  )
  return config


def test_it_ends_and_keeps_what_was_good(tmp_path):
  # The learning rate is 0 at step 1, and far too large after it.
  with pytest.raises(
    RunError, match=r'step [3-5]: .*loss not finite.* examples \d'
  ) as e:
    train_and_evaluate(_config(), str(tmp_path))
  assert len(str(e.value).partition('examples ')[2].split(', ')) == 64
  steps = sorted(int(path.name) for path in (tmp_path / 'checkpoints').iterdir())
  failed = int(str(e.value).split()[1].rstrip(':'))
  assert steps
  assert max(steps) < failed


def test_or_leaves_such_steps_out(tmp_path):
  train_and_evaluate(_config(on_nonfinite='skip'), str(tmp_path))
  assert sum(line.get('train/skipped', 0) for line in lines(tmp_path)) >= 7


def test_a_run_stopped_where_it_was_to_evaluate_does_so_when_it_goes_on(tmp_path):
  fields = {'optimizer.learning_rate': 0.01, 'eval_every_steps': 4}
  config = _config(**fields)
  with pytest.raises(Stopped):
    train_and_evaluate(config, str(tmp_path / 'stopped'), lambda step: step == 8)
  train_and_evaluate(config, str(tmp_path / 'stopped'))
  train_and_evaluate(config, str(tmp_path / 'whole'))
  stopped, whole = lines(tmp_path / 'stopped'), lines(tmp_path / 'whole')
  assert stopped == whole
  assert [m['step'] for m in whole if 'eval/loss' in m] == [4, 8, 12]


def test_a_run_goes_on_otherwise_logged_and_for_longer_to_the_same_bits(tmp_path):
  fields = {'optimizer.learning_rate': 0.01, 'optimizer.schedule': 'constant'}
  often = {'log_every_steps': 3, 'eval_every_steps': 5, 'checkpoint_every_steps': 7}
  longer = fields | {'num_train_steps': 16}
  train_and_evaluate(_config(**fields), str(tmp_path / 'on'))
  train_and_evaluate(_config(**longer, **often), str(tmp_path / 'on'))
  train_and_evaluate(_config(**longer), str(tmp_path / 'whole'))
  assert checksums(tmp_path / 'on', 16) == checksums(tmp_path / 'whole', 16)
  evaluated = [m['step'] for m in lines(tmp_path / 'on') if 'eval/loss' in m]
  assert evaluated == [12, 15, 16]
  assert lines(tmp_path / 'on')[-1] == lines(tmp_path / 'whole')[-1]
