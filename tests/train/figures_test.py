"""What the pictures are made from."""

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

import convscan.architectures as arch
from convscan.train import figures
from convscan.train.tasks.classification import first_convolution

RNG = np.random.default_rng(0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
  """The figures that were drawn, which are not saved."""
  kept: list[Figure] = []
  monkeypatch.setattr(Figure, 'savefig', lambda self, *_, **__: kept.append(self))
  return kept


def images(axes: Any) -> list[np.ndarray]:
  return [np.ma.filled(image.get_array(), -1) for ax in axes for image in ax.images]


def lines(ax: Any) -> list[list[list[float]]]:
  return [np.transpose(line.get_data()).tolist() for line in ax.lines]


def test_a_metric_is_drawn_over_its_steps(drawn: list[Figure]) -> None:
  history = [
    {'step': 5, 'train/loss': 0.5, 'eval/loss': 0.7},
    {'step': 10, 'train/loss': 0.25},
    {'step': 15, 'train/loss': None, 'eval/loss': 0.125},
  ]
  path = figures.curves('folder', history, 'validation', 'loss', 'nats')
  assert path == 'folder/loss.png'
  (ax,) = drawn[0].axes
  assert lines(ax) == [[[5, 0.5], [10, 0.25]], [[5, 0.7], [15, 0.125]]]
  labels = [line.get_label() for line in ax.lines]
  assert labels == ['training batches', 'validation split']
  assert [text.get_text() for text in ax.texts] == ['0.125']
  assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ('step', 'nats', 'log')


def test_confusions_are_of_a_true_class_by_row(drawn: list[Figure]) -> None:
  predictions = {
    'targets': np.array([0, 0, 0, 1, 2]),
    'predicted': np.array([0, 1, 1, 1, 0]),
    'weights': np.array([1.0, 1, 1, 1, 0]),
  }
  figures.confusion('', predictions, ('a', 'b', 'c'))
  (ax,) = drawn[0].axes
  counts = {(t.get_position(), t.get_text()) for t in ax.texts}
  assert counts == {((0, 0), '1'), ((1, 0), '2'), ((1, 1), '1')}
  np.testing.assert_allclose(images([ax])[0], [[1 / 3, 2 / 3, 0], [0, 1, 0], [0] * 3])
  assert (ax.get_xlabel(), ax.get_ylabel()) == ('predicted', 'true')
  assert ax.get_title() == '2 of 4 right (50.00%)'


def test_segments_stand_below_their_images(drawn: list[Figure]) -> None:
  pictures = RNG.uniform(size=(2, 4, 5, 3))
  labels = {k: RNG.integers(3, size=(3, 4, 5)) for k in ('targets', 'predicted')}
  weights = RNG.integers(2, size=(3, 4, 5))
  figures.segments('', pictures, {**labels, 'weights': weights}, ('a', 'b', 'c'))
  expected = [
    *pictures,
    *(np.where(weights, labels[k], -1)[i] for k in labels for i in range(2)),
  ]
  for got, want in zip(images(drawn[0].axes), expected, strict=True):
    np.testing.assert_array_equal(got, want)
  (legend,) = drawn[0].legends
  assert [text.get_text() for text in legend.get_texts()] == ['a', 'b', 'c']


def test_predictions_are_drawn_over_the_truth(drawn: list[Figure]) -> None:
  predictions = {
    'targets': np.array([[1.0, 5], [2, 6], [9, 9]]),
    'predicted': np.array([[1.0, 8], [2, 10], [0, 0]]),
    'weights': np.array([1, 1, 0]),
  }
  figures.scatter('', predictions, ('x', 'y'))
  first, second = drawn[0].axes
  (points,) = second.collections
  assert points.get_offsets().tolist() == [[5, 8], [6, 10]]
  # The square root of (9 + 16) / 2.
  titles = [ax.get_title() for ax in (first, second)]
  assert titles == [
    f'{name}: root mean squared error {x}' for name, x in (('x', '0'), ('y', '3.54'))
  ]
  assert (second.get_xlabel(), second.get_ylabel()) == ('true', 'predicted')


def test_a_forecast_follows_its_window(drawn: list[Figure]) -> None:
  targets, predicted = RNG.normal(size=(2, 9, 2, 1))
  weights = np.ones((9, 1))
  weights[0] = 0  # of padding: the examples are the other 8
  windows = RNG.normal(size=(4, 3, 2))
  figures.forecasts(
    '', windows, {'targets': targets, 'predicted': predicted, 'weights': weights}, 'y'
  )
  for ax, window, i in zip(drawn[0].axes, windows, (2, 4, 6, 8), strict=True):
    past, after, guess = lines(ax)
    assert past == list(map(list, zip((-2, -1, 0), window[:, 0], strict=True)))
    assert after == [[1, targets[i, 0, 0]], [2, targets[i, 1, 0]]]
    assert guess == [[1, predicted[i, 0, 0]], [2, predicted[i, 1, 0]]]


def test_a_filter_stands_above_its_map(drawn: list[Figure]) -> None:
  image = RNG.uniform(size=(8, 8, 2))
  kernel, maps = RNG.normal(size=(3, 3, 2, 20)), RNG.normal(size=(6, 6, 20))
  figures.first_layer('', image, kernel, maps)
  expected = [
    image.mean(-1),
    *(kernel.mean(2)[..., i] for i in range(16)),
    *(maps[..., i] for i in range(16)),
  ]
  for got, want in zip(images(drawn[0].axes), expected, strict=True):
    np.testing.assert_allclose(got, want)


def test_a_curve_of_one_point_is_seen(drawn: list[Figure]) -> None:
  points: list[dict[str, Any]] = [{'step': 5, 'train/loss': 1.2}]
  figures.curves('', points, 'test', 'loss', '')
  (line,) = drawn[0].axes[0].lines
  assert (line.get_marker(), line.get_markersize()) == ('o', 6)


@pytest.mark.parametrize('channels', [1, 3])
def test_a_normalised_image_is_drawn_as_it_was(
  drawn: list[Figure], channels: int
) -> None:
  image = RNG.uniform(size=(8, 8, channels))
  image.flat[0], image.flat[1] = 0, 1
  kernel, maps = np.ones((3, 3, channels, 2)), np.ones((6, 6, 2))
  figures.first_layer('', 5 * image - 2, kernel, maps)
  (first,) = drawn[0].axes[0].images
  np.testing.assert_allclose(
    np.squeeze(np.asarray(first.get_array())), image.squeeze(), atol=1e-6
  )
  # What is large is bright.
  low, high = first.cmap(0.0), first.cmap(1.0)
  assert sum(low[:3]) < sum(high[:3])


def test_the_units_whose_first_gate_varies_most_are_drawn(drawn: list[Figure]) -> None:
  spread = np.linspace(0.1, 0.4, 30)
  signs = np.array([1, -1, 1, -1])[:, None]
  activations = {
    'input': (0.5 + spread * signs)[None],
    'cell': np.tile(np.arange(-15, 15) / 15, (1, 4, 1)),
  }
  figures.gates('', 'a b\n', activations)
  first, second = (ax for ax in drawn[0].axes if ax.get_ylabel())
  (drawn_input,), (drawn_cell,) = first.images, second.images
  np.testing.assert_allclose(drawn_input.get_array()[:, 0], 0.5 + spread[:5:-1])
  np.testing.assert_allclose(drawn_cell.get_array()[:, 3], np.arange(14, -10, -1) / 15)
  assert drawn_input.get_clim() == (0, 1)
  assert drawn_cell.get_clim() == (-1, 1)
  assert [t.get_text() for t in first.get_xticklabels()] == ['a', '␣', 'b', '↵']


def test_the_figure_shows_the_first_convolution_and_its_map() -> None:
  model: Any = arch.build('resnet20_cifar', num_classes=10, stage_sizes=(1, 1, 1))
  image = np.random.default_rng(0).uniform(size=(8, 8, 1)).astype(np.float32)
  init = jax.jit(partial(model.init, train=False))
  variables = init(jax.random.key(1), image[None])
  kernel, maps = first_convolution(model, variables, image)
  stem = variables['params']['stem_conv']['kernel']
  np.testing.assert_array_equal(kernel, stem)
  padded = np.pad(image[..., 0], 1)
  expected = sum(
    padded[i : i + 8, j : j + 8, None] * np.asarray(stem)[i, j, 0][None, None]
    for i in range(3)
    for j in range(3)
  )
  np.testing.assert_allclose(maps, expected, atol=1e-5)
  gru: Any = arch.build('gru_classifier', num_classes=10, hidden_features=4)
  variables = jax.jit(partial(gru.init, train=False))(jax.random.key(0), image[None])
  assert first_convolution(gru, variables, image) is None
