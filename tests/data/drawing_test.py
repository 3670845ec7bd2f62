"""What a batch looks like: as a picture, as lines of text and as a table."""

import itertools

import numpy as np
import pytest
from PIL import Image

from convscan import data
from convscan.data.dataset import Dataset
from convscan.data.drawing import draw, picture
from convscan.data.summary import arrays, summary
from convscan.data.token_lines import target_symbols, token_lines
from convscan.data.vocabulary import Vocabulary

RNG = np.random.default_rng(0)


def _dataset(task, example, classes=('a', 'b'), count=3, **kwargs):
  weights = {'weights': np.ones(example['targets'].shape[:1], np.float32)}
  return Dataset(
    'made', task, classes, {'train': [weights | example] * count}, **kwargs
  )


def _first(dataset, size=0):
  size = size or min(32, len(dataset.splits['train']))
  return next(data.train_batches(dataset, size, seed=0, num_threads=0))


@pytest.mark.parametrize(
  ('dataset', 'height'),
  [
    (
      _dataset(
        'classification',
        {
          'inputs': RNG.normal(size=(9, 9, 3)).astype(np.float32),
          'targets': np.array([0.2, 0.8], np.float32),
        },
        count=9,
      ),
      340,
    ),
    (
      _dataset(
        'segmentation',
        {
          'inputs': np.zeros((9, 9, 1), np.float32),
          'targets': np.zeros((9, 9), np.int32),
        },
      ),
      340,
    ),
    (
      _dataset(
        'classification',
        {
          'inputs': RNG.normal(size=(50, 40)).astype(np.float32),
          'targets': np.array(1, np.int32),
          'lengths': np.array(30, np.int32),
        },
      ),
      580,
    ),
    (
      _dataset(
        'forecasting',
        {
          'inputs': RNG.normal(size=(50, 40)).astype(np.float32),
          'targets': RNG.normal(size=(9, 2)).astype(np.float32),
        },
      ),
      580,
    ),
    (
      _dataset(
        'language_model',
        {'inputs': np.array([1, 2, 1, 3, 4], np.int32), 'targets': np.arange(5)},
        classes=('\0', '$', '\\frac', '\n', '\u4e2d'),
      ),
      193,
    ),
    (
      _dataset(
        'classification',
        {'inputs': np.arange(9, dtype=np.int32), 'targets': np.array(1, np.int32)},
      ),
      193,
    ),
  ],
)
def test_every_kind_is_drawn(tmp_path, dataset, height):
  draw(dataset, _first(dataset), tmp_path / 'x.png')
  with Image.open(tmp_path / 'x.png') as image:
    assert image.size == (1200, height)
    assert np.asarray(image.convert('L')).std() > 1


def _shown(axes):
  return [np.asarray(a.images[0].get_array()) for a in axes if a.images]


@pytest.mark.parametrize('name', ['digits', 'digits_angle'])
def test_augmented_images_stand_below_what_they_were(name):
  dataset = data.build(name)
  batch = _first(dataset, 40)
  shown = _shown(picture(dataset, batch).axes)
  assert len(shown) == 32
  plain = [dataset.splits['train'][i]['inputs'][..., 0] for i in batch['index'][:16]]
  images = batch['inputs'][:16, ..., 0]
  rows = [*plain[:8], *images[:8], *plain[8:], *images[8:]]
  np.testing.assert_array_equal(shown, rows)
  assert np.any(plain != images)


def test_images_that_training_leaves_alone_are_shown_once():
  dataset = data.build('digits', max_shift=0)
  batch = _first(dataset, 40)
  axes = picture(dataset, batch).axes
  np.testing.assert_array_equal(_shown(axes), batch['inputs'][:32, ..., 0])
  assert [a.get_title() for a in axes] == [str(t) for t in batch['targets'][:32]]
  assert not any(a.texts for a in axes)


def test_targets_are_the_titles_of_images():
  dataset = data.build('digits_angle', max_angle=0.5)
  batch = _first(dataset, 8)
  titles = [a.get_title() for a in picture(dataset, batch).axes]
  assert titles[:8] == ['angle 0'] * 8
  angles = [float(title.removeprefix('angle ')) for title in titles[8:]]
  np.testing.assert_allclose(angles, batch['targets'][:, 0], atol=6e-4)
  assert np.ptp(angles) > 0.3
  shares = np.array([[0, 0.2, 0.8]] * 8 + [[0, 1, 0]] * 8, np.float32)
  dataset = data.build('digits', labels=(7, 8, 9), max_shift=0)
  batch = _first(dataset, 16) | {'targets': shares}
  titles = [a.get_title() for a in picture(dataset, batch).axes]
  assert titles[8:16] == ['80% 9\n20% 8'] * 8  # below the plain ones
  assert titles[24:] == ['100% 8'] * 8


def test_segments_have_a_legend():
  dataset = data.build('digits_pixels')
  batch = _first(dataset, 8)
  figure = picture(dataset, batch)
  shown = _shown(figure.axes)
  np.testing.assert_array_equal(shown[24:], batch['targets'])
  (legend,) = figure.legends
  assert [t.get_text() for t in legend.get_texts()] == list(dataset.classes)
  cmap = figure.axes[-1].images[0].cmap  # of classes 0 to 19
  colours = [handle.get_facecolor() for handle in legend.legend_handles]
  assert colours == [cmap(i) for i in range(11)]


