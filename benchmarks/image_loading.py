"""Images a second from a folder of JPEGs to batches, beside torch and plain Grain.

    python benchmarks/image_loading.py --workers 0,2 --out /tmp/results

The same work in the same rounds: read and decode an image of 256 pixels, resize a
random part to 224, mirror or not, to float32, normalise, stack, all in a random order
that each loader draws for itself. The images are noise of several scales, of quality
90, made before. `convscan` is `train_batches`; `torch-pil` and `torch-tensor` are
torch's `DataLoader` around torchvision's transforms, of `PIL.Image` as its
`ImageFolder` opens them, and of tensors as its `decode_jpeg` makes them (left out where
torchvision was built for another torch and has none); `grain` is what one would write
with Grain alone.

A round starts a loader anew, takes batches until its processes and queues are going,
and then times the next ones.
"""

import argparse
import contextlib
import functools
import itertools
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np
from PIL import Image
from rounds import machine, num_cores, ratio, some_of, spread, table, versions, write

from convscan import data
from convscan.data.image_pipeline import image_pipeline
from convscan.data.transforms.normalize import MEAN, STD

SIZE, CROP = 256, 224
NOTE = (
  '`images a second` is the median over the rounds; `by torch` the median of the ratio '
  "to the faster of torch's loaders with as many worker processes, in the same round: "
  'above 1 is faster than torch. With no worker, torch works in the thread that asks, '
  'and so does `convscan`; `convscan+4` has four threads that make batches ahead, its '
  'default. With workers these are threads of each.'
)


def make_folder(folder: pathlib.Path, count: int) -> list[str]:
  """Writes images and returns their paths."""
  paths = []
  for i in range(count):
    rng = np.random.default_rng(i)
    pixels = np.zeros((SIZE, SIZE, 3), np.float32)
    for cells, strength in ((4, 60), (16, 30), (64, 15), (SIZE, 4)):
      coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
      fine = coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
      pixels += (np.asarray(fine, np.float32) - 128) * (strength / 64)
    paths.append(str(folder / f'{i}.jpg'))
    Image.fromarray(np.clip(pixels + 128, 0, 255).astype(np.uint8)).save(
      paths[-1], quality=90
    )
  return paths


class Convscan:
  """The shipped pipeline."""

  def __init__(self, paths: Sequence[str], batch_size: int, threads: int) -> None:
    records = [{'image': path, 'label': 0} for path in paths]
    self.dataset = image_pipeline().dataset('noise', ['noise'], records, records)
    self.batch_size, self.threads = batch_size, threads

  @contextlib.contextmanager
  def open(self, workers: int) -> Iterator[Iterator[Any]]:
    batches = data.train_batches(
      self.dataset, self.batch_size, 0, num_workers=workers, num_threads=self.threads
    )
    yield batches
    batches.close()


class PlainCrop(grain.transforms.RandomMap):
  """A random part, as torchvision draws it, mirrored or not, and normalised."""

  def random_map(self, path: str, rng: np.random.Generator) -> np.ndarray:
    image = Image.open(path).convert('RGB')
    while True:
      area = SIZE * SIZE * rng.uniform(0.08, 1)
      shape = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
      width, height = round((area * shape) ** 0.5), round((area / shape) ** 0.5)
      if width <= SIZE and height <= SIZE:
        break
    left, top = rng.integers(SIZE - width + 1), rng.integers(SIZE - height + 1)
    part = image.crop((left, top, left + width, top + height))
    pixels = np.asarray(part.resize((CROP, CROP), Image.Resampling.BILINEAR))
    if rng.random() < 0.5:
      pixels = pixels[:, ::-1]
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    return (pixels.astype(np.float32) / 255 - mean) / std


class Grain:
  """Grain alone."""

  def __init__(self, paths: Sequence[str], batch_size: int) -> None:
    self.batch_size = batch_size
    examples = grain.MapDataset.source(paths).seed(0).shuffle().repeat()
    self.batches = examples.random_map(PlainCrop()).batch(batch_size)

  @contextlib.contextmanager
  def open(self, workers: int) -> Iterator[Iterator[Any]]:
    # As for torch: with no worker, in the thread that asks.
    threads = grain.ReadOptions(num_threads=4 if workers else 0)
    iterator = iter(
      self.batches.to_iter_dataset(threads).mp_prefetch(
        grain.MultiprocessingOptions(num_workers=workers)
      )
    )
    yield iterator
    iterator.close()


class Torch:
  """A `DataLoader`, in the order and with the transforms of torchvision's recipes."""

  def __init__(self, paths: Sequence[str], batch_size: int, tensor: bool) -> None:
    self.paths, self.batch_size = paths, batch_size
    from torch_networks import import_torchvision

    import_torchvision()
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(1)  # as in its workers: two wait for each other

    self.read = read_tensor if tensor else read_image
    self.transform = v2.Compose(
      [
        v2.RandomResizedCrop(CROP, antialias=True),
        v2.RandomHorizontalFlip(),
        *([] if tensor else [v2.PILToTensor()]),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
      ]
    )

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, index: int) -> tuple[Any, int]:
    return self.transform(self.read(self.paths[index])), 0

  @contextlib.contextmanager
  def open(self, workers: int) -> Iterator[Iterator[Any]]:
    from torch.utils import data as torch_data

    sampler = torch_data.RandomSampler(self, num_samples=10**6)
    loader = torch_data.DataLoader(
      self, self.batch_size, sampler=sampler, num_workers=workers
    )
    iterator = iter(loader)
    yield iterator
    if workers:
      iterator._shutdown_workers()  # at once, not when it is collected


