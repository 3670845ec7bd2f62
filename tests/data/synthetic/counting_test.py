"""Counting languages, against words that are written out."""

import pytest

from convscan import data


@pytest.mark.parametrize('letters', [2, 3])
def test_words_are_of_the_language(letters):
  options = {'letters': letters, 'train_counts': (1, 9), 'test_counts': (10, 12)}
  dataset = data.build('counting', **options)
  seen = set()
  for i in range(300):
    example = dataset.splits['train'][i]
    counted = int(example['weights'].sum())
    word = dataset.decode(example['targets'])[:counted]
    n = word.count('a')
    assert word == ''.join(c * n for c in 'abc'[:letters]) + '\x00'
    assert example['weights'][:counted].all()
    assert dataset.decode(example['inputs'])[:counted] == '\x00' + word[:-1]
    assert not example['inputs'][counted:].any()
    assert example['lengths'] == counted
    seen.add(n)
  assert seen == {*range(1, 10)}


@pytest.mark.parametrize('letters', [2, 3])
def test_the_test_counts_what_is_determined(letters):
  dataset = data.build('counting', letters=letters, test_counts=(1, 12))
  assert len(dataset.splits['test']) == 12
  words = [''.join(c * n for c in 'abc'[:letters]) + '\x00' for n in range(1, 13)]
  for n, word in enumerate(words, 1):
    example = dataset.splits['test'][n - 1]
    assert dataset.decode(example['targets']) == word.ljust(12 * letters + 1, '\x00')
    # Determined is what follows a beginning that only one of the words has, or all of
    # them that have it go on alike. (The largest n is no end of the language.)
    longer = [*words, ''.join(c * 13 for c in 'abc'[:letters])]
    for k in range(12 * letters + 1):
      follow = {w[k] for w in longer if w[:k] == word[:k] and len(w) > k}
      determined = k < len(word) and len(follow) == 1 and k > 0
      assert example['weights'][k] == determined, (word, k)


def test_to_say_the_last_letter_again_is_right_in_all_but_one_of_n():
  example = data.build('counting', test_counts=(20, 20)).splits['test'][0]
  counted = example['weights'] > 0
  right = (example['inputs'] == example['targets'])[counted]
  assert right.mean() == pytest.approx(1 - 1 / 20)
