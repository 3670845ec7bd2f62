"""Language models' texts from small files of their formats."""

import io
import itertools
import zipfile

import numpy as np
import pytest
from declaring import check_declared
from serving import file_of, serve

from convscan import data
from convscan.data import DataError
from convscan.data.builders import (
  enwik8,
  penn_treebank,
  text8,
  tiny_shakespeare,
  wikitext,
)
from convscan.data.corpus import lines

RNG = np.random.default_rng(0)
TEXT8 = ' anarchism originated as a term of abuse' + ''.join(
  RNG.choice([*'abcdefghijklmnopqrstuvwxyz '], 960)
)
ENWIK8 = bytes(RNG.integers(1, 256, 1000).astype(np.uint8))
PTB = {
  'train': ' aer <unk> n.v. N years old \n mr. <unk> is N \n the n.v. \n',
  'valid': ' mr. aer is old \n',
  'test': ' the years of N \n',
}
WIKI = {
  'train': ' \n = Robert <unk> = \n \n Robert <unk> is an English film @-@ maker . \n',
  'valid': ' \n = Robert = \n',
  'test': ' \n An <unk> film \n',
}


@pytest.fixture
def served(tmp_path):
  folder = tmp_path / 'served'
  folder.mkdir()
  with serve(folder) as url:
    yield folder, url


def zipped(served, name, members):
  folder, url = served
  with zipfile.ZipFile(folder / name, 'w', zipfile.ZIP_DEFLATED) as archive:
    for member, content in members.items():
      archive.writestr(member, content)
  return (file_of(folder / name, url),)


def whole(source):
  """Returns the targets that count, in order."""
  examples = [source[i] for i in range(len(source))]
  return np.concatenate([e['targets'][e['weights'] == 1] for e in examples])


def check(dataset, texts, length):
  """Compares a dataset with its texts, as sequences of tokens."""
  classes = dataset.classes
  first = dataset.splits['train'][0]
  assert [classes[i] for i in first['inputs']] == [
    '\x00',
    *texts['train'][: length - 1],
  ]
  assert [classes[i] for i in first['targets']] == [*texts['train'][:length]]
  assert len(dataset.splits['train']) == len(texts['train']) + 1 - length
  for split in ('validation', 'test'):
    assert [classes[i] for i in whole(dataset.splits[split])] == [*texts[split]]
  assert first['inputs'].dtype == np.int32


def test_text8(served, tmp_path, monkeypatch):
  files = zipped(served, 'text8.zip', {'text8': TEXT8})
  monkeypatch.setattr(text8, 'FILES', files)
  dataset = data.build('text8', data_dir=tmp_path, length=16)
  check_declared(dataset, length=16)
  assert ''.join(dataset.classes) == '\x00 abcdefghijklmnopqrstuvwxyz'
  parts = {'train': TEXT8[:900], 'validation': TEXT8[900:950], 'test': TEXT8[950:]}
  check(dataset, parts, 16)


def test_enwik8(served, tmp_path, monkeypatch):
  monkeypatch.setattr(enwik8, 'FILES', zipped(served, 'enwik8.zip', {'enwik8': ENWIK8}))
  dataset = data.build('enwik8', data_dir=tmp_path, length=16)
  check_declared(dataset, length=16)
  string = ENWIK8.decode('latin-1')
  parts = {'train': string[:900], 'validation': string[900:950], 'test': string[950:]}
  check(dataset, parts, 16)
  assert dataset.tokens.unit == 'byte'
  assert len(dataset.classes) == 256
  np.testing.assert_array_equal(whole(dataset.splits['test']), [*ENWIK8[950:]])


@pytest.mark.parametrize(
  ('unit', 'parts'),
  [
    ('word', {k: v.replace('\n', '<eos>').split() for k, v in PTB.items()}),
    (
      'char',
      {k: v[1:].replace(' \n ', '\n').replace(' \n', '\n') for k, v in PTB.items()},
    ),
  ],
)
def test_penn_treebank(tmp_path, monkeypatch, unit, parts):
  folder = tmp_path / 'downloads' / 'penn_treebank'
  folder.mkdir(parents=True)
  files = []
  for file in penn_treebank.FILES:
    (folder / file.name).write_text(PTB[file.name.split('.')[1]])
    files.append(file_of(folder / file.name, 'http://none.invalid'))
  monkeypatch.setattr(penn_treebank, 'FILES', tuple(files))
  dataset = data.build('penn_treebank', data_dir=tmp_path, unit=unit, length=4)
  check_declared(dataset, same_classes=False, unit=unit, length=4)
  train = parts['train']
  assert sorted(dataset.classes[2:]) == sorted({*train} - {'<unk>'})
  known = {
    split: [t if t in train else '<unk>' for t in parts[name]]
    for split, name in (('train', 'train'), ('validation', 'valid'), ('test', 'test'))
  }
  assert '<unk>' in known['test']  # 'of', or its f
  check(dataset, known, 4)


def test_the_treebank_is_asked_for(tmp_path):
  with pytest.raises(DataError) as caught:
    data.build('penn_treebank', data_dir=tmp_path)
  said = str(caught.value)
  assert f'{tmp_path}/downloads/penn_treebank' in said
  assert 'ptb.train.txt from https://catalog.ldc.upenn.edu/LDC99T42' in said
  assert 'python -m convscan.data.prepare penn_treebank' in said


