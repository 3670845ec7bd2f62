"""Rehearsals for TPUs, which are not there, by their compiler."""

import re

import pytest
from rehearsing import command, needs_libtpu


def _gib(text):
  number, unit = text.split()
  return float(number) * {'KiB': 2**-20, 'MiB': 2**-10, 'GiB': 1}[unit]


@needs_libtpu
def test_a_small_config_for_a_slice_that_is_not_there():
  ran = command('--config=digits_lenet', '--topology=v5e:1x1,v5e:2x2,v4:2x2x1')
  assert ran.returncode == 0, ran.stderr
  # None of what libtpu says by itself.
  assert all(re.match(r'\d\d:\d\d:\d\d  compiling', s) for s in ran.stderr.splitlines())
  one, four, v4 = ran.stdout.strip().split('\n\ndigits_lenet on ')
  assert '1 x TPU v5 lite' in one
  assert '4 x TPU v5 lite' in four
  assert '4 x TPU v4' in v4  # of two cores each, which are one device
  assert re.search(r'\nfits \(.* of 15\.75 GiB\)\n', four)
  assert re.search(r'\nfits \(.* of 30\.75 GiB\)\n', v4)
  assert 'all-reduce' not in one
  assert re.search(r'\nall-reduce +\d+ x, 23[78]\.\d KiB ', four)


@needs_libtpu
def test_a_slice_that_can_not_be_split_so_is_said_in_a_line():
  ran = command('--config=digits_lenet', '--topology=v6e:4x4', '--config.mesh.fsdp=8')
  assert ran.returncode == 2
  assert ran.stderr == (
    'convscan: config.mesh.fsdp: 8; expected a product of whole sides of the slice, '
    'such as 4 or 16 of 4x4\n'
  )


@needs_libtpu
def test_what_a_chip_can_not_hold_is_refused_with_its_size():
  ran = command(
    '--config=pydoc_lstm', '--topology=v5e:1x1', '--noremedies',
    '--config.model.hidden_features=16384', '--config.data.length=16',
  )  # fmt: skip
  assert ran.returncode == 1
  assert ran.stderr.endswith('\nconvscan: it does not fit on v5e:1x1\n')
  excess = re.search(r'\ndoes not fit: (.* GiB) too much for 15\.75 GiB\n', ran.stdout)
  # Two layers, the larger of 8 * hidden**2, of 12 bytes a parameter with Adam's.
  state = 12 * (12 * 16384**2) / 2**30
  assert state - 15.75 < _gib(excess[1]) < 2.5 * state


@pytest.mark.long
@needs_libtpu
@pytest.mark.parametrize('topology', ['v5e:4x4', 'v5p:2x2x2', 'v6e:4x4'])
@pytest.mark.parametrize(
  ('config', 'parameters', 'arguments'),
  [
    ('imagenet_resnet50', 25_557_032, []),
    ('imagenet_convnext_tiny', 28_589_128, []),
    # 33,556,078 in torch, whose layers have a second bias, without our start token.
    ('wikitext2_awd_lstm', 33_556_078 - 4 * (2 * 1150 + 400) + 401, []),
    ('wikitext103_lstm', 582_153_688, ['--config.mesh.fsdp={chips}']),
  ],
)
def test_published_experiments_rehearse(config, parameters, arguments, topology):
  ran = command(
    f'--config={config}', f'--topology={topology}', '--noremedies',
    *(a.format(chips=8 if topology == 'v5p:2x2x2' else 16) for a in arguments),
  )  # fmt: skip
  assert ran.returncode == 0, ran.stderr
  assert f' {parameters:,} parameters; ' in ran.stdout
  assert re.search(r'\nfits \(', ran.stdout), ran.stdout
