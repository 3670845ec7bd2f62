"""Problems of the archives from small files of the .ts format."""

import zipfile

import numpy as np
import pytest
from serving import file_of, serve

from convscan import data
from convscan.data import DataError
from convscan.data.builders import uea
from convscan.data.ts_format import read_ts

HEADER = """# The data are two channels
%# of a toy: @nothing
@problemName Toy
@timestamps false
@missing true
@univariate false
@dimensions 2
@equalLength {equal}
@classLabel true Walking 2 rest

@data
"""
TRAIN = [
  ([[1, 2, 3.5], [-1e1, 0, 4]], 'rest'),
  ([[np.nan, 5, 6], [7, 7, np.nan]], '2'),
]
TEST = [([[1, np.nan], [2, 3]], 'Walking'), ([[0, 1, 2, 3], [4, 5, 6, 7]], 'rest')]


def write(cases, equal='false', missing='?'):
  lines = [
    ':'.join(
      [','.join(missing if np.isnan(v) else repr(v) for v in c) for c in channels]
      + [label]
    )
    for channels, label in cases
  ]
  return HEADER.format(equal=equal) + '\n'.join(lines) + '\n'


@pytest.fixture
def opened(tmp_path, monkeypatch):
  folder = tmp_path / 'served'
  folder.mkdir()

  def open_toy(train, test, truncate=0, **options):
    path = folder / 'Toy.zip'
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('Toy_TEST.ts', test)
      archive.writestr('Toy_TRAIN.ts', train)
      archive.writestr('Toy_TRAIN.arff', 'not read')
    if truncate:
      path.write_bytes(path.read_bytes()[:-truncate])
    with serve(folder) as url:
      monkeypatch.setattr(uea, 'FILES', (file_of(path, url),))
      return data.build('uea', data_dir=tmp_path / 'sets', problem='Toy', **options)

  return open_toy


def test_series_as_they_are(opened):
  dataset = opened(write(TRAIN), write(TEST), normalise=False)
  assert dataset.classes == ('Walking', '2', 'rest')
  assert dataset.license.startswith('None is named')
  for split, cases in (('train', TRAIN), ('test', TEST)):
    source = dataset.splits[split]
    assert len(source) == len(cases)
    for i, (channels, label) in enumerate(cases):
      expected = np.zeros((4, 2), np.float32)
      for c, channel in enumerate(channels):
        for t, value in enumerate(channel):
          expected[t, c] = 0 if np.isnan(value) else value
      np.testing.assert_array_equal(source[i]['inputs'], expected)
      assert source[i]['inputs'].dtype == np.float32
      assert source[i]['lengths'] == len(channels[0])
      assert dataset.classes[source[i]['targets']] == label
      assert source[i]['weights'] == 1


def test_normalised_by_what_is_there_in_train(opened):
  dataset = opened(write(TRAIN), write(TEST))
  first, second = [1, 2, 3.5, 5, 6], [-10, 0, 4, 7, 7]
  channel = (np.array(TEST[1][0][1]) - np.mean(second)) / np.std(second)
  inputs = dataset.splits['test'][1]['inputs']
  np.testing.assert_allclose(inputs[:, 1], channel, rtol=1e-5)
  missing = dataset.splits['train'][1]['inputs']
  assert missing[0, 0] == missing[2, 1] == 0
  np.testing.assert_allclose(
    missing[1, 0], (5 - np.mean(first)) / np.std(first), rtol=1e-5
  )


def test_equal_lengths_have_no_lengths(opened):
  univariate = '@classLabel true a b\n@equalLength TRUE\n@data\n1,2,3:b\n1,1,1:a\n'
  dataset = opened(univariate, univariate.replace('3', 'NaN'))
  example = dataset.splits['train'][0]
  assert set(example) == {'inputs', 'targets', 'weights'}
  assert example['inputs'].shape == (3, 1)
  assert example['targets'] == 1


