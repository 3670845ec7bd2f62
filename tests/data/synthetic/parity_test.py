"""Parity, by counting."""

from collections import Counter

import pytest

from convscan import data


def test_the_class_is_the_parity_of_the_ones():
  dataset = data.build('parity', train_lengths=(1, 6), test_lengths=(7, 9))
  for split, lengths in [('train', range(1, 7)), ('test', range(7, 10))]:
    strings, answers = Counter(), Counter()
    for i in range(1000):
      example = dataset.splits[split][i]
      assert example['inputs'].shape == (lengths[-1],)
      string = ''.join('-01'[token] for token in example['inputs'].tolist())
      string = string[: example['lengths']]
      parity = ('even', 'odd')[string.count('1') % 2]
      assert dataset.classes[example['targets']] == parity
      assert '-' not in string
      strings[len(string)] += 1
      answers[parity] += 1
    assert {*strings} == {*lengths}
    assert max(strings.values()) < 1.3 * 1000 / len(lengths)
    assert answers['even'] == pytest.approx(500, abs=50)  # to guess is right in half


def test_the_lengths_are_those_that_were_published():
  splits = data.build('parity').splits
  assert splits['train'][0]['inputs'].shape == (40,)
  assert splits['test'][0]['inputs'].shape == (500,)
  assert min(splits['test'][i]['lengths'] for i in range(300)) >= 41
