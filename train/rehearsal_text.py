"""What a rehearsal found, for a person to read."""

from collections.abc import Collection, Sequence
from typing import Any

from .machines import peak_flops
from .rehearsal import Rehearsal, Step
from .remedies import Trial


def report(name: str, rehearsal: Rehearsal) -> str:
  """Returns all that there is to say of a config on some devices, as a few tables."""
  r, chip = rehearsal, _chip(rehearsal)
  mesh = ' '.join(f'{axis}={size}' for axis, size in r.mesh.items())
  lines = [
    f'{name} on {r.topology}: {r.size} x {r.kind}, mesh {mesh}; {r.num_params:,} '
    f'parameters; batch {r.batch_size:,}, {r.batch_size // r.size:,} a {chip}',
    '',
  ]
  steps = {'training': r.training, 'evaluation': r.evaluation}
  names = dict.fromkeys([*r.evaluation.memory, *r.training.memory])
  rows = [[f'memory of a {chip}', *steps]]
  for k in names:
    sizes = [step.memory.get(k, 0) for step in steps.values()]
    if max(sizes) >= 1024:
      rows.append([k, *map(_bytes, sizes)])
  rows.append(['sum', *(_bytes(step.needs) for step in steps.values())])
  lines += [*_aligned(rows), verdict(r), '']
  rows = [[f'a step, a {chip}', *steps]]
  peak = peak_flops(r.kind)
  least = duration(r.flops / peak) if peak else '-'
  rows += [
    ["the model's FLOPs", _count(r.flops), '-'],
    ['at its peak in bfloat16', least, '-'],
    ['compiled FLOPs', *(_count(step.flops) for step in steps.values())],
    ["the model's share of these", _share(r), '-'],
  ]
  kinds = sorted({k for s in steps.values() if s.program for k in s.program.counts})
  for kind in kinds:
    rows.append([kind, *(_sent(step, kind) for step in steps.values())])
  rows.append(['compiled in', *(f'{step.seconds:.1f} s' for step in steps.values())])
  lines += _aligned(rows)
  return '\n'.join(lines + _notes(r))


def verdict(rehearsal: Rehearsal) -> str:
  """Says whether it fits, and how well.

  Both steps have to; the larger counts.
  """
  needs, limit = rehearsal.needs, rehearsal.limit
  if rehearsal.fits:
    return f'fits ({_bytes(needs)} of {_bytes(limit)})'
  return f'does not fit: {_bytes(needs - limit)} too much for {_bytes(limit)}'


def trial(tried: Trial, known: Collection[str]) -> str:
  """Says in a line what a change of the config does.

  Args:
    tried: the change.
    known: the keys that the config has. A field of the model that it does not name has
      no flag.
  """
  said = ' '.join(
    f'--config.{k}={_value(v)}' if k in known else f'config.{k} = {v!r} in the file'
    for k, v in tried.overrides.items()
  )
  if tried.rehearsal:
    return f'{said}: {verdict(tried.rehearsal)}'
  return f'{said}: can not be enough, since {_bytes(tried.at_least)} are needed still'


def _chip(rehearsal: Rehearsal) -> str:
  return 'device' if rehearsal.topology.family in ('cpu', 'gpu') else 'chip'


def _notes(r: Rehearsal) -> list[str]:
  """Says what the numbers above do not."""
  program, notes = r.training.program, []
  if program and program.product_loops:
    rounds = ', '.join('?' if n is None else str(n) for n in program.product_loops)
    notes.append(
      f'Training loops {rounds} times: products count in each round, other FLOPs once.'
      if r.training.flops
      else f"XLA counts loops once, and what more rounds ({rounds}) do can't be read."
    )
  if program and None in program.loops:
    notes.append('The collectives in a loop of unknown length count once.')
  if r.training.flops and r.flops > 1.005 * r.training.flops:
    notes.append(
      "The model's count has what XLA leaves out: products with padding, and the "
      'gradient of the inputs.'
    )
  return notes


def _share(r: Rehearsal) -> str:
  return f'{r.flops / r.training.flops:.0%}' if r.training.flops else '-'


def _sent(step: Step, kind: str) -> str:
  if step.program is None or not step.program.counts[kind]:
    return '-'
  return f'{step.program.counts[kind]:,} x, {_bytes(step.program.bytes[kind])} in all'


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return [
    '  '.join(
      [cells[0].ljust(widths[0])]
      + [cell.rjust(w) for cell, w in zip(cells[1:], widths[1:], strict=True)]
    )
    for cells in rows
  ]


def _bytes(number: float) -> str:
  """Returns bytes in the unit that suits them.

  >>> _bytes(0), _bytes(4), _bytes(1536), _bytes(3 * 2**30)
  ('-', '4 bytes', '1.5 KiB', '3.00 GiB')
  """
  if number < 52:  # 0.05 KiB
    return f'{number:.0f} bytes' if number else '-'
  for unit, digits in (('KiB', 1), ('MiB', 2)):
    number_in = number / 1024 ** (1 if unit == 'KiB' else 2)
    if number_in < 1024:
      return f'{number_in:.{digits}f} {unit}'
  return f'{_gib(number)} GiB'


def _gib(number: float) -> str:
  return f'{number / 2**30:.2f}'


def _count(number: float | None) -> str:
  """Returns a number of FLOPs in the unit that suits it.

  >>> _count(2.5e9), _count(None)
  ('2.50 G', '-')
  """
  if number is None:
    return '-'
  for unit, size in (('T', 1e12), ('G', 1e9), ('M', 1e6), ('K', 1e3)):
    if number >= size:
      return f'{number / size:.2f} {unit}'
  return f'{number:.0f}'


def duration(seconds: float) -> str:
  """Returns a time in the unit that suits it.

  >>> duration(2e-7), duration(0.81)
  ('0.20 us', '810.00 ms')
  """
  return f'{1e6 * seconds:.2f} us' if seconds < 1e-3 else f'{1e3 * seconds:,.2f} ms'


def _value(value: Any) -> str:
  return ','.join(value) if isinstance(value, tuple) else str(value)
