"""Temporal order, read symbol by symbol."""

from collections import Counter

import pytest

from convscan import data

FORMS = [('hochreiter', 2), ('hochreiter', 3), ('pascanu', 2)]
# As the papers have them, of 100 steps.
WINDOWS = {
  ('hochreiter', 2): [(10, 20), (50, 60)],
  ('hochreiter', 3): [(10, 20), (33, 43), (66, 76)],
  ('pascanu', 2): [(10, 20), (40, 50)],
}


@pytest.mark.parametrize(('form', 'relevant'), FORMS)
def test_the_class_is_the_order_of_x_and_y(form, relevant):
  dataset = data.build('temporal_order', form=form, relevant=relevant)
  places, seen, lengths = [set() for _ in range(relevant)], Counter(), set()
  for i in range(2000):
    example = dataset.splits['train'][i]
    steps = int(example.get('lengths', 100))
    symbols = [' EBabcdXY'[token] for token in example['inputs'].tolist()]
    assert {*symbols[steps:]} <= {' '}
    read = symbols[:steps]
    if form == 'hochreiter':
      assert (read[0], read[-1]) == ('E', 'B')
      read = read[1:-1]
    assert {*read} <= {*'abcdXY'}
    order = ''.join(s for s in read if s in 'XY')
    assert dataset.classes[example['targets']] == order
    at = [k for k, s in enumerate(symbols) if s in 'XY']
    for found, place in zip(places, at, strict=True):
      found.add(place)
    seen[order] += 1
    lengths.add(steps)
  assert lengths == ({*range(100, 111)} if form == 'hochreiter' else {100})
  assert len(seen) == 2**relevant == len(dataset.classes)
  # To guess is right in one of so many.
  assert max(seen.values()) / 2000 < 1.25 / 2**relevant
  for found, (first, last) in zip(places, WINDOWS[form, relevant], strict=True):
    assert found == {*range(first, last + 1)}


def test_a_test_may_be_longer():
  splits = data.build('temporal_order', length=50, test_length=200).splits
  assert splits['train'][0]['inputs'].shape == (55,)
  assert splits['test'][0]['inputs'].shape == (220,)