@pytest.mark.parametrize(
  ('text', 'row', 'reason'),
  [
    (HEADER + '1,,3:1,2,3:2', 12, "could not convert string to float: ''"),
    (HEADER + '1,2,inf:1,2,3:2', 12, 'a value is infinite'),
    (HEADER + '1,2:1,2:2\n1,2:3,4:3', 13, "the label is '3', but must be one of Walk"),
    (HEADER + '1,2:1,2:2\n1,2:2', 13, '1 channels, but the first has 2'),
    (HEADER + '1,2:1,2,3:2', 12, 'channels of [2, 3] values, but must be as long'),
    (HEADER + '2', 12, 'a label without a series'),
    (
      HEADER.replace('{equal}', 'true') + '1,2:1,2:2\n\n1:2:2',
      14,
      '1 values, but the first has 2 and @equalLength is true',
    ),
    ('@classLabel false\n@data\n1,2', 2, 'no @classLabel true with labels'),
    ('@targetLabel true\n@data\n1,2:3.0', 2, 'no @classLabel true with labels'),
    ('@timeStamps true\n@data\n(0,1):a', 2, 'series with time stamps are not read'),
    ('<html>log in</html>', 1, "'<html>log in</html>' comes before @data"),
  ],
)
def test_what_is_no_such_file(opened, text, row, reason):
  with pytest.raises(DataError) as caught:
    opened(text, write(TEST))
  said = str(caught.value)
  assert f'Toy.zip: Toy_TRAIN.ts, row {row}: ' in said
  assert reason in said
  assert '\n' not in said


def test_a_file_that_ends_early(opened):
  with pytest.raises(DataError, match=r'Toy_TRAIN\.ts: has no series after @data'):
    opened(HEADER, write(TEST))
  assert read_ts(write(TRAIN).splitlines(), 'x').labels == [2, 1]


def test_labels_are_the_same_in_another_order(opened):
  test = write(TEST).replace('Walking 2 rest', 'rest 2 Walking')
  dataset = opened(write(TRAIN), test)
  assert dataset.classes == ('Walking', '2', 'rest')
  targets = [int(example['targets']) for example in dataset.splits['test']]
  assert [dataset.classes[target] for target in targets] == ['Walking', 'rest']


@pytest.mark.parametrize(
  ('train', 'test', 'message'),
  [
    (HEADER + '1,2:2', write(TEST), r'1 channels, test .* and 2'),
    (
      write(TRAIN),
      write(TEST).replace('Walking', 'Running'),
      r"labels \('Walking', .*, test \('Running'",
    ),
  ],
)
def test_train_and_test_must_agree(opened, train, test, message):
  with pytest.raises(DataError, match=message):
    opened(train, test)


def test_a_truncated_archive(opened):
  with pytest.raises(DataError, match=r'Toy\.zip is damaged'):
    opened(write(TRAIN), write(TEST), truncate=50)


def test_a_problem_that_is_no_name(tmp_path):
  with pytest.raises(ValueError, match=r"problem is '\.\./x', but must be a name"):
    data.build('uea', data_dir=tmp_path, problem='../x')
  with pytest.raises(ValueError, match=r"problem is '', but must be a name such as "):
    data.build('uea', data_dir=tmp_path)


def test_files_of_each_problem(tmp_path, monkeypatch):
  (file,) = uea.FILES
  with serve(tmp_path) as url:
    here = file.url.replace('https://timeseriesclassification.com', url)
    monkeypatch.setattr(uea, 'FILES', (uea.dataclasses.replace(file, url=here),))
    with pytest.raises(DataError) as caught:
      data.build('uea', data_dir=tmp_path, problem='GunPoint')
  said = str(caught.value)
  assert f'{url}/aeon-toolkit/GunPoint.zip can not be downloaded: 404' in said
  assert 'python -m convscan.data.prepare uea --problem=GunPoint' in said
