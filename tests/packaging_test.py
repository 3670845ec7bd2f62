"""The wheel holds the whole package, and trains where no checkout is near."""

import ast
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
_PARTS = ('architectures', 'configs', 'data', 'train')


def _run(*command, **kwargs):
  done = subprocess.run(command, capture_output=True, text=True, **kwargs)
  assert done.returncode == 0, done.stdout + done.stderr
  return done


def _normal(name):
  return name.lower().replace('_', '-')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  folder = tmp_path_factory.mktemp('wheel')
  # Built from a copy: a build inside the checkout would leave its own files there.
  source = folder / 'source'
  listed = _run('git', 'ls-files', '-z', '-co', '--exclude-standard', cwd=ROOT).stdout
  for name in filter(None, listed.split('\0')):
    if (ROOT / name).is_file():
      (source / name).parent.mkdir(parents=True, exist_ok=True)
      (source / name).write_bytes((ROOT / name).read_bytes())
  _run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', folder, source)
  (path,) = folder.glob('*.whl')
  return path


def test_the_package_list_names_every_folder_with_code():
  listed = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  folders = {'convscan'} | {
    '.'.join(('convscan', *path.parent.relative_to(ROOT).parts))
    for part in _PARTS
    for path in (ROOT / part).rglob('*.py')
  }
  assert set(listed['tool']['setuptools']['packages']) == folders


def test_every_import_is_of_a_declared_dependency():
  declared = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  # An extra's are asked for by a line where they are missing.
  wanted = declared['dependencies'] + declared['optional-dependencies']['sweep']
  names = {_normal(re.match(r'[\w-]+', d)[0]) for d in wanted}
  provided = importlib.metadata.packages_distributions()
  # Read `.pth` files; asked for by name where there is none.
  optional = {'torch'}
  for part in _PARTS:
    for path in (ROOT / part).rglob('*.py'):
      for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.Import):
          modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
          modules = [node.module]
        for module in (m.partition('.')[0] for m in modules):
          if module not in {*sys.stdlib_module_names, 'convscan', *optional}:
            sources = {_normal(name) for name in provided[module]}
            known = {_normal(name) for name in names}
            assert sources & known, f'{path} imports {module}'


def test_the_wheel_holds_every_module(wheel):
  modules = {
    'convscan/' + path.relative_to(ROOT).as_posix()
    for part in _PARTS
    for path in (ROOT / part).rglob('*.py')
  }
  held = set(zipfile.ZipFile(wheel).namelist())
  assert not modules - held
  assert {'convscan/__init__.py', 'convscan/py.typed'} <= held
  assert not [n for n in held if n.startswith(('convscan/tests', 'tests', 'train/'))]


def test_the_installed_wheel_trains_away_from_the_checkout(wheel, tmp_path):
  _run(sys.executable, '-m', 'venv', tmp_path / 'env', '--without-pip')
  python = tmp_path / 'env/bin/python'
  site = _run(python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))')
  site = pathlib.Path(site.stdout.strip())
  # The dependencies are this environment's, by path; its link to the checkout is a
  # .pth file, and those are not followed from there.
  (site / 'dependencies.pth').write_text(sysconfig.get_path('purelib') + '\n')
  _run(
    sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--target', site, wheel
  )
  environment = os.environ | {'XLA_FLAGS': ''}
  where = _run(python, '-c', 'import convscan; print(convscan.__file__)', cwd=tmp_path)
  assert where.stdout.strip() == str(site / 'convscan/__init__.py')
  done = _run(
    python, '-m', 'convscan.train.main', '--config=digits_lenet',
    f'--workdir={tmp_path}/run', '--config.num_train_steps=4',
    '--config.optimizer.warmup_steps=0',
    cwd=tmp_path, env=environment,
  )  # fmt: skip
  assert 'finished step 4 of 4' in done.stderr
  assert (tmp_path / 'run/confusion.png').stat().st_size > 10_000
