"""Film reviews from wherever they are: CSV files, the Large Movie Review Dataset, or none at all.

The data set is that of Maas, Daly, Pham, Huang, Ng and Potts, "Learning Word Vectors for Sentiment Analysis", ACL-HLT
2011, pp. 142-150: 25,000 reviews for training and as many for testing, half of each positive (rated 7 to 10 of 10),
half negative (1 to 4).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from seqship.errors import DataError, DependencyError
from seqship.pipelines.review_csv import CLASSES, read_review_csv
from seqship.pipelines.synthetic_reviews import synthetic_reviews
from seqship.pipelines.texts import Texts

TFDS = "tfds"
"""The path that stands for TensorFlow Datasets."""

_NAME = "imdb_reviews"
_FOLDERS = {"neg": 0, "pos": 1}
# Added to the seed for generated test reviews: far from seeds that people choose, so that no run tests on the reviews
# that another trained on.
_TEST_SEED = 2**31


def load_reviews(
    path: str | Path | None = None, *, seed: int = 0, size: int = 4000, test_fraction: float = 0.2
) -> tuple[Texts, Texts]:
    """Returns reviews for training and for testing.

    Args:
        path: A folder with train.csv and test.csv (or .csv.gz), taken as they are; one such file, which is split (see
            `read_review_csv` for its layout); the folder `aclImdb` of the Large Movie Review Dataset (train/pos/*.txt
            and so on); "tfds", or a data folder of TensorFlow Datasets, for its `imdb_reviews`; None for generated
            reviews (see `synthetic_reviews`).
        seed: Seed of the split and of the generated reviews.
        size: Number of generated reviews for training.
        test_fraction: Share of the test reviews, of one file or of generated ones.

    Returns:
        Training and test reviews as they are written; classes negative, positive.

    Raises:
        DataError: The path has none of the layouts, a file breaks its layout, or the data set cannot be downloaded.
        DependencyError: TensorFlow Datasets is asked for and not installed.
        ValueError: `size` is below 1, or `test_fraction` is not above 0 and below 1.
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be above 0 and below 1, met {test_fraction}; 0.2 is a fifth")
    if path is None:
        test_size = max(1, round(size * test_fraction / (1 - test_fraction)))
        return synthetic_reviews(size, seed=seed), synthetic_reviews(test_size, seed=seed + _TEST_SEED)
    location = Path(path)
    _check_access(location)
    if str(path) == TFDS and not location.exists():
        return _from_tfds(None)
    if location.is_file():
        return _split(read_review_csv(location), test_fraction, seed)
    if location.is_dir():
        train, test = (_first_csv(location, name) for name in ("train", "test"))
        if train is not None and test is not None:
            return read_review_csv(train), read_review_csv(test)
        if train is not None or test is not None:
            missing = "train" if train is None else "test"
            raise DataError(f"{location} has no {missing} file; add {missing}.csv or {missing}.csv.gz")
        if any((location / part / name).is_dir() for part in ("train", "test") for name in _FOLDERS):
            return _read_folders(location, "train"), _read_folders(location, "test")
        if (location / _NAME).is_dir():
            return _from_tfds(location)
    problem = "holds no reviews" if location.is_dir() else "does not exist"
    raise DataError(
        f"{location} {problem}; give a CSV file with the columns text,label, a folder with train.csv and test.csv "
        "(.gz too), the folder aclImdb, or tfds"
    )


def _check_access(path: Path) -> None:
    """Raises a DataError where what the path names is there but may not be read."""
    try:
        path.stat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path} cannot be read: {reason}; check the path and its permissions") from None
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        raise DataError(f"{path} cannot be read: Permission denied; check its permissions")


def _first_csv(folder: Path, name: str) -> Path | None:
    """Returns the file of that name, plain or gzip."""
    return next((path for ending in (".csv", ".csv.gz") if (path := folder / f"{name}{ending}").is_file()), None)


def _read_folders(root: Path, part: str) -> Texts:
    """Reads one half of the folder aclImdb: a review a file, in the order of their names, the negative ones first."""
    texts: list[str] = []
    labels: list[int] = []
    for name, label in _FOLDERS.items():
        folder = root / part / name
        files = sorted(folder.glob("*.txt"))
        if not files:
            raise DataError(
                f"{folder} holds no reviews; give the whole folder aclImdb, with .txt files in {part}/{name}"
            )
        for file in files:
            try:
                text = file.read_bytes().decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{file}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8 text"
                ) from None
            except OSError as error:
                raise DataError(f"{file} cannot be read: {error.strerror}; check its permissions") from None
            if not text.strip():
                raise DataError(f"{file}: the review is empty; remove the file")
            texts.append(text)
            labels.append(label)
    return Texts(tuple(texts), np.array(labels, np.int64), CLASSES, f"{root.name}/{part}")


def _from_tfds(folder: Path | None) -> tuple[Texts, Texts]:
    """Reads `imdb_reviews` with TensorFlow Datasets, from a data folder or from its usual place."""
    try:
        tfds: Any = import_module("tensorflow_datasets")
    except ImportError:
        raise DependencyError(
            "tfds needs the package tensorflow-datasets, which is not installed; run pip install tensorflow-datasets, "
            "or give --data a folder with train.csv and test.csv"
        ) from None
    try:
        where: dict[str, Any] = {} if folder is None else {"data_dir": str(folder), "download": False}
        parts: Any = tfds.load(_NAME, split=["train", "test"], as_supervised=True, **where)
        return _from_elements(tfds.as_numpy(parts[0])), _from_elements(tfds.as_numpy(parts[1]))
    except Exception as error:  # Downloads, checksums and archives fail with errors of many packages.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"TensorFlow Datasets cannot give {_NAME} ({reason}); give --data a folder with train.csv and test.csv, or "
            "aclImdb"
        ) from None


def _from_elements(elements: Iterable[tuple[bytes, int]]) -> Texts:
    pairs = [(text.decode(), int(label)) for text, label in elements]
    texts, labels = zip(*pairs, strict=True)
    return Texts(texts, np.array(labels, np.int64), CLASSES, f"TensorFlow Datasets {_NAME}")


def _split(reviews: Texts, fraction: float, seed: int) -> tuple[Texts, Texts]:
    """Splits off the test reviews, the same share of each class; what is written twice is on one side."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(reviews.texts):
        places[text].append(index)
    groups = list(places.values())
    label_of = reviews.labels[[group[0] for group in groups]]
    rng = np.random.default_rng(seed)
    test: list[int] = []
    for label, name in enumerate(reviews.classes):
        members = rng.permutation(np.flatnonzero(label_of == label))
        if len(members) < 2:
            raise DataError(
                f"{reviews.source} has {len(members)} different {name} reviews, a split needs 2; add more, or give a "
                "folder with train.csv and test.csv"
            )
        share = min(max(round(len(members) * fraction), 1), len(members) - 1)
        test += [index for member in members[:share] for index in groups[member]]
    in_test = np.zeros(len(reviews), dtype=bool)
    in_test[test] = True
    return reviews.take(np.flatnonzero(~in_test)), reviews.take(np.flatnonzero(in_test))
