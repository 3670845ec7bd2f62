"""Your own text by character, byte, word and tokenizer file, against what it was."""

import hashlib
import logging
import sys

import numpy as np
import pytest
import sentencepiece
import tokenizers

from convscan import data

TEXT = ''.join(f'the {n} sheep of {n * 7}\nfarm, ünd ' for n in range(300))


def _open(path, **options):
  return data.build('text_files', path=str(path), **{'length': 16} | options)


def _write(path, content=TEXT):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(content, newline='')
  return path


def _train_ids(dataset):
  """All tokens of the training stream, joined from every 16th window and the last."""
  source = dataset.splits['train']
  ids = np.concatenate([source[i]['inputs'] for i in range(0, len(source), 16)])
  last = source[len(source) - 1]
  last = [*last['inputs'], last['targets'][-1]]
  return np.concatenate([ids, last[len(ids) - len(source) + 1 :]])


def _test_targets(dataset):
  """The targets of the test split that count, which are its text."""
  source = dataset.splits['test']
  examples = [source[i] for i in range(len(source))]
  return np.concatenate([e['targets'][e['weights'] == 1] for e in examples])


def test_a_files_end_is_for_testing_from_a_line_on(tmp_path):
  test_text = 'q' + TEXT[:99] + '\nand more'
  text = TEXT + '\n' + test_text
  fraction = (len(test_text) + 5) / len(text)  # a few characters before the line
  dataset = _open(_write(tmp_path / 'x.md', text), test_fraction=fraction)
  assert (dataset.task, dataset.vocabulary.unit) == ('language_model', 'char')
  assert set(dataset.classes) == {*TEXT, '\x00', '<unk>'}
  assert dataset.classes[0] == '\x00'
  expected = test_text.replace('q', '<unk>')
  assert dataset.decode(_test_targets(dataset)) == expected
  assert dataset.decode(_train_ids(dataset)) == '\x00' + TEXT + '\n'


@pytest.mark.parametrize('content', ['x' * 1000, 'x' * 990 + '\n' + 'x' * 9])
def test_a_text_without_a_line_there_is_cut_where_it_is(content, tmp_path):
  dataset = _open(_write(tmp_path / 'x.txt', content), test_fraction=0.005)
  assert len(_test_targets(dataset)) == 5


def test_a_byte_order_mark_is_no_character(tmp_path):
  (tmp_path / 'x.txt').write_bytes(TEXT.encode('utf-8-sig'))
  dataset = _open(tmp_path / 'x.txt')
  assert set(dataset.classes) == {*TEXT, '\x00', '<unk>'}


def test_files_are_for_testing_by_their_hash(tmp_path):
  names = [f'{folder}{i}.txt' for folder in ('', 'deep/er/') for i in range(20)]
  for name in [*names, 'other.md']:
    _write(tmp_path / name, f'{TEXT}{name}\r\n')
  dataset = _open(tmp_path, seed=4, test_fraction=0.3)

  def in_test(name):
    digest = hashlib.sha256(f'4:{name}'.encode()).hexdigest()
    return int(digest[:16], 16) / 16**16 < 0.3

  chosen = [name for name in names if in_test(name)]
  assert 3 < len(chosen) < 20
  found = dataset.decode(_test_targets(dataset))
  assert sorted(
    found.removeprefix(TEXT).removesuffix('\n').split('\n' + TEXT)
  ) == sorted(chosen)
  stream = dataset.decode(_train_ids(dataset))
  ends = {part.removeprefix(TEXT) for part in stream.split('\x00')[1:]}
  assert ends == {f'{name}\n' for name in {*names} - {*chosen}}
  every = _open(tmp_path, pattern='*', seed=4, test_fraction=0.3)
  assert 'other.md\n' in every.decode(_train_ids(every))


def test_bytes_are_read_as_they_are(tmp_path):
  content = bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8)) + b'\r\n'
  (tmp_path / 'x').write_bytes(content)
  dataset = _open(tmp_path / 'x', tokens='byte', test_fraction=0.1, length=64)
  assert len(dataset.classes) == 256
  # A byte of 0 is what starts a document, and is not counted.
  test = bytes(_test_targets(dataset).astype(np.uint8))
  assert len(test) > 300
  assert content.replace(b'\0', b'').endswith(test)


