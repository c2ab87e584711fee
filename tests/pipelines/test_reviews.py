"""Reviews from wherever they are."""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import DataError, DependencyError
from seqship.pipelines.review_csv import read_review_csv
from seqship.pipelines.reviews import load_reviews
from seqship.pipelines.synthetic_reviews import synthetic_reviews
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.pipelines.texts import Texts, token_sequences
from seqship.pipelines.vocabulary import fit_vocabulary

TEXTS = st.lists(st.tuples(st.text(min_size=1).filter(str.strip), st.integers(0, 1)), min_size=1, max_size=9)


def written(rows: list[tuple[str, int]], header: tuple[str, ...] = ("text", "label")) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([header, *rows])
    return buffer.getvalue().encode()


def many(n: int, prefix: str = "review") -> bytes:
    return written([(f"{prefix} {i}", i % 2) for i in range(n)])


@settings(max_examples=60)
@given(rows=TEXTS, packed=st.booleans())
def test_texts_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], packed: bool
) -> None:
    path = tmp_path_factory.mktemp("reviews") / "reviews.data"
    content = written(rows)
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    read = read_review_csv(path)
    assert read.texts == tuple(text for text, _ in rows)
    assert read.labels.dtype == np.int64
    assert read.labels.tolist() == [label for _, label in rows]
    assert read.classes == ("negative", "positive")
    assert read.source == "review CSV reviews.data"


def test_columns_are_found_by_name_and_labels_may_be_words(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(
        b'\xef\xbb\xbflabel, stars,text\r\nnegative,1,"Bad, <br />\nindeed"\r\npositive,9,"So ""good"""\r\n'
    )
    read = read_review_csv(path)
    assert read.texts == ("Bad, <br />\nindeed", 'So "good"')
    assert read.labels.tolist() == [0, 1]


def test_one_text_may_be_very_long_and_the_reader_s_limit_stays(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(written([("word " * 60_000, 1)]))
    before = csv.field_size_limit()
    assert len(read_review_csv(path).texts[0]) == 300_000
    assert csv.field_size_limit() == before


FAULTS: list[tuple[bytes, str]] = [
    (b"", " is empty; give the header text,label and rows"),
    (b" \n\n", " is empty; give the header text,label and rows"),
    (b"text,label\n", " holds a header and no review; add rows"),
    (b"review,label\na,1\n", " has no column 'text', met 'review, label'; begin it with the header text,label"),
    (b"text\na\n", " has no column 'label', met 'text'; begin it with the header text,label"),
    (
        b"text,label,text\na,1,b\n",
        " has no column 'text', met 'text, label, text'; begin it with the header text,label",
    ),
    (b"a fine film,1\n", " has no column 'text', met 'a fine film, 1'; begin it with the header text,label"),
    (b"text,label\na,1\nb,c,0\n", ", row 2: the number of columns is 3, not 2; put texts with commas in double quotes"),
    (b"text,label\na\n", ", row 1: the number of columns is 1, not 2; put texts with commas in double quotes"),
    (b"text,label\na,1\n\nb,0\n", ", row 2: the row is blank; remove it"),
    (b"text,label\na,1\nb,2\n", ", row 2: the label is '2'; give 0 (negative) or 1 (positive)"),
    (b"text,label\na,Positive\n", ", row 1: the label is 'Positive'; give 0 (negative) or 1 (positive)"),
    (b'text,label\na,1\n" \xc2\xa0",0\n', ", row 2: the review is empty; remove the row"),
    (b'text,label\na,1\n"b\n\nc\xe9,d",0\n', ", line 5: byte 0xe9 is not UTF-8; save the file as UTF-8 text"),
    (
        b'text,label\na,1\n"b,0\nc,1\n',
        ", row 2: unexpected end of data; put texts in double quotes and double those within",
    ),
    (
        b'text,label\n"b" c,0\n',
        ", row 1: ',' expected after '\"'; put texts in double quotes and double those within",
    ),
    (b'"text,label\n', ", the header: unexpected end of data; put texts in double quotes and double those within"),
    (gzip.compress(many(50), mtime=0)[:40], " is a gzip file that ends too early; copy it again"),
]


@pytest.mark.parametrize(("content", "message"), FAULTS)
def test_a_fault_is_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(content)
    before = csv.field_size_limit()
    with pytest.raises(DataError) as caught:
        load_reviews(path)
    assert str(caught.value) == f"{path}{message}"
    assert csv.field_size_limit() == before


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv.gz"
    content = bytearray(gzip.compress(many(50), mtime=0))
    content[-6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"reviews\.csv\.gz is a damaged gzip file \(CRC check failed.*\); copy it again$"
    ):
        load_reviews(path)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "nothing", "does not exist"), (tmp_path, "holds no reviews")):
        with pytest.raises(DataError) as caught:
            load_reviews(path)
        assert str(caught.value) == (
            f"{path} {problem}; give a CSV file with the columns text,label, a folder with train.csv and test.csv "
            "(.gz too), the folder aclImdb, or tfds"
        )
    with pytest.raises(DataError, match=r"cannot be read: .*null byte; check the path and its permissions$"):
        load_reviews("a\0b")
    with pytest.raises(DataError, match=r"absent\.csv does not exist; give a CSV file of reviews$"):
        read_review_csv(tmp_path / "absent.csv")