def read_image(path: str) -> Image.Image:
  with open(path, 'rb') as file:
    return Image.open(file).convert('RGB')


def read_tensor(path: str) -> Any:
  from torchvision.io import ImageReadMode, decode_jpeg, read_file

  return decode_jpeg(read_file(path), mode=ImageReadMode.RGB)


def decodes_tensors(path: str) -> bool:
  """Whether torchvision's own decoder is there."""
  try:
    read_tensor(path)
  except (ImportError, RuntimeError):
    return False
  return True


LOADERS = {
  'convscan': lambda paths, size: Convscan(paths, size, threads=0),
  'convscan+4': lambda paths, size: Convscan(paths, size, threads=4),
  'torch-pil': lambda paths, size: Torch(paths, size, tensor=False),
  'torch-tensor': lambda paths, size: Torch(paths, size, tensor=True),
  'grain': lambda paths, size: Grain(paths, size),
}


def measure(loader: Any, workers: int, warm_up: int, batches: int) -> float:
  """Returns the seconds of an image."""
  with loader.open(workers) as iterator:
    for _ in range(warm_up):
      next(iterator)
    began = time.perf_counter()
    for _ in range(batches):
      next(iterator)
    return (time.perf_counter() - began) / batches / loader.batch_size


def markdown(results: dict[str, Any]) -> str:
  parts = ['# Loading images beside torch and plain Grain']
  for part in ('machine', 'versions', 'settings'):
    facts = ', '.join(f'{k} {v}' for k, v in results[part].items())
    parts.append(f'{part.capitalize()}: {facts}.')
  lines = []
  for workers, times in results['times'].items():
    peers = [name for name in times if name.startswith('torch')]
    best = min(peers, key=lambda name: statistics.median(times[name]), default='')
    for name, seconds in times.items():
      rate = 1 / statistics.median(seconds)
      by_torch = f'{ratio(times[best], seconds):.2f}' if best else '-'
      lines.append([workers, name, f'{rate:.0f}', by_torch])
  parts += [NOTE, table(['workers', '', 'images a second', 'by torch'], lines)]
  rounds = [ts for times in results['times'].values() for ts in times.values()]
  parts.append(f'Spread of the rounds: {spread(rounds):.1f}.')
  return '\n\n'.join(parts) + '\n'


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  here = pathlib.Path(__file__).parent
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  add = functools.partial(parser.add_argument, metavar='...')
  add('--workers', default='0,2', help='how many processes, comma-separated')
  legal = list(LOADERS)
  add('--loaders', type=functools.partial(some_of, legal), default=legal)
  add('--images', type=int, default=2048)
  add('--batch-size', type=int, default=64)
  add('--batches', type=int, default=48, help='timed in a round')
  add('--rounds', type=int, default=7)
  add('--out', type=pathlib.Path, default=here / 'results')
  return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
  args = parse(argv)
  here = machine()
  if here['load'] > 0.3 * num_cores():
    print(f'the machine is busy: load {here["load"]}')
  with tempfile.TemporaryDirectory() as folder:
    paths = make_folder(pathlib.Path(folder), args.images)
    loaders = {name: LOADERS[name](paths, args.batch_size) for name in args.loaders}
    if 'torch-tensor' in loaders and not decodes_tensors(paths[0]):
      print('torchvision has no decode_jpeg here', file=sys.stderr)
      del loaders['torch-tensor']
    times: dict[str, dict[str, list[float]]] = {}
    cases = list(itertools.product(args.workers.split(','), loaders))
    for i in range(args.rounds):
      for workers, name in cases[i % len(cases) :] + cases[: i % len(cases)]:
        # Every process fills its queues before it is timed.
        warm_up = 2 + 4 * int(workers)
        took = measure(loaders[name], int(workers), warm_up, args.batches)
        times.setdefault(workers, {}).setdefault(name, []).append(took)
        print(f'round {i + 1}: {workers} workers, {name}: {1 / took:.0f}/s', flush=True)
  results = {
    'machine': here,
    'versions': versions(['grain', 'numpy', 'pillow', 'torch', 'torchvision']),
    'settings': {
      'image': f'{SIZE}x{SIZE}',
      'crop': CROP,
      'images': args.images,
      'batch_size': args.batch_size,
      'batches': args.batches,
      'rounds': args.rounds,
    },
    'times': times,
  }
  page = markdown(results)
  print(page)
  print('results in', write('image-loading', results, page, args.out))


if __name__ == '__main__':
  main()
