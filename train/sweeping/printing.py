"""The commands of trials, for what runs them elsewhere.

No Ray is needed. Each trial keeps its folder, so that `--launcher=none` finds how they
stand. Nothing locks that folder: to run the same trial twice at once, or beside a sweep
on Ray, spoils it.
"""

import hashlib
import os
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from .plan import Trial, arguments

# Names of jobs are of few characters in Kubernetes: a letter first, 40 in all.
_NAME_DIGITS = 10


def commands(
  kind: str, config: str, root: str, common: dict[str, Any], listed: Sequence[Trial]
) -> str:
  """Returns the commands of some trials, as text for a file.

  Args:
    kind: 'shell', 'slurm', 'skypilot' or 'xpk'.
    config: the config file's path, or a shipped one's bare name.
    root: the sweep's folder, on a file system that all machines see.
    common: overrides that all trials have.
    listed: the trials that are left.
  """
  if not listed:
    return '# no trial is left: all have ended'
  lines = []
  for trial in listed:
    overrides = common | trial.overrides
    lines.append(
      ['python', *arguments(config, os.path.join(root, trial.name), overrides)]
    )
  names = [_job_name(root, trial) for trial in listed]
  return _FORMATS[kind](names, lines)


def _shell(names: Sequence[str], lines: Sequence[list[str]]) -> str:
  head = [
    f'# {len(lines)} trials, a line each: run them one after the other by',
    '# sh FILE, or N at once by xargs -d "\\n" -P N -I{} sh -c {} < FILE',
    _ONCE,
  ]
  return '\n'.join([*head, *(shlex.join([*line, _ALONE]) for line in lines)])


def _slurm(names: Sequence[str], lines: Sequence[list[str]]) -> str:
  cases = [
    f'  {i}) exec {shlex.join([*line, _ALONE, _STOPPED])} ;;'
    for i, line in enumerate(lines)
  ]
  return '\n'.join([
    '#!/bin/bash',
    '#SBATCH --job-name=convscan-sweep',
    f'#SBATCH --array=0-{len(lines) - 1}',
    '#SBATCH --requeue',
    '# SIGTERM a minute before the end: a run saves then, and is queued again.',
    '#SBATCH --signal=B:TERM@60',
    _ONCE,
    '# Say what a trial takes: sbatch --cpus-per-task=4 --gpus=1 --time=1:00:00 FILE',
    'case "$SLURM_ARRAY_TASK_ID" in',
    *cases,
    'esac &',
    'trap "kill -TERM $!" TERM',
    'wait $!; status=$?',
    'if [ $status -gt 128 ]; then wait $!; status=$?; fi',
    'if [ $status -eq 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi',
    'exit $status',
  ])  # fmt: skip


def _skypilot(names: Sequence[str], lines: Sequence[list[str]]) -> str:
  return '\n'.join([
    '# A managed job for each trial, which is started again when its machine is taken',
    '# away. TASK is a task file: launch/skypilot.yaml, whose run section adds',
    '# --stopped_status=75 to the command, so that what was stopped is started again.',
    _ONCE,
    *(
      f'sky jobs launch --yes --detach-run --name {name} --env '
      f'{shlex.quote("CONVSCAN_COMMAND=" + shlex.join(line))} "${{TASK:?}}"'
      for name, line in zip(names, lines, strict=True)
    ),
  ])  # fmt: skip


def _xpk(names: Sequence[str], lines: Sequence[list[str]]) -> str:
  return '\n'.join([
    '# A workload for each trial. CLUSTER, TPU_TYPE (v5litepod-4) and IMAGE, which has',
    '# convscan[tpu] installed and sees the folder, are for you to set.',
    _ONCE,
    *(
      f'xpk workload create --cluster="${{CLUSTER:?}}" --workload={name} '
      '--tpu-type="${TPU_TYPE:?}" --docker-image="${IMAGE:?}" --max-restarts=10 '
      f'--command={shlex.quote(shlex.join([*line, _STOPPED]))}'
      for name, line in zip(names, lines, strict=True)
    ),
  ])  # fmt: skip


_ALONE = '--distributed=false'  # in a Slurm job it would look for peers
_ONCE = '# Nothing locks the folders of trials: start none that runs already.'
_STOPPED = '--stopped_status=75'  # to tell what SIGTERM stopped from what is done
_FORMATS: dict[str, Callable[[Sequence[str], Sequence[list[str]]], str]] = {
  'shell': _shell,
  'slurm': _slurm,
  'skypilot': _skypilot,
  'xpk': _xpk,
}


def _job_name(root: str, trial: Trial) -> str:
  digest = hashlib.sha256(f'{root}/{trial.name}'.encode()).hexdigest()
  return f'sweep-{digest[:_NAME_DIGITS]}'
