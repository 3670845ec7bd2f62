"""Whose a folder is, and what a run may change when it goes on."""

import numpy as np
import pytest

from convscan.configs import digits_lenet
from convscan.train.errors import ConfigError
from convscan.train.workdir import claim

INPUTS = np.zeros((8, 8, 1), np.float32)


@pytest.mark.parametrize(
  ('folder', 'why'),
  [
    ('file', 'File exists'),
    ('file/run', 'Not a directory'),
    ('x' * 300, 'File name too long'),
    ('/proc/self/convscan', 'No such file or directory'),
  ],
)
def test_a_folder_that_cant_be_made(folder, why, tmp_path):
  (tmp_path / 'file').write_text('mine')
  path = str(tmp_path / folder)
  with pytest.raises(ConfigError) as error:
    claim(path, digits_lenet.get_config(), ('a', 'b'), INPUTS)
  words = f'--workdir: {path!r} is not a folder that can be written: {why}'
  assert str(error.value) == words
  assert (tmp_path / 'file').read_text() == 'mine'
