"""A folder of your own images, in a folder for each class."""

import concurrent.futures
import dataclasses
import logging
import os
from collections.abc import Iterator

from ..dataset import Dataset
from ..errors import DataError
from ..image_files import EXTENSIONS, ImageRecords, check_image
from ..image_pipeline import image_pipeline
from ..partition import check_fraction, stratified
from ..problems import Problems

_log = logging.getLogger(__name__)
_TEST_FOLDERS = ('test', 'val', 'valid', 'validation')


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  path: str = '',
  test_folder: str = '',
  test_fraction: float = 0.2,
  seed: int = 0,
  size: int = 0,
  augment: str = 'standard',
  preprocess: str = '',
  color_jitter: float = 0.0,
  erasing: float = 0.0,
  check: str = 'headers',
  on_bad: str = 'error',
) -> Dataset:
  """Opens a folder of images.

  Either `path/CLASS/...` holds all images, of which some are chosen for testing, or
  `path/train/CLASS/...` and `path/test/CLASS/...` hold the two splits; 'val', 'valid'
  and 'validation' may stand for 'test'. The classes are the names of their folders,
  sorted. Below them there may be more folders. Files whose names begin with a dot are
  passed over, and `Thumbs.db`.

  An image is for testing by its path within the folder and the seed alone: none changes
  sides when others come or go, but in a class so small that chance would have left one
  side without any; see `partition.stratified`. For what becomes of grayscale, palettes,
  transparency and so on see `image_files.read_image`, which is `strict` here.

  Args:
    data_dir: nothing is kept.
    path: the folder.
    test_folder: which one has the test split, where there are several, or where its
      name is another.
    test_fraction: the share of the images for testing, where no folder has them.
    seed: of the choice.
    size: as in `image_pipeline`, like those that follow.
    augment: see there.
    preprocess: see there.
    color_jitter: see there.
    erasing: see there.
    check: what is read of each image before the start: 'headers', and the end of each
      file; or 'all', which decodes it, and so finds damage within too. What is not
      found at the start is an error when that image's turn comes.
    on_bad: 'error'; or 'skip' to check 'all', and to leave out, and count, what is
      found. What goes bad later is an error.

  Returns:
    A classification of float32 `[size, size, 3]` images, normalised. Its `names` are
    their paths in the folder.

  Raises:
    ValueError: an option can't be used.
    DataError: a file can't be used, or a class has none.
  """
  del data_dir
  check_fraction(test_fraction)
  pipeline = image_pipeline(
    size=size,
    augment=augment,
    preprocess=preprocess,
    color_jitter=color_jitter,
    erasing=erasing,
  )
  if check not in ('headers', 'all'):
    raise ValueError(f"check is {check!r}, but must be 'headers' or 'all'")
  if not path:
    raise ValueError("path is '', but must be a folder with a folder for each class")
  if not os.path.isdir(path):
    raise DataError(f'{path}: there is no such folder')

  problems = Problems(path, on_bad)
  whole = check == 'all' or on_bad == 'skip'
  train_folder, test_folder = _split_folders(path, test_folder)
  train = _images(train_folder, problems, whole)
  classes = tuple(sorted({name for name, _ in train}))
  if len(classes) < 2:
    raise DataError(
      f'{train_folder}: {len(classes)} folders with images; expected a folder for each '
      f'class, of {", ".join(EXTENSIONS)}'
    )
  if test_folder:
    test = []
    for name, file in _images(test_folder, problems, whole):
      if name in classes:
        test.append((name, file))
      else:
        problems.add(file, f'{train_folder} has no images of the class {name!r}')
  else:
    names = [os.path.relpath(file, path).replace(os.sep, '/') for _, file in train]
    labels = [classes.index(name) for name, _ in train]
    chosen = stratified(names, labels, test_fraction, seed)
    test = [image for image, c in zip(train, chosen, strict=True) if c]
    train = [image for image, c in zip(train, chosen, strict=True) if not c]
  problems.report()
  if not test:
    raise DataError(f'{test_folder or path}: no images to test')
  train_records, test_records = (
    ImageRecords(
      [file for _, file in images], [classes.index(name) for name, _ in images]
    )
    for images in (train, test)
  )
  absent = sorted(set(classes) - {name for name, _ in test})
  if absent:
    more = f' and {len(absent) - 5} more' if len(absent) > 5 else ''
    _log.warning(
      '%s: no images to test of %s%s', test_folder or path, ', '.join(absent[:5]), more
    )
  dataset = pipeline.dataset('image_folder', classes, train_records, test_records)
  paths = {
    split: [os.path.relpath(file, path) for _, file in images]
    for split, images in (('train', train), ('test', test))
  }
  return dataclasses.replace(dataset, names=paths)


def _split_folders(path: str, test_folder: str) -> tuple[str, str]:
  """Returns the folders of both splits, of which the second is '' where there is none.

  Raises:
    ValueError: it is asked for 'train'.
    DataError: the one that is asked for is missing, there are several, or there is none
      though `train` looks like a split.
  """
  if test_folder == 'train':
    raise ValueError("test_folder is 'train', but must be another folder than that")
  have = set(_folders(path))
  if test_folder and not {'train', test_folder} <= have:
    raise DataError(f'{path}: expected the folders train and {test_folder} there')
  found = [test_folder] if test_folder else [f for f in _TEST_FOLDERS if f in have]
  if 'train' not in have:
    return path, ''
  train = os.path.join(path, 'train')
  if not found:
    loose = any(f.lower().endswith(EXTENSIONS) for f in _files(train, deep=False))
    if _folders(train) and not loose:
      raise DataError(
        f"{path}: 'train' has folders, so it is no class, but there is none beside it "
        f'for testing, {", ".join(_TEST_FOLDERS)}. Name that as test_folder; or give '
        f'{train} as path, and a share of its images is for testing'
      )
    return path, ''  # it is a class
  if len(found) > 1:
    raise DataError(
      f'{path}: it has {" and ".join(found)}; expected test_folder to say which is for '
      'testing'
    )
  return train, os.path.join(path, found[0])


def _images(folder: str, problems: Problems, whole: bool) -> list[tuple[str, str]]:
  """Returns the class and the path of each image that can be used, sorted."""
  found: list[tuple[str, str]] = []
  for file in _files(folder, deep=False):
    if file.lower().endswith(EXTENSIONS):
      problems.add(file, 'expected it in the folder of its class')
  for name in _folders(folder):
    files = list(_files(os.path.join(folder, name)))
    if not files:
      problems.add(os.path.join(folder, name), 'an empty class; expected images')
    found += [(name, file) for file in files]

  def trouble(image: tuple[str, str]) -> DataError | None:
    try:
      check_image(image[1], whole)
    except DataError as e:
      return e
    return None

  good = []
  with concurrent.futures.ThreadPoolExecutor() as pool:
    for image, error in zip(found, pool.map(trouble, found), strict=True):
      if error:
        problems.add(image[1], str(error).removeprefix(f'{image[1]}: '))
      else:
        good.append(image)
  return good


def _hidden(name: str) -> bool:
  return name.startswith('.') or name == 'Thumbs.db'


def _folders(path: str) -> list[str]:
  return sorted(e.name for e in os.scandir(path) if e.is_dir() and not _hidden(e.name))


def _files(path: str, deep: bool = True) -> Iterator[str]:
  for folder, folders, files in os.walk(path):
    folders[:] = sorted(f for f in folders if deep and not _hidden(f))
    yield from (os.path.join(folder, f) for f in sorted(files) if not _hidden(f))
