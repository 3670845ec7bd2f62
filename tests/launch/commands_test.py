"""Every command in docs/cloud_tpu.md and launch/ is one that its program takes."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = 'python -m convscan.train.main --config=digits_lenet --workdir=/mnt/runs/a'
# The arguments of each gcloud command that are used here, by its reference at
# https://cloud.google.com/sdk/gcloud/reference: how many words, and the flags.
GCLOUD = {
  'auth login': (0, ''),
  'compute tpus queued-resources create': (
    1,
    'zone node-id accelerator-type runtime-version spot valid-until-duration',
  ),
  'compute tpus queued-resources delete': (1, 'zone force quiet'),
  'compute tpus queued-resources describe': (1, 'zone format'),
  'compute tpus queued-resources list': (0, 'zone'),
  'compute tpus tpu-vm describe': (1, 'zone format'),
  'compute tpus tpu-vm list': (0, 'zone'),
  'compute tpus tpu-vm scp': (2, 'zone worker'),
  'compute tpus tpu-vm ssh': (1, 'zone worker command ssh-flag'),
  'config set': (2, ''),
  'container clusters create': (1, 'location workload-pool addons'),
  'container clusters delete': (1, 'location'),
  'container clusters get-credentials': (1, 'location'),
  'container clusters list': (0, ''),
  'container node-pools create': (
    1,
    'cluster location machine-type tpu-topology num-nodes spot',
  ),
  'filestore instances create': (1, 'zone tier file-share network'),
  'filestore instances delete': (1, 'zone'),
  'filestore instances describe': (1, 'zone format'),
  'filestore instances list': (0, ''),
  'projects describe': (1, 'format'),
  'services enable': (None, ''),
  'storage buckets add-iam-policy-binding': (1, 'member role'),
  'storage buckets create': (
    1,
    'location enable-hierarchical-namespace uniform-bucket-level-access '
    'soft-delete-duration',
  ),
  'storage cp': (None, 'recursive'),
  'storage rm': (1, 'recursive'),
}


def _lines(text):
  """Returns the command lines of a text: those of code, with what they go on in."""
  text = re.sub(r'\\\n\s*', '', text)
  code = re.findall(r'^(?:    |# {3})(.*)|`([^`]+)`', text, re.MULTILINE)
  return [block or span for block, span in code]


def _scalars(tree):
  if isinstance(tree, dict | list):
    for part in tree.values() if isinstance(tree, dict) else tree:
      yield from _scalars(part)
  else:
    yield '\n'.join(f'    {line}' for line in str(tree).splitlines())


def _sources():
  doc = ROOT / 'docs/cloud_tpu.md'
  yield doc.name, _lines(doc.read_text())
  for path in sorted((ROOT / 'launch').iterdir()):
    text = path.read_text()
    comments = [line for line in text.splitlines() if line.startswith('#')]
    yield path.name, _lines('\n'.join(comments))
    if path.suffix == '.yaml':
      yield path.name, _lines('\n'.join(_scalars(yaml.safe_load(text))))


def _named(pattern):
  """Returns the commands that match, as words, each once, with a name for its test."""
  found = {}
  for source, lines in _sources():
    for line in lines:
      if match := re.search(pattern, line):
        words = shlex.split(re.split(r' \| | >', line[match.start() :])[0])
        found.setdefault(tuple(words), source)
  return [
    pytest.param(list(words), id=f'{source}: {" ".join(words)[:60]}')
    for words, source in found.items()
  ]


OURS = _named(r'python -m convscan\.')
GOOGLES = _named(r'gcloud [a-z]')


def test_commands_are_found():
  assert {words[2] for (words,) in (p.values for p in OURS)} >= {
    'convscan.train.main',
    'convscan.train.rehearse',
    'convscan.train.sweep',
  }
  sources = {p.id.partition(':')[0] for p in OURS + GOOGLES}
  assert sources == {'cloud_tpu.md', 'skypilot.yaml', 'jobset.yaml'}
  assert {_split(*p.values)[0] for p in GOOGLES} | {
    'compute tpus tpu-vm scp',
    'compute tpus queued-resources create',
    'compute tpus queued-resources describe',
  } == set(GCLOUD)


# Reads the command line as the module does, and ends before it would run.
_PARSE = """
import runpy, sys
from absl import app
app.run = lambda main, flags_parser: print(flags_parser(sys.argv)[1:])
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
"""


@pytest.mark.parametrize('words', OURS)
def test_our_flags_take_our_commands(words, request):
  done = subprocess.run(
    [sys.executable, '-c', _PARSE, *words[2:]], capture_output=True, text=True
  )
  assert (done.returncode, done.stdout) == (0, '[]\n'), done.stderr
  assert all(w.startswith('--') for w in words[3:])
  # SkyPilot's task adds it to any command.
  if words[2] == 'convscan.train.main' and 'skypilot' not in request.node.name:
    assert '--stopped_status=75' in words


def _split(words):
  """Returns a gcloud command's name, its words and its flags."""
  words = words[1:]
  names = [n for n in GCLOUD if words[: n.count(' ') + 1] == n.split()]
  assert len(names) == 1, words
  rest = words[names[0].count(' ') + 1 :]
  flags = [w for w in rest if w.startswith('--')]
  return names[0], [w for w in rest if w not in flags], flags


