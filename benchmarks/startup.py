"""The time from the command to the first step, with cold and with warm caches.

    python benchmarks/startup.py

Each round starts the ordinary training command anew: once with an empty compilation
cache, then again with the cache that this left. Prints the median of the rounds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 5
CONFIGS = ('digits_lenet', 'pydoc_lstm')


def seconds_to_first_step(config: str, cache: str) -> float:
  with tempfile.TemporaryDirectory() as workdir:
    began = time.perf_counter()
    process = subprocess.Popen(
      [sys.executable, '-m', 'convscan.train.main', f'--config={config}',
       f'--workdir={workdir}'],
      env=os.environ | {'JAX_COMPILATION_CACHE_DIR': cache},
      stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
      if 'first step' in line:
        took = time.perf_counter() - began
        process.kill()
        process.communicate()
        return took
    raise RuntimeError(f'{config} ended before its first step')


def main() -> None:
  print(f'{"config":14} {"cold cache":>11} {"warm cache":>11}   (seconds, median)')
  for config in CONFIGS:
    cold, warm = [], []
    for _ in range(ROUNDS):
      with tempfile.TemporaryDirectory() as cache:
        cold.append(seconds_to_first_step(config, cache))
        warm.append(seconds_to_first_step(config, cache))
    print(
      f'{config:14} {statistics.median(cold):11.1f} {statistics.median(warm):11.1f}'
    )


if __name__ == '__main__':
  main()
