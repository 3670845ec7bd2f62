"""Which trials to stop early, by a metric of theirs and of others at the same steps."""

import bisect
import statistics
from collections.abc import Iterable, Mapping, Sequence

# A metric over the steps, in their order: (step, value). More is better.
Curve = Sequence[tuple[int, float]]


def below_median(curve: Curve, completed: Iterable[Curve], min_trials: int = 3) -> bool:
  """Returns whether the median rule stops a trial.

  It does if the trial's best value is worse than the median, over the completed trials,
  of the mean of their values up to the same step (Golovin et al. 2017, Google Vizier,
  section 3.2.2). Here it waits for some trials to be completed: the median of one says
  little.

  Args:
    curve: of the trial, so far.
    completed: those of trials that have run to their end.
    min_trials: how many of these there must be.

  >>> others = [[(1, 0.2), (2, 0.8)], [(1, 0.4), (2, 0.8)], [(1, 0.6), (2, 1.0)]]
  >>> below_median([(1, 0.5), (2, 0.55)], others)  # of means 0.5, 0.6 and 0.8
  True
  >>> below_median([(1, 0.5)], others)  # of means 0.2, 0.4 and 0.6
  False
  """
  if not curve:
    return False
  step = curve[-1][0]
  means = []
  for other in completed:
    if values := [value for s, value in other if s <= step]:
      means.append(statistics.fmean(values))
  best = max(value for _, value in curve)
  return len(means) >= min_trials and best < statistics.median(means)


def rungs(min_steps: int, factor: int, num_steps: int) -> list[int]:
  """Returns the steps at which successive halving compares trials.

  >>> rungs(100, 3, 1200)
  [100, 300, 900]
  """
  steps, step = [], min_steps
  while step < num_steps:
    steps.append(step)
    step *= factor
  return steps


def loses_rung(
  name: str, curves: Mapping[str, Curve], rung: int, factor: int
) -> bool | None:
  """Returns whether halving stops a trial at a rung; None before it is there.

  At its first value at or after the rung, it goes on if it is among the best 1 of
  `factor` of the trials that have come there so far, itself included, or is the best of
  fewer: asynchronous successive halving (Li et al. 2020, A System for Massively
  Parallel Hyperparameter Tuning, algorithm 2). There a trial waits below the rung, and
  may be promoted when others have come; here it ends, since what waits would hold its
  place and what it needs. The first to come always goes on.

  >>> curves = {'a': [(10, 0.5)], 'b': [(10, 0.4)], 'c': [(10, 0.6)], 'd': []}
  >>> [loses_rung(name, curves, 10, 2) for name in 'abcd']
  [True, True, False, None]
  """
  at = {}
  for other, curve in curves.items():
    first = bisect.bisect_left(curve, (rung,))
    if first < len(curve):
      at[other] = curve[first][1]
  if name not in at:
    return None
  better = sum(value > at[name] for value in at.values())
  return better >= max(1, len(at) // factor)


class Stopper:
  """Applies a rule to trials as their values come; asks once of each at each point.

  Args:
    rule: 'median' or 'halving'.
    min_steps: no trial is stopped before; the first rung.
    factor: of `halving`, from rung to rung.
    num_steps: the last step of a trial.
  """

  def __init__(self, rule: str, min_steps: int, factor: int, num_steps: int) -> None:
    self._rule, self._min_steps, self._factor = rule, min_steps, factor
    self._rungs = rungs(min_steps, factor, num_steps)
    self._asked: set[tuple[str, int]] = set()

  def pass_over(self, curves: Mapping[str, Curve]) -> None:
    """Takes what trials came to at earlier starts, of which it does not ask again."""
    for name, curve in curves.items():
      for step, _ in curve:
        self._asked.add((name, step))
        self._asked |= {(name, rung) for rung in self._rungs if rung <= step}

  def losers(
    self, curves: Mapping[str, Curve], running: Iterable[str], completed: Iterable[str]
  ) -> dict[str, str]:
    """Returns the trials to stop, with why.

    Args:
      curves: of all trials, those that were stopped too.
      running: which of them may be stopped.
      completed: which of them have run to their end.
    """
    finished = [curves[name] for name in completed]
    stopped = {}
    for name in running:
      if why := self._loses(name, curves, finished):
        stopped[name] = why
    return stopped

  def _loses(
    self, name: str, curves: Mapping[str, Curve], finished: Sequence[Curve]
  ) -> str:
    curve = curves[name]
    step = curve[-1][0] if curve else 0
    if step < self._min_steps:
      return ''
    if self._rule == 'median':
      if self._first((name, step)) and below_median(curve, finished):
        return f'below the median at step {step}'
      return ''
    for rung in self._rungs:
      if rung > step or not self._first((name, rung)):
        continue
      if loses_rung(name, curves, rung, self._factor):
        return f'not among the best 1 of {self._factor} at step {rung}'
    return ''

  def _first(self, point: tuple[str, int]) -> bool:
    if point in self._asked:
      return False
    self._asked.add(point)
    return True
