"""Writes the weights of a trained run in torch's names, from its folder alone.

    python -m convscan.train.export --workdir=runs/resnet --path=resnet.safetensors

For `config.init_from`, `convscan.architectures.weights.load`, and torch: the names are
those of the `state_dict` of the network's published implementation.
"""

import os

from .flags import define_path, define_workdir, run


def export(workdir: str, path: str) -> None:
  """Writes the newest checkpoint's weights to a new `.safetensors` file.

  Raises:
    ConfigError: the folder holds no checkpoint, torch has no such model, or the file
      can't be made or is there already.
  """
  import safetensors.numpy

  from .. import architectures
  from .errors import ConfigError, blame
  from .workdir import restore

  if os.path.splitext(path)[1] != '.safetensors':
    raise ConfigError(f'--path: {path!r}; expected the name of a .safetensors file')
  model, variables = restore(workdir)
  with blame(f'--workdir: {workdir!r} can not be exported'):
    state = architectures.weights.to_torch(model, variables)
  content = safetensors.numpy.save(state, metadata={'format': 'pt'})
  with blame('--path'), open(path, 'xb') as f:  # 'x': never over another file
    f.write(content)


def main(workdir: str, path: str) -> None:
  """Writes, and says where."""
  export(workdir, path)
  print(f'weights in {path}')


if __name__ == '__main__':
  run(main, define_workdir(), define_path())