@pytest.mark.parametrize('name', ['wikitext2', 'wikitext103'])
def test_wikitext(served, tmp_path, monkeypatch, name):
  (file,) = wikitext.FILES[name]
  folder = file.name.removesuffix('-v1.zip')
  members = {f'{folder}/wiki.{k}.tokens': v for k, v in WIKI.items()}
  monkeypatch.setitem(wikitext.FILES, name, zipped(served, file.name, members))
  dataset = data.build(name, data_dir=tmp_path, length=4)
  check_declared(dataset, same_classes=False, length=4)
  parts = {k: v.replace('\n', '<eos>').split() for k, v in WIKI.items()}
  assert dataset.classes[:3] == ('\x00', '<unk>', '<eos>')
  assert set(dataset.classes[1:]) == {*parts['train']}
  parts['test'][1] = '<unk>'  # 'An', with its capital
  check(dataset, {**parts, 'validation': parts['valid']}, 4)
  assert dataset.decode(dataset.splits['validation'][0]['targets']) == '\n= Robert ='
  assert (tmp_path / name).is_dir()


@pytest.mark.parametrize('unit', ['char', 'byte', 'word'])
def test_tiny_shakespeare(served, tmp_path, monkeypatch, unit):
  folder, url = served
  string = 'First Citizen:\nSpeak, speak.\n\n' * 39 + 'Quite so\n?'
  (folder / 'input.txt').write_text(string)
  monkeypatch.setattr(tiny_shakespeare, 'FILES', (file_of(folder / 'input.txt', url),))
  dataset = data.build('tiny_shakespeare', data_dir=tmp_path, unit=unit, length=8)
  check_declared(dataset, same_classes=unit == 'byte', unit=unit, length=8)
  n = len(string)
  cuts = [0, int(n * 0.9), int(n * 0.9) + int((n - int(n * 0.9)) * 0.5), n]
  parts = [string[a:b] for a, b in itertools.pairwise(cuts)]
  if unit == 'word':
    parts = [part.replace('\n', ' <eos> ').split() for part in parts]
  if unit != 'byte':
    parts = [[t if t in parts[0] else '<unk>' for t in part] for part in parts]
    assert '<unk>' in parts[2]
  check(dataset, dict(zip(('train', 'validation', 'test'), parts, strict=True)), 8)


def test_pieces_of_a_large_file_are_whole_lines():
  rows = [f'{i} žluťoučký kůň' for i in range(100_000)]
  text = '\n'.join(rows).encode()
  pieces = [*lines(io.BytesIO(text), 'a.txt')]
  assert len(pieces) == 3
  assert ''.join(pieces).encode() == text
  assert all(piece.endswith('\n') for piece in pieces[:-1])
  wrong = text.replace('99000 ž'.encode(), b'99000 \xbe')
  with pytest.raises(DataError, match=r'a\.txt, row 99001: byte 0xbe is no UTF-8'):
    [*lines(io.BytesIO(wrong), 'a.txt')]


def broken(served, tmp_path, monkeypatch, module, files):
  monkeypatch.setattr(module, 'FILES', files)
  with pytest.raises(DataError) as caught:
    data.build(module.__name__.rsplit('.', 1)[-1], data_dir=tmp_path, length=4)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_another_character_than_the_27(served, tmp_path, monkeypatch):
  files = zipped(served, 'text8.zip', {'text8': TEXT8[:-1] + 'É'})
  said = broken(served, tmp_path, monkeypatch, text8, files)
  assert said.endswith("text8: test: chars outside the alphabet: ['\\x89', 'Ã']")


def test_an_archive_without_the_file(served, tmp_path, monkeypatch):
  files = zipped(served, 'enwik8.zip', {'enwik9': ENWIK8})
  said = broken(served, tmp_path, monkeypatch, enwik8, files)
  assert said.endswith("enwik8.zip: has no file 'enwik8'")


def test_a_split_without_text(served, tmp_path, monkeypatch):
  files = zipped(served, 'enwik8.zip', {'enwik8': b'a' * 9})
  said = broken(served, tmp_path, monkeypatch, enwik8, files)
  assert said.endswith('downloads/enwik8: validation has no text')


def test_a_truncated_archive(served, tmp_path, monkeypatch):
  folder, url = served
  zipped(served, 'enwik8.zip', {'enwik8': ENWIK8})
  path = folder / 'enwik8.zip'
  path.write_bytes(path.read_bytes()[:-30])
  said = broken(served, tmp_path, monkeypatch, enwik8, (file_of(path, url),))
  assert 'enwik8.zip is damaged' in said


def test_another_encoding_is_told_by_its_row(served, tmp_path, monkeypatch):
  folder, url = served
  path = folder / 'input.txt'
  path.write_bytes(b'one\ntwo\nth\xe9\n' + b'four\n' * 10)
  files = (file_of(path, url),)
  said = broken(served, tmp_path, monkeypatch, tiny_shakespeare, files)
  assert said.endswith('input.txt: train, row 3: byte 0xe9 is no UTF-8')


@pytest.mark.parametrize('name', ['penn_treebank', 'tiny_shakespeare'])
def test_units_that_can_not_be(tmp_path, name):
  with pytest.raises(ValueError, match=r"unit is 'letter', but must be one of "):
    data.build(name, data_dir=tmp_path, unit='letter')
