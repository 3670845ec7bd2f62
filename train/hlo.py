"""What a compiled program sends and multiplies, read from its text, which is HLO."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable

from .products import convolution_flops, dot_flops

_KINDS = (
  'all-gather',
  'all-reduce',
  'all-to-all',
  'collective-broadcast',
  'collective-permute',
  'ragged-all-to-all',
  'reduce-scatter',
)
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\{$')
# '  ROOT %name = type operation(operands), attributes'
_INSTRUCTION = re.compile(r'^  (?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][a-z0-9-]*)\((.*)$')
# Of products that GPUs leave to a library, the text says too little to count them.
_GPU_LIBRARY = re.compile(r'custom_call_target="__cu(blas|dnn)')
_ARRAY = re.compile(r'\b([a-z][a-z0-9]*)\[([\d,<=]*)\]')


@dataclasses.dataclass(frozen=True)
class Program:
  """What each device does while a program runs once.

  Attributes:
    counts: for each kind of collective, such as 'all-reduce', how many.
    bytes: for each kind, of the larger of what goes in and what comes out on a device.
    repeated: the FLOPs of the products in loops from the second round on, which XLA's
      own count leaves out; NaN where the text does not say.
    loops: how often each loop goes round; None where the text does not say, and what is
      in it is counted once.
    product_loops: those of them with a matrix product or a convolution in them.
  """

  counts: Counter[str]
  bytes: Counter[str]
  repeated: float
  loops: tuple[int | None, ...]
  product_loops: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class _Instruction:
  name: str
  type: str
  operation: str
  rest: str  # the operands and attributes

  @property
  def operands(self) -> list[str]:
    return re.findall(r'%([\w.-]+)', self.rest[: self.rest.index(')')])

  def named(self, attribute: str) -> list[str]:
    """Returns the computations that an attribute names."""
    found = re.search(rf'\b{attribute}=(%[\w.-]+|\{{[^}}]*\}})', self.rest)
    return re.findall(r'%([\w.-]+)', found[1]) if found else []


@dataclasses.dataclass(frozen=True)
class _Total:
  counts: Counter[str] = dataclasses.field(default_factory=Counter)
  sizes: Counter[str] = dataclasses.field(default_factory=Counter)
  once: float = 0  # the FLOPs of products, those in a loop once
  repeated: float = 0  # and of its other rounds

  def __add__(self, other: '_Total') -> '_Total':
    return _Total(
      self.counts + other.counts,
      self.sizes + other.sizes,
      self.once + other.once,
      self.repeated + other.repeated,
    )

  def rounds(self, times: int | None) -> '_Total':
    """Returns what a loop does that goes round so often."""
    if times is None:
      unknown = math.nan if self.once else 0
      return dataclasses.replace(self, repeated=unknown)
    counts = Counter({k: n * times for k, n in self.counts.items()})
    sizes = Counter({k: n * times for k, n in self.sizes.items()})
    # XLA counts a body even where it is never run.
    repeated = times * self.repeated + (times - 1) * self.once
    return _Total(counts, sizes, self.once, repeated)


def read_program(text: str) -> Program:
  """Counts what a program sends, and what its loops multiply.

  What is in a loop counts as often as it goes round, and of alternatives the larger.
  The two halves of an asynchronous one count once.

  Args:
    text: what `jax.stages.Compiled.as_text` returns.

  >>> text = '''
  ... ENTRY %main (x: f32[4]) -> f32[8] {
  ...   %x = f32[4]{0} parameter(0)
  ...   ROOT %y = f32[8]{0} all-gather(%x), dimensions={0}
  ... }
  ... '''
  >>> read_program(text).bytes
  Counter({'all-gather': 32})
  """
  computations: dict[str, list[_Instruction]] = {}
  entry = ''
  for line in text.splitlines():
    if header := _COMPUTATION.match(line):
      here = computations.setdefault(header[2], [])
      entry = header[2] if header[1] else entry
    elif computations and (match := _INSTRUCTION.match(line)):
      here.append(_Instruction(*match.groups()))
  loops: list[tuple[int | None, bool]] = []
  totals: dict[str, _Total] = {}

  def total(name: str) -> _Total:
    """Returns what a computation does, and what those do that it calls."""
    if name not in totals:
      here = computations[name]
      types = {i.name: i.type for i in here}
      parts = sum((one(i, name, types) for i in here), _Total())
      if _goes_on(name, here):
        parts = dataclasses.replace(parts, counts=Counter(), sizes=Counter())
      totals[name] = parts
    return totals[name]

  def one(instruction: _Instruction, name: str, types: dict[str, str]) -> _Total:
    operation, called = instruction.operation.removesuffix('-start'), instruction.named
    if operation in _KINDS:
      # TPUs have reduce-scatters as an all-reduce of which a part is taken.
      scatters = name.startswith('all-reduce-scatter')
      kind = 'reduce-scatter' if scatters else operation
      return _Total(Counter([kind]), Counter({kind: _payload(instruction, types)}))
    if operation in ('dot', 'convolution'):
      return _Total(once=_product_flops(instruction, types))
    if operation == 'custom-call' and _GPU_LIBRARY.search(instruction.rest):
      return _Total(once=math.nan)  # XLA has counted it, but not its rounds
    if operation == 'while':
      [body], [condition] = called('body'), called('condition')
      times, within = _trip_count(instruction, computations[condition]), total(body)
      loops.append((times, within.once != 0))
      return within.rounds(times)
    if operation == 'conditional':
      names = called('branch_computations')
      names = names or called('true_computation') + called('false_computation')
      return max(
        map(total, names), key=lambda part: (sum(part.sizes.values()), part.once)
      )
    if operation in ('fusion', 'async', 'call'):
      return sum(map(total, called('calls') + called('to_apply')), _Total())
    return _Total()

  whole = total(entry)
  return Program(
    whole.counts,
    whole.sizes,
    whole.repeated,
    tuple(times for times, _ in loops),
    tuple(times for times, multiplies in loops if multiplies),
  )


def _goes_on(name: str, instructions: Iterable[_Instruction]) -> bool:
  """Returns whether a TPU goes on here with a collective that it began elsewhere."""
  return name.startswith('async_collective_fusion') or any(
    i.operation == 'custom-call' and '"AsyncCollectiveDone"' in i.rest
    for i in instructions
  )


def _product_flops(product: _Instruction, types: dict[str, str]) -> int:
  result = _shape(product.type)
  left, right = (_shape(types[name]) for name in product.operands)
  if product.operation == 'dot':
    return dot_flops(result, left, product.rest)
  return convolution_flops(result, left, right, product.rest)


def _payload(instruction: _Instruction, types: dict[str, str]) -> int:
  given = sum(_size(types.get(name, '')) for name in instruction.operands)
  # The first half of an asynchronous one returns what it was given, too; and of a
  # permutation two numbers of its own.
  taken = _size(instruction.type.replace('u32[]', ''))
  if instruction.operation in ('all-gather-start', 'collective-permute-start'):
    taken -= given
  return max(given, taken)


def _shape(type_: str) -> list[int]:
  """Returns the shape of an array's type.

  >>> _shape('f32[16,384]{1,0:T(8,128)S(1)}'), _shape('f32[]')
  ([16, 384], [])
  """
  [(_, shape)] = _ARRAY.findall(type_)
  return _sides(shape)


def _sides(shape: str) -> list[int]:
  return [int(side) for side in shape.replace('<=', '').split(',') if side]


def _size(type_: str) -> int:
  """Returns the bytes of a type, without what an array's layout adds.

  >>> _size('(f32[2,3]{1,0:T(8,128)}, bf16[5], pred[])')
  35
  """
  bits = 0
  for dtype, shape in _ARRAY.findall(type_):
    width = re.search(r'\d+', dtype)
    size = 8 if dtype == 'pred' else int(width[0]) if width else 0
    bits += size * math.prod(_sides(shape))
  return (bits + 7) // 8


def _trip_count(loop: _Instruction, condition: list[_Instruction]) -> int | None:
  if known := re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest):
    return int(known[1])
  # Where the compiler does not say, it compares a counter, which begins at 0.
  root = condition[-1]
  if root.operation != 'compare' or 'direction=LT' not in root.rest:
    return None
  constants = {i.name: i.rest for i in condition if i.operation == 'constant'}
  limit = constants.get(root.operands[1], '')
  number = re.match(r'(\d+)\)', limit)
  return int(number[1]) if number else None