def _check_gcloud(words):
  name, rest, flags = _split(words)
  count, known = GCLOUD[name]
  assert count in (None, len(rest)), words
  assert {f.partition('=')[0].removeprefix('--') for f in flags} <= set(known.split())


def _dry_run(*options):
  said = subprocess.check_output(
    [ROOT / 'launch/queued_resource.sh', '--dry-run', '--store=gs://b', '--zone=z',
     *options, 'name', '--', *RUN.split(), '--stopped_status=75',
     '--config.model.filters=(8, 16)'],
    text=True,
  )  # fmt: skip
  return [shlex.split(line) for line in said.splitlines()]


@pytest.mark.parametrize('words', GOOGLES)
def test_documented_arguments_of_gcloud(words):
  _check_gcloud(words)


def test_a_dry_run_prints_what_gcloud_takes():
  create, describe, scp, prepare, run, delete = _dry_run('--spot', '--wait=6h')
  for words in (create, describe, scp, prepare, run, delete):
    _check_gcloud(words)
  assert {'--spot', '--valid-until-duration=6h', '--node-id=name'} < set(create)
  (command,) = [w.removeprefix('--command=') for w in run if 'command' in w]
  export, words = command.split('; ')
  assert export == 'export PATH=$HOME/venv/bin:$PATH'
  assert shlex.split(words) == [
    'exec', *RUN.split(), '--stopped_status=75', '--config.model.filters=(8, 16)'
  ]  # fmt: skip
  assert '--worker=all' in run
  assert '--worker=all' in scp


@pytest.mark.skipif(not shutil.which('gcloud'), reason='gcloud is not installed')
def test_gcloud_itself_parses_what_is_said_to_it(tmp_path):
  commands = [p.values[0] for p in GOOGLES] + _dry_run('--spot', '--wait=6h')
  # No account, no network: a folder of its own, and a command that only parses.
  environment = os.environ | {
    'CLOUDSDK_CONFIG': str(tmp_path),
    'CLOUDSDK_CORE_CHECK_GCE_METADATA': 'false',
    'CLOUDSDK_CORE_DISABLE_USAGE_REPORTING': 'true',
    'CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK': 'true',
  }
  listed = tmp_path / 'commands.json'
  listed.write_text(json.dumps([{'command_string': shlex.join(w)} for w in commands]))
  said = subprocess.check_output(
    ['gcloud', 'meta', 'lint-gcloud-commands', f'--commands-file={listed}'],
    env=environment,
    text=True,
  )
  results = json.loads(said)
  assert len(results) == len(commands)
  for result in results:
    assert result['success'], result
