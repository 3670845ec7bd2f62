"""Reviews and reports from small files of their formats."""

import gzip
import io
import tarfile

import numpy as np
import pytest
from declaring import check_declared
from serving import file_of, serve

from convscan import data
from convscan.data import DataError
from convscan.data.builders import ag_news, imdb_reviews

REVIEWS = {
  'train/pos/0_9.txt': 'A fine, fine film.<br /><br />Très bon!',
  'train/neg/0_1.txt': 'a bad film',
  'train/pos/1_10.txt': 'fine',
  'train/unsup/0_0.txt': 'never read',
  'train/urls_pos.txt': 'http://none.invalid',
  'test/neg/0_2.txt': 'A really bad film: bad.',
  'test/pos/0_7.txt': '',
}
NEWS = {
  'train': [
    ('3', 'Wall St. Bears', 'Short-sellers\\band "ultra-cynics"'),
    ('4', 'Apes', 'They "smile", say\\\\scientists'),
    ('1', 'Peace', 'at last'),
    ('2', 'Four, nil', ''),
  ],
  'test': [('2', 'Nil', 'four'), ('1', 'a', 'b'), ('3', 'c', 'd'), ('4', 'e', 'f')],
}


def served_tar(folder, reviews):
  path = folder / 'aclImdb_v1.tar.gz'
  with tarfile.open(path, 'w:gz') as tar:
    for name, content in reviews.items():
      info = tarfile.TarInfo(f'aclImdb/{name}')
      content = content if isinstance(content, bytes) else content.encode()
      info.size = len(content)
      tar.addfile(info, io.BytesIO(content))
  return path


def served_csv(folder, news):
  for split, rows in news.items():
    # Quoted as the published files are.
    text = ''.join(
      ','.join('"' + cell.replace('"', '""') + '"' for cell in row) + '\n'
      for row in rows
    )
    (folder / f'{split}.csv').write_text(text)
  return [folder / 'train.csv', folder / 'test.csv']


@pytest.fixture
def opened(tmp_path, monkeypatch):
  folder = tmp_path / 'served'
  folder.mkdir()

  def open_set(module, paths, **options):
    paths = paths if isinstance(paths, list) else [paths]
    with serve(folder) as url:
      monkeypatch.setattr(module, 'FILES', tuple(file_of(path, url) for path in paths))
      name = module.__name__.rsplit('.', 1)[-1]
      return data.build(name, data_dir=tmp_path / 'sets', **options)

  open_set.folder = folder
  return open_set


def texts(dataset, split):
  source = dataset.splits[split]
  return [
    (
      dataset.decode(source[i]['inputs'][: source[i]['lengths']]),
      dataset.classes[source[i]['targets']],
    )
    for i in range(len(source))
  ]


def test_reviews_by_word(opened):
  dataset = opened(imdb_reviews, served_tar(opened.folder, REVIEWS), length=9)
  check_declared(dataset, length=9)
  assert dataset.classes == ('neg', 'pos')
  assert dataset.license == 'None is named; its makers ask to be cited'
  assert texts(dataset, 'train') == [
    ('a fine , fine film . très bon !', 'pos'),
    ('a bad film', 'neg'),
    ('fine', 'pos'),
  ]
  assert texts(dataset, 'test') == [
    ('a <unk> bad film <unk> bad .', 'neg'),
    ('\x00', 'pos'),  # an empty text is one step of padding
  ]
  assert dataset.vocabulary.tokens[2:5] == ('fine', 'a', 'film')
  example = dataset.splits['train'][1]
  assert example['inputs'].tolist() == [3, dataset.encode('bad')[0], 4] + [0] * 6
  assert example['lengths'] == 3
  batch = dataset.splits['train'].get_batch(np.array([2, 1]))
  assert batch['inputs'].tolist() == [[2, *[0] * 8], example['inputs'].tolist()]
  assert batch['lengths'].tolist() == [1, 3]
  assert batch['targets'].tolist() == [1, 0]
  assert batch['weights'].tolist() == [1, 1]
  assert {k: (v.shape, v.dtype) for k, v in example.items()} == {
    'inputs': ((9,), np.int32),
    'lengths': ((), np.int32),
    'targets': ((), np.int32),
    'weights': ((), np.float32),
  }