@pytest.mark.parametrize("endings", [(".csv", ".csv.gz"), (".csv.gz", ".csv")])
def test_a_folder_is_taken_as_it_is(tmp_path: Path, endings: tuple[str, str]) -> None:
    for name, ending in zip(("train", "test"), endings, strict=True):
        content = many(3, name)
        (tmp_path / f"{name}{ending}").write_bytes(gzip.compress(content) if ending == ".csv.gz" else content)
    train, test = load_reviews(tmp_path, seed=4)
    assert train.texts == ("train 0", "train 1", "train 2")
    assert test.texts == ("test 0", "test 1", "test 2")


def test_a_folder_without_one_of_both_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(many(3))
    with pytest.raises(DataError, match=r" has no test file; add test\.csv or test\.csv\.gz$"):
        load_reviews(tmp_path)


def test_one_file_is_split_by_class_and_twins_stay_together(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    rows = [(f"review {i // 2}", i // 2 % 5 // 4) for i in range(400)]
    path.write_bytes(written(rows))
    train, test = load_reviews(path, seed=3, test_fraction=0.25)
    assert not set(train.texts) & set(test.texts)
    assert sorted([*train.texts, *test.texts]) == sorted(text for text, _ in rows)
    assert test.class_counts.tolist() == [80, 20]
    label_of = dict(rows)
    for part in (train, test):
        assert [label_of[text] for text in part.texts] == part.labels.tolist()
    again, other = (load_reviews(path, seed=seed, test_fraction=0.25)[1] for seed in (3, 4))
    assert again.texts == test.texts
    assert other.texts != test.texts


def test_a_class_that_cannot_be_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(written([("a", 0), ("b", 0), ("c", 1), ("c", 1)]))
    message = (
        r"^review CSV reviews\.csv has 1 different positive reviews, a split needs 2; add more, or give a folder with "
        r"train\.csv and test\.csv$"
    )
    with pytest.raises(DataError, match=message):
        load_reviews(path)


def acl_imdb(root: Path) -> Path:
    for part in ("train", "test"):
        for name in ("pos", "neg"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(2):
                (folder / f"{i}_7.txt").write_text(f"{part} {name} {i} caf\u00e9<br />", encoding="utf-8")
    (root / "train" / "unsup").mkdir()
    (root / "train" / "unsup" / "0_0.txt").write_text("neither")
    return root


def test_the_folder_of_the_data_set_is_read(tmp_path: Path) -> None:
    train, test = load_reviews(acl_imdb(tmp_path / "aclImdb"))
    assert train.texts == tuple(f"train {name} {i} caf\u00e9<br />" for name in ("neg", "pos") for i in range(2))
    assert train.labels.tolist() == test.labels.tolist() == [0, 0, 1, 1]
    assert (train.source, test.source) == ("aclImdb/train", "aclImdb/test")


def test_faults_of_that_folder_name_the_file(tmp_path: Path) -> None:
    root = acl_imdb(tmp_path / "aclImdb")
    file = root / "test" / "pos" / "1_7.txt"
    file.write_bytes(b"caf\xe9")
    with pytest.raises(DataError) as caught:
        load_reviews(root)
    assert str(caught.value) == f"{file}: byte 0xe9 is not UTF-8; save the file as UTF-8 text"
    file.write_bytes(b"\n")
    with pytest.raises(DataError, match=r"1_7\.txt: the review is empty; remove the file$"):
        load_reviews(root)
    for each in file.parent.iterdir():
        each.unlink()
    with pytest.raises(
        DataError, match=r"test/pos holds no reviews; give the whole folder aclImdb, with \.txt files in "
    ):
        load_reviews(root)


class Recorded:
    """Stands in for TensorFlow Datasets."""

    def __init__(self, parts: list[list[tuple[bytes, int]]] | Exception) -> None:
        self.parts = parts
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def load(self, name: str, **options: Any) -> Any:
        self.asked.append((name, options))
        if isinstance(self.parts, Exception):
            raise self.parts
        return self.parts

    def as_numpy(self, part: list[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
        return iter(part)


def stand_in(monkeypatch: pytest.MonkeyPatch, parts: list[list[tuple[bytes, int]]] | Exception) -> Recorded:
    recorded, module = Recorded(parts), ModuleType("tensorflow_datasets")
    vars(module).update(load=recorded.load, as_numpy=recorded.as_numpy)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return recorded


def test_tensorflow_datasets_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorded = stand_in(monkeypatch, [[("caf\u00e9".encode(), 1), (b"b", 0)], [(b"c", 0)]])
    (tmp_path / "imdb_reviews").mkdir()
    for path in ("tfds", Path("tfds"), tmp_path):
        train, test = load_reviews(path)
        assert train.texts == ("caf\u00e9", "b")
        assert (train.labels.tolist(), test.labels.tolist()) == ([1, 0], [0])
        assert train.source == "TensorFlow Datasets imdb_reviews"
    common = {"split": ["train", "test"], "as_supervised": True}
    local = {**common, "data_dir": str(tmp_path), "download": False}
    assert recorded.asked == [("imdb_reviews", options) for options in (common, common, local)]


def test_without_that_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    message = (
        r"^tfds needs the package tensorflow-datasets, which is not installed; run pip install tensorflow-datasets, or "
        r"give --data a folder with train\.csv and test\.csv$"
    )
    with pytest.raises(DependencyError, match=message):
        load_reviews("tfds")


def test_a_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, OSError("Failed to get url\n  https://example.org"))
    message = (
        r"^TensorFlow Datasets cannot give imdb_reviews \(Failed to get url https://example\.org\); give --data a "
        r"folder with train\.csv and test\.csv, or aclImdb$"
    )
    with pytest.raises(DataError, match=message):
        load_reviews("tfds")


def test_generated_reviews_are_unequal_in_length_and_balanced() -> None:
    train, test = load_reviews(size=800)
    assert (len(train), len(test)) == (800, 200)
    lengths = [len(text.split()) for text in train.texts]
    assert min(lengths) == 8
    assert max(lengths) <= 200
    assert len(set(lengths)) > 60
    assert train.class_counts.tolist() == [400, 400]
    assert train.source == "generated reviews, seed 0"
    assert any("<br /><br />" in text for text in train.texts)
    assert not set(train.texts) & {text for text in test.texts if len(text.split()) > 12}
    assert load_reviews(size=800)[0].texts == train.texts
    assert load_reviews(size=800, seed=1)[0].texts != train.texts


def test_the_order_of_words_tells_what_their_counts_do_not() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train, test = load_reviews(size=2400)
    scores: list[float] = []
    for words in (1, 2):
        counter = CountVectorizer(ngram_range=(1, words))
        model: Any = LogisticRegression(C=0.3, solver="liblinear").fit(counter.fit_transform(train.texts), train.labels)
        scores.append(model.score(counter.transform(test.texts), test.labels))
    assert scores[0] < 0.7
    assert scores[1] > 0.82


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^test_fraction must be above 0 and below 1, met 1; 0\.2 is a fifth$"):
        load_reviews(test_fraction=1)
    with pytest.raises(ValueError, match=r"^n must be 1 or more, met 0; 4000 reviews are enough to train on$"):
        synthetic_reviews(0)


def test_texts_become_sequences_of_ids() -> None:
    texts = synthetic_reviews(20)
    vectorizer = TextVectorizer(fit_vocabulary(texts.texts), max_length=30)
    sequences = token_sequences(texts, vectorizer)
    assert sequences.labels is texts.labels
    assert sequences.lengths.max() == 30
    for value, text in zip(sequences.values, texts.texts, strict=True):
        assert value.dtype == np.int64
        np.testing.assert_array_equal(value, vectorizer.ids(text))
    part = texts.take([3, 1])
    assert part.texts == (texts.texts[3], texts.texts[1])
    assert part.labels.tolist() == texts.labels[[3, 1]].tolist()
    wordless = Texts(("a", "?! " * 20), np.zeros(2, np.int64), texts.classes)
    with pytest.raises(
        DataError, match=r"^text 1 is '\?! \?! \?! \?! \?! \?! \?! \?! \.\.\.', which has no word; leave it out$"
    ):
        token_sequences(wordless, vectorizer)
