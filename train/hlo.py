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


_Computation = dict[str, _Instruction]  # by name, the result last


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

  def in_loop(self, times: int | None) -> '_Total':
    """Returns what a loop does that goes round so often with this."""
    if times is None:
      unknown = math.nan if self.once else 0
      return dataclasses.replace(self, repeated=unknown)
    counts = Counter({k: n * times for k, n in self.counts.items()})
    sizes = Counter({k: n * times for k, n in self.sizes.items()})
    # XLA counts a body even where it is never run.
    repeated = times * self.repeated + (times - 1) * self.once
    return _Total(counts, sizes, self.once, repeated)


def _largest(branches: list[_Total]) -> _Total:
  """Returns the most that one of several does; the FLOPs apart, as XLA has them."""
  sent = max(branches, key=lambda part: sum(part.sizes.values()))
  once = _most([part.once for part in branches])
  in_all = _most([part.once + part.repeated for part in branches])
  return dataclasses.replace(sent, once=once, repeated=in_all - once)


def _most(numbers: list[float]) -> float:
  return math.nan if any(map(math.isnan, numbers)) else max(numbers)


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
  computations: dict[str, _Computation] = {}
  entry = ''
  for line in text.splitlines():
    if header := _COMPUTATION.match(line):
      here = computations.setdefault(header[2], {})
      entry = header[2] if header[1] else entry
    elif computations and (match := _INSTRUCTION.match(line)):
      here[match[1]] = _Instruction(*match.groups())
  loops: list[tuple[int | None, bool]] = []
  totals: dict[str, _Total] = {}

  def total(name: str) -> _Total:
    """Returns what a computation does, and what those do that it calls."""
    if name not in totals:
      here = computations[name]
      parts = sum((one(i, name, here) for i in here.values()), _Total())
      if _goes_on(name, here.values()):
        parts = dataclasses.replace(parts, counts=Counter(), sizes=Counter())
      totals[name] = parts
    return totals[name]

  def one(instruction: _Instruction, name: str, here: _Computation) -> _Total:
    operation, called = instruction.operation.removesuffix('-start'), instruction.named
    if operation in _KINDS:
      # TPUs have reduce-scatters as an all-reduce of which a part is taken.
      scatters = name.startswith('all-reduce-scatter')
      kind = 'reduce-scatter' if scatters else operation
      return _Total(Counter([kind]), Counter({kind: _payload(instruction, here)}))
    if operation in ('dot', 'convolution'):
      return _Total(once=_product_flops(instruction, here))
    if operation == 'custom-call' and _GPU_LIBRARY.search(instruction.rest):
      return _Total(once=math.nan)  # XLA has counted it, but not its rounds
    if operation == 'while':
      [body], [condition] = called('body'), called('condition')
      within = total(body) + total(condition)
      times = _trip_count(
        instruction, here, computations[condition], computations[body]
      )
      loops.append((times, within.once != 0))
      return within.in_loop(times)
    if operation == 'conditional':
      names = called('branch_computations')
      names = names or called('true_computation') + called('false_computation')
      return _largest([total(name) for name in names])
    if operation in ('fusion', 'async', 'call'):
      return sum(map(total, called('calls') + called('to_apply')), _Total())
    return _Total()

  whole = total(entry) if entry else _Total()
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


def _product_flops(product: _Instruction, here: _Computation) -> float:
  """Returns a product's FLOPs; NaN of one that is not written as is known here."""
  try:
    result = _shape(product.type)
    left, right = (_shape(here[name].type) for name in product.operands)
    if product.operation == 'dot':
      return dot_flops(result, left, product.rest)
    return convolution_flops(result, left, right, product.rest)
  except (KeyError, ValueError):
    return math.nan


def _payload(instruction: _Instruction, here: _Computation) -> int:
  given = sum(_size(here[name].type) for name in instruction.operands if name in here)
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


def _trip_count(
  loop: _Instruction, here: _Computation, condition: _Computation, body: _Computation
) -> int | None:
  """Returns how often a loop goes round; None where the text does not say.

  Args:
    loop: the loop.
    here: the computation that it is in.
    condition: its own.
    body: its own.
  """
  if known := re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest):
    return int(known[1])
  # Where the compiler does not say, it adds to a counter up to a constant.
  *_, test = condition.values()
  *_, after = body.values()
  counter = condition.get(test.operands[0]) if test.operands else None
  place = re.search(r'index=(\d+)', counter.rest) if counter else None
  if test.operation != 'compare' or 'direction=LT' not in test.rest or not place:
    return None
  before, index = here.get(loop.operands[0]), int(place[1])
  if not before or before.operation != 'tuple' or after.operation != 'tuple':
    return None
  step = body.get(after.operands[index])
  if not step or step.operation != 'add':
    return None
  added = [_constant(name, body) for name in step.operands]
  by = next((number for number in added if number), None)
  first = _constant(before.operands[index], here)
  end = _constant(test.operands[1], condition)
  if first is None or end is None or by is None:
    return None
  return max(0, -((first - end) // by))


def _constant(name: str, here: _Computation) -> int | None:
  """Returns the number that an instruction is, or is a copy of; None of any other."""
  found = here.get(name)
  while found and found.operation == 'copy':
    found = here.get(found.operands[0])
  number = re.match(r'(-?\d+)\)', found.rest) if found else None
  return int(number[1]) if found and number and found.operation == 'constant' else None