def test_a_smaller_vocabulary_is_the_most_frequent_words(opened):
  path = served_tar(opened.folder, REVIEWS)
  dataset = opened(imdb_reviews, path, vocab_size=4, length=4)
  assert dataset.vocabulary.tokens == ('\x00', '<unk>', 'fine', 'a')
  assert dataset.splits['train'][0]['inputs'].tolist() == [3, 2, 1, 2]
  assert dataset.splits['train'][0]['lengths'] == 4  # the first of eight
  # Prepared once, with all of them.
  assert len(opened(imdb_reviews, path, vocab_size=0).vocabulary) == 11


@pytest.mark.parametrize('unit', ['char', 'byte'])
def test_reviews_by_letter(opened, unit):
  path = served_tar(opened.folder, REVIEWS)
  dataset = opened(imdb_reviews, path, unit=unit, length=40)
  assert texts(dataset, 'train')[0][0] == 'A fine, fine film.  Très bon!'
  assert dataset.splits['train'][0]['lengths'] == 29 + (unit == 'byte')
  assert (len(dataset.vocabulary) == 256) == (unit == 'byte')
  if unit == 'byte':
    check_declared(dataset, unit=unit, length=40)


def test_news(opened):
  dataset = opened(ag_news, served_csv(opened.folder, NEWS), unit='char', length=99)
  assert dataset.classes == ('World', 'Sports', 'Business', 'Sci/Tech')
  assert texts(dataset, 'train') == [
    ('Wall St. Bears Short-sellers band "ultra-cynics"', 'Business'),
    ('Apes They "smile", say  scientists', 'Sci/Tech'),
    ('Peace at last', 'World'),
    ('Four, nil ', 'Sports'),
  ]
  assert texts(dataset, 'test')[0] == ('<unk>il <unk>our', 'Sports')


@pytest.mark.parametrize(
  ('row', 'reason'),
  [
    ('"2","no description"', "2 cells, the first ['2']"),
    ('"5","a","b"', "3 cells, the first ['5']"),
    ('"two","a","b"', "the first ['two']"),
    ('"2","a"b,"c"', "',' expected after '\"'"),
    ('"2","a","b', 'unexpected end of data'),
  ],
)
def test_a_row_of_news_that_can_not_be(opened, row, reason):
  paths = served_csv(opened.folder, NEWS)
  with open(paths[1], 'a') as file:
    file.write(row)
  with pytest.raises(DataError, match=r'test\.csv, row 5: ') as caught:
    opened(ag_news, paths)
  assert reason in str(caught.value)
  assert '\n' not in str(caught.value)


def test_news_in_another_encoding(opened):
  paths = served_csv(opened.folder, NEWS)
  with open(paths[0], 'ab') as file:
    file.write('"1","café","au lait"'.encode('latin-1'))
  with pytest.raises(DataError, match=r'train\.csv, row 5: byte 0xe9 is no UTF-8'):
    opened(ag_news, paths)


def test_a_review_in_another_encoding(opened):
  path = served_tar(opened.folder, REVIEWS | {'test/pos/1_8.txt': b'caf\xe9'})
  with pytest.raises(DataError, match=r'aclImdb/test/pos/1_8\.txt: is no UTF-8 text'):
    opened(imdb_reviews, path)


def test_a_truncated_archive(opened):
  path = served_tar(opened.folder, REVIEWS)
  path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(DataError, match=r'aclImdb_v1\.tar\.gz is damaged'):
    opened(imdb_reviews, path)


def test_an_archive_of_something_else(opened):
  reviews = {k: v for k, v in REVIEWS.items() if 'test/pos' not in k}
  with pytest.raises(DataError, match=r"test has no text labelled \['pos'\]"):
    opened(imdb_reviews, served_tar(opened.folder, reviews))
  path = opened.folder / 'aclImdb_v1.tar.gz'
  path.write_bytes(gzip.compress(b'a page that says to log in'))
  (opened.folder.parent / 'sets/downloads/imdb_reviews/aclImdb_v1.tar.gz').unlink()
  with pytest.raises(DataError, match=r'is damaged'):
    opened(imdb_reviews, path)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'unit': 'sentence'}, r"unit is 'sentence', but must be one of char, byte, word"),
    ({'vocab_size': 2}, r'vocab_size is 2, but must be 3 or more, or 0'),
    ({'length': 0}, r'length is 0, but must be 1 or more'),
  ],
)
@pytest.mark.parametrize('name', ['imdb_reviews', 'ag_news'])
def test_options_that_can_not_be(tmp_path, name, options, message):
  with pytest.raises(ValueError, match=message):
    data.build(name, data_dir=tmp_path, **options)
