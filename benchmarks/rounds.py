"""What the benchmarks share: interleaved timing, ratios, and where they ran."""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
  """Returns the seconds that one call takes; it blocks until its work is done."""
  began = time.perf_counter()
  for _ in range(repeats):
    call()
  return (time.perf_counter() - began) / repeats


def interleave(
  calls: dict[str, Callable[[], Any]],
  rounds: int,
  *,
  min_seconds: float = 0.05,
  max_seconds: float = math.inf,
) -> dict[str, list[float]]:
  """Times every call once a round, so that whatever slows a machine hits them all.

  Args:
    calls: what to time, by name; each is warmed up before the first round.
    rounds: how many rounds, in an order that rotates.
    min_seconds: a call is repeated within its round until it takes about this long.
    max_seconds: fewer rounds, but not fewer than three, if they would take longer.

  Returns:
    The seconds of one call, a list over the rounds by name.
  """
  repeats, round_seconds = {}, 0.0
  for name, call in calls.items():
    took = seconds(call)
    if min_seconds and took < 5:  # else it is not compilation that took so long
      took = seconds(call)
    repeats[name] = max(1, math.ceil(min_seconds / took))
    round_seconds += repeats[name] * took
  affordable = max(3.0, max_seconds / round_seconds)
  times: dict[str, list[float]] = {name: [] for name in calls}
  names = list(calls)
  for i in range(int(min(rounds, affordable))):
    for name in names[i % len(names) :] + names[: i % len(names)]:
      times[name].append(seconds(calls[name], repeats[name]))
  return times


def ratio(times: list[float], base: list[float]) -> float:
  """Returns the median over the rounds of `times / base`: above 1, base is faster."""
  return statistics.median(t / b for t, b in zip(times, base, strict=True))


def spread(times: Iterable[list[float]]) -> float:
  """Returns the slowest round by the median one, of the call where that is worst."""
  return max(max(ts) / statistics.median(ts) for ts in times)


def num_cores() -> int:
  """Returns how many cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def machine() -> dict[str, Any]:
  """Describes the machine: the part of a result that nobody remembers."""
  cpu = platform.processor() or platform.machine()
  if os.path.exists('/proc/cpuinfo'):
    with open('/proc/cpuinfo') as lines:
      models = [line.split(':', 1)[1].strip() for line in lines if 'model name' in line]
    cpu = models[0] if models else cpu
  device = jax.devices()[0]
  return {
    'cpu': cpu,
    'cores': num_cores(),
    'load': round(os.getloadavg()[0], 1),
    'backend': device.platform,
    'device': device.device_kind,
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
  }


def hardware() -> str:
  """Names the hardware for a file's name, such as 'amd-epyc-2-cores'."""
  here = machine()
  name = f'{here["cpu"]} {here["cores"]} cores'
  name = name if here['backend'] == 'cpu' else here['device']
  return re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')


def versions(packages: Iterable[str]) -> dict[str, str]:
  """Returns the versions of Python and of those packages that are installed."""
  found = {'python': platform.python_version()}
  for package in packages:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'absent'
  return found


def available_bytes() -> float:
  """Returns the memory that the default device has left; infinite where unknown."""
  stats = jax.devices()[0].memory_stats()
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit'] - stats['bytes_in_use']
  if os.path.exists('/proc/meminfo'):
    with open('/proc/meminfo') as lines:
      sizes = dict(line.split(':', 1) for line in lines)
    return int(sizes['MemAvailable'].split()[0]) * 1024
  return math.inf


def table(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
  """Returns a table in Markdown."""
  header = list(header)
  lines = [header, ['---'] * len(header), *rows]
  return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


def write(name: str, results: dict[str, Any], page: str, out: pathlib.Path) -> str:
  """Writes results as JSON, and their page of Markdown beside; returns the paths."""
  out.mkdir(parents=True, exist_ok=True)
  path = out / f'{name}-{hardware()}.json'
  path.write_text(json.dumps(results, indent=1) + '\n')
  path.with_suffix('.md').write_text(page)
  return f'{path} and {path.with_suffix(".md")}'


def some_of(legal: Sequence[str], text: str) -> list[str]:
  """Splits an argument's names at commas; each must be legal."""
  for name in text.split(','):
    if name not in legal:
      raise argparse.ArgumentTypeError(
        f'got {name!r}, expected some of {",".join(legal)}'
      )
  return text.split(',')
