"""What is overridden on the command line, as it arrives in the config."""

import absl.flags
import pytest
from ml_collections import config_flags
from ml_collections.config_flags import config_path

import convscan.train.flags  # noqa: F401  (has the parser of several values)
from convscan.configs import digits_finetune


@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    (['frozen=stem'], ('stem',)),
    (['frozen=stem,stage1'], ('stem', 'stage1')),
    (['frozen=stem,'], ('stem',)),
    (["frozen=('stem', 'stage1')"], ('stem', 'stage1')),
    (["frozen='stem','stage1'"], ('stem', 'stage1')),
    (['frozen=stem', 'frozen=stage1'], ('stem', 'stage1')),
    (['frozen='], ()),
    (['frozen=()'], ()),
    (['optimizer.step_at=0.5,0.75'], (0.5, 0.75)),
    (['data.labels=7'], (7,)),
  ],
)
def test_several_values(given, expected, monkeypatch):
  config = digits_finetune.get_config()
  argv = ['main', *(f'--config.{override}' for override in given)]
  monkeypatch.setattr('sys.argv', argv)  # which is where overrides are looked for
  values = absl.flags.FlagValues()
  config_flags.DEFINE_config_dict('config', config, flag_values=values)
  values(argv)
  key = given[0].partition('=')[0]
  assert config_path.get_value(key, config) == expected