def test_words_of_the_training_part(tmp_path, caplog):
  train, test = 'a b b c c c\n' * 50, 'a b c d d\n' * 5
  path = _write(tmp_path / 'x.txt', train + test)
  caplog.set_level(logging.INFO)
  options = {'tokens': 'word', 'test_fraction': len(test) / len(train + test)}
  dataset = _open(path, **options)
  assert dataset.classes == ('\x00', '<unk>', 'c', 'b', '<eos>', 'a')
  assert dataset.decode(_test_targets(dataset)) == test.replace('d', '<unk>')
  assert caplog.messages == [f'{path}: 10 of 30 tokens to test are <unk>']
  assert _open(path, vocab_size=4, **options).classes == ('\x00', '<unk>', 'c', 'b')
  message = (
    r"what follows 'a b c' in the test part is none of the 6 tokens; expected all"
  )
  with pytest.raises(data.DataError, match=rf'x\.txt: {message}'):
    _open(path, unknown='error', **options)
  with pytest.raises(
    data.DataError, match=r"'' in the train part is none of the 4 token"
  ):
    _open(path, unknown='error', vocab_size=4, **options)


@pytest.fixture(scope='module')
def tokenizer_files(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokenizers')
  lines = _write(folder / 'lines.txt')
  bpe = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token='[UNK]'))
  bpe.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
  bpe.decoder = tokenizers.decoders.Metaspace()
  bpe.train(
    [str(lines)],
    tokenizers.trainers.BpeTrainer(
      vocab_size=80, special_tokens=['[UNK]', '[CLS]'], show_progress=False
    ),
  )
  bpe.post_processor = tokenizers.processors.TemplateProcessing(
    single='[CLS] $A', special_tokens=[('[CLS]', 1)]
  )
  bpe.save(str(folder / 'bpe.json'))
  sentencepiece.SentencePieceTrainer.train(
    input=str(lines),
    model_prefix=str(folder / 'unigram'),
    vocab_size=60,
    remove_extra_whitespaces=False,
    minloglevel=2,
  )
  return folder


@pytest.mark.parametrize('name', ['bpe.json', 'unigram.model'])
def test_a_tokenizer_file_gives_what_its_library_does(name, tokenizer_files, tmp_path):
  file = str(tokenizer_files / name)
  dataset = _open(_write(tmp_path / 'x.txt'), tokens=file, test_fraction=0.2)
  assert dataset.vocabulary.unit == 'token'
  cut = TEXT.index('\n', round(len(TEXT) * 0.8) - 1) + 1
  train, test = TEXT[:cut], TEXT[cut:]
  if name == 'bpe.json':
    library = tokenizers.Tokenizer.from_file(file)

    def encode(string):
      return library.encode(string, add_special_tokens=False).ids

    decode, size, piece = library.decode, library.get_vocab_size(), library.id_to_token
  else:
    library = sentencepiece.SentencePieceProcessor(model_file=file)
    encode, decode = library.encode, library.decode
    size, piece = library.get_piece_size(), library.id_to_piece
  assert dataset.classes == ('\x00', *(piece(i) for i in range(size)))
  np.testing.assert_array_equal(_test_targets(dataset) - 1, encode(test))
  np.testing.assert_array_equal(_train_ids(dataset)[1:] - 1, encode(train))
  text = 'the sheep of the farm'
  np.testing.assert_array_equal(dataset.encode(text), np.array(encode(text)) + 1)
  assert dataset.encode(text).dtype == np.int32
  assert dataset.decode(dataset.encode(text)) == decode(encode(text)) == text
  if name == 'bpe.json':
    strange = encode('the ж')
    assert '[UNK]' in dataset.decode(np.array(strange) + 1)
  ids = dataset.encode(text)
  assert dataset.decode([0, *ids, 0, *ids]) == f'\x00{text}\x00{text}'


def test_a_tokenizer_file_that_cuts_and_fills_does_neither(tokenizer_files, tmp_path):
  library = tokenizers.Tokenizer.from_file(str(tokenizer_files / 'bpe.json'))
  library.enable_truncation(50)
  library.enable_padding(length=2000)
  library.save(str(tmp_path / 'cutting.json'))
  path = _write(tmp_path / 'x.txt')
  expected, found = (
    _open(path, tokens=str(file))
    for file in (tokenizer_files / 'bpe.json', tmp_path / 'cutting.json')
  )
  np.testing.assert_array_equal(_train_ids(found), _train_ids(expected))
  np.testing.assert_array_equal(_test_targets(found), _test_targets(expected))


@pytest.mark.parametrize('name', ['bpe.json', 'unigram.model'])
def test_what_a_tokenizer_file_does_not_know(name, tokenizer_files, tmp_path, caplog):
  caplog.set_level(logging.INFO)
  path = _write(tmp_path / 'x.txt', TEXT + '\nthe sheep ж of')
  options = {'tokens': str(tokenizer_files / name), 'test_fraction': 0.001}
  _open(path, **options)
  assert any(
    ' 1 of ' in line and 'tokens to test are ' in line for line in caplog.messages
  )
  with pytest.raises(data.DataError, match=r"what follows '.*eep ?' in the test part"):
    _open(path, unknown='error', **options)