def test_a_forecast_shows_what_is_foretold_and_what_came_before():
  example = {
    'inputs': RNG.normal(size=(50, 40)).astype(np.float32),
    'targets': RNG.normal(size=(9, 2)).astype(np.float32),
  }
  dataset = _dataset('forecasting', example, classes=('load', 'price'))
  figure = picture(dataset, _first(dataset))
  for axes in figure.axes:
    lines = [(line.get_xdata(), line.get_ydata()) for line in axes.lines]
    assert len(lines) == 4
    for i in range(2):
      (before, past), (after, future) = lines[2 * i : 2 * i + 2]
      np.testing.assert_array_equal(past, example['inputs'][:, i])
      np.testing.assert_array_equal(future, example['targets'][:, i])
      np.testing.assert_array_equal([*before, *after], np.arange(59))
  labels = [text.get_text() for text in figure.legends[0].get_texts()]
  assert labels == ['load', 'price', 'to be foretold']
  assert figure.axes[-1].get_xlabel() == 'step'


def test_series_are_captioned_by_their_place_unless_endless():
  dataset = data.build('adding', length=9)
  batch = _first(dataset, 4)
  figure = picture(dataset, batch)
  sums = [a.get_title(loc='left') for a in figure.axes]
  assert sums == [f'sum {value:.3g}' for value in batch['targets'][:, 0]]
  assert [t.get_text() for t in figure.legends[0].get_texts()] == ['input 0', 'input 1']
  dataset = data.build('mackey_glass')
  batch = _first(dataset, 4)
  titles = [a.get_title(loc='left') for a in picture(dataset, batch).axes]
  assert titles == [f'example {i:,}' for i in batch['index']]


@pytest.mark.parametrize('name', ['copy_memory', 'mqar', 'induction', 'selective_copy'])
def test_targets_that_count_stand_below_their_step(name):
  dataset = data.build(name, length=96 if name == 'selective_copy' else 32)
  example = dataset.splits['test'][3]
  lines = token_lines(dataset, example)
  above = [line for line, is_target in lines if not is_target]
  below = [line for line, is_target in lines if is_target]
  counted = np.flatnonzero(example['weights'])
  assert all(line.strip() for line in below)
  names = [dataset.classes[target] for target in example['targets'][counted]]
  if name == 'induction':  # characters without space between them
    assert below == [' ' * 31 + names[0]]
    assert above == [''.join(dataset.classes[i] for i in example['inputs'])
                     .replace('\0', '\u00b7')]  # fmt: skip
    return
  assert ' '.join(below).split() == names
  words = ' '.join(above).split()
  known = dataset.classes if name == 'mqar' else [*map(str, range(16))]
  assert words == [known[i].replace('\0', '\u00b7') for i in example['inputs']]
  # The word above each target is that of its step.
  found = []
  for (line, _), (targets, is_target) in itertools.pairwise(lines):
    if is_target:
      for place in (i for i, c in enumerate(targets) if c != ' '):
        if place == 0 or targets[place - 1] == ' ':
          found.append(line[place:].split()[0])
  assert found == [known[i].replace('\0', '\u00b7') for i in example['inputs'][counted]]


def test_long_names_of_tags_are_abbreviated_and_explained():
  dataset = _dataset(
    'tagging',
    {
      'inputs': np.frombuffer(b'if x\n', np.uint8).astype(np.int32),
      'targets': np.array([1, 1, 0, 2, 0], np.int32),
      'weights': np.array([1, 1, 1, 1, 0], np.float32),
    },
    classes=('space', 'word', 'name'),
  )
  example = dataset.splits['train'][0]
  assert token_lines(dataset, example) == [('if x\u21b5', False), ('1102', True)]
  texts = [t.get_text() for t in picture(dataset, _first(dataset)).texts]
  assert texts[0] == 'below each line, the targets that count: 0 space, 1 word, 2 name'
  many = _dataset('tagging', example, classes=('name',) * 37)
  assert target_symbols(many)[36] == '36'


def test_the_middle_of_a_long_example_and_padding_are_left_out():
  steps = np.arange(1, 1001) % 10
  example = {'inputs': steps, 'targets': np.array(0), 'lengths': np.array(910)}
  dataset = _dataset('classification', example)
  lines = [line for line, _ in token_lines(dataset, example)]
  assert [line.strip() for line in lines if '...' in line] == ['... 10 lines ...']
  assert len(lines) == 5
  shown = ' '.join(line for line in lines if '...' not in line).split()
  assert shown == [str(i) for i in [*steps[:130], *steps[780:910]]]


def test_a_text_whose_next_tokens_all_count_is_shown_alone():
  dataset = _dataset(
    'language_model',
    {'inputs': np.array([0, 2, 1, 2]), 'targets': np.array([2, 1, 2, 1])},
    classes=('\0', 'a', 'rose'),
    vocabulary=Vocabulary(('\0', 'a', 'rose'), 'word'),
  )
  assert token_lines(dataset, dataset.splits['train'][0]) == [
    ('\u00b7 rose a rose', False)
  ]


def test_a_summary_says_what_examples_are():
  said = summary(data.build('mackey_glass', length=20, horizon=5)).splitlines()
  assert said[2:] == [
    'train  3,976  windows of 20 steps, with the 5 that follow',
    'test     976  windows of 20 steps, with the 5 that follow',
  ]


def test_a_table_has_a_row_for_each_array():
  batch = {
    'inputs': np.array([[1, 2], [3, 5]], np.int32),
    'resets': np.array([[True, False], [False, False]]),
    'index': np.array([3, 4]),
  }
  assert arrays(batch).splitlines() == [
    'array   dtype  shape  smallest  mean  largest',
    'inputs  int32  [2]           1  2.75        5',
    'resets  bool   [2]           0  0.25        1',
  ]