def test_tokenizer_files_that_can_not_be_used(tmp_path, monkeypatch):
  path = _write(tmp_path / 'x.txt')
  for name in ('x.json', 'x.model'):
    file = tmp_path / name
    with pytest.raises(
      data.DataError, match=rf'{name}: there is no such tokenizer file'
    ):
      _open(path, tokens=str(file))
    file.write_text('{"no": "tokenizer"}')
    with pytest.raises(data.DataError, match=rf'{name}: it is no (tok|Sen)') as e:
      _open(path, tokens=str(file))
    assert '\n' not in str(e.value)
    library = 'tokenizers' if name == 'x.json' else 'sentencepiece'
    with monkeypatch.context() as patch:
      patch.setitem(sys.modules, library, None)  # as if it were not installed
      message = rf"{library} is not installed.* the extra 'text', .*\[text\]"
      with pytest.raises(ImportError, match=message):
        _open(path, tokens=str(file))


def test_bad_files_are_named_or_left_out_and_counted(tmp_path, caplog):
  for i in range(4):
    _write(tmp_path / f'{i}.txt')
  whole = _open(tmp_path)
  (tmp_path / 'bad.txt').write_bytes(b'one\ntwo \xff\n\n\nthree\n')
  message = r'bad\.txt.* line 2: byte 8 of the file, 0xff, is not utf-8; expected text'
  with pytest.raises(data.DataError, match=message):
    _open(tmp_path)
  dataset = _open(tmp_path, on_bad='skip')
  np.testing.assert_array_equal(_train_ids(dataset), _train_ids(whole))
  assert 'left out 1: ' in caplog.messages[0]
  assert 'bad.txt: line 2: byte 8' in caplog.messages[0]
  assert 'ÿ' in _open(tmp_path, encoding='latin-1', seed=1).classes
  (tmp_path / 'bad.txt').write_bytes(b' \n')
  with pytest.raises(data.DataError, match=r'bad\.txt: it is empty; expected text'):
    _open(tmp_path)
  with pytest.raises(data.DataError, match=r'bad\.txt: it is empty'):
    _open(tmp_path / 'bad.txt', on_bad='skip')


@pytest.mark.parametrize('tokens', ['char', 'word'])
def test_what_stands_for_a_documents_start_is_no_text(tokens, tmp_path):
  for i in range(3):
    _write(tmp_path / f'{i}.txt')
  whole = _open(tmp_path, tokens=tokens)
  _write(tmp_path / 'bad.txt', TEXT + '\n\0 ' + TEXT)
  line = TEXT.count('\n') + 2
  message = rf"bad\.txt.* line {line}: it has the character '\\x00', which stands for"
  with pytest.raises(data.DataError, match=message):
    _open(tmp_path, tokens=tokens)
  dataset = _open(tmp_path, tokens=tokens, on_bad='skip')
  np.testing.assert_array_equal(_train_ids(dataset), _train_ids(whole))


def test_too_few_files(tmp_path):
  with pytest.raises(data.DataError, match=r'nowhere: there is no such file or folder'):
    _open(tmp_path / 'nowhere')
  _write(tmp_path / 'x.txt')
  with pytest.raises(
    data.DataError, match=r'1 files \*\.txt that can be used; expected 2'
  ):
    _open(tmp_path)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'path': ''}, r"path is '', but must be a text file, or a folder of them"),
    (
      {'tokens': 'words'},
      r"tokens is 'words', but must be one of char, byte, word, or",
    ),
    ({'unknown': 'drop'}, r"unknown is 'drop', but must be 'token' or 'error'"),
    ({'length': 10**6}, r'length is 1000000, but must be from 1 to '),
    ({'length': 1}, r'length is 1, but must be 2 or more'),
    ({'vocab_size': 2}, r'vocab_size is 2, but must be 3 or more, or 0 for all'),
    ({'test_fraction': -1}, r'test_fraction is -1, but'),
    ({'encoding': 'utf-9'}, r"encoding is 'utf-9', but"),
    ({'on_bad': ''}, r"on_bad is '', but"),
  ],
)
def test_illegal_options(options, message, tmp_path):
  path = str(_write(tmp_path / 'x.txt'))
  with pytest.raises(ValueError, match=message):
    data.build('text_files', **{'path': path} | options)
