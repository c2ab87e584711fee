"""Pictures of handwritten digits from wherever they are: a file, TensorFlow Datasets, Keras, or drawn here.

The data set is MNIST: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proc. IEEE 86(11):2278-2324, 1998.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError, DependencyError
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.synthetic_digits import SIDE, synthetic_digits

TFDS, KERAS = "tfds", "keras"
"""Paths that stand for TensorFlow Datasets and for `keras.datasets.mnist`; both download."""
CLASSES = tuple("0123456789")

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# Far from seeds that people choose: no run tests on the digits that another trained on.
_TEST_SEED = 2**31


@dataclass(frozen=True, eq=False)
class Digits:
    """Pictures with the digit that each shows.

    Attributes:
        images: Brightness, uint8, shaped (n, 28, 28): rows from the top, 0 is paper and 255 ink.
        labels: The digit, int64, shaped (n,).
        source: Where they came from, in words.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    source: str

    def __len__(self) -> int:
        return len(self.labels)


def load_digits(path: str | Path | None = None, *, seed: int = 0, size: int = 2_000) -> tuple[Digits, Digits]:
    """Returns digits for training and for testing.

    Args:
        path: An `.npz` file with x_train, y_train, x_test and y_test, as Keras keeps MNIST; "tfds" for the `mnist` of
            TensorFlow Datasets; "keras" for `keras.datasets.mnist`; None for drawn digits.
        seed: Seed of the drawn digits.
        size: Number of drawn digits to train on; half as many are to test on.

    Raises:
        DataError: The file breaks the layout, or a data set cannot be downloaded.
        DependencyError: TensorFlow Datasets is asked for and not installed.
        ValueError: `size` is below 2.
    """
    if path is None:
        made = (synthetic_digits(size, seed=seed), synthetic_digits(max(size // 2, 1), seed=seed + _TEST_SEED))
        one, other = (Digits(images, labels, f"drawn digits, seed {seed}") for images, labels in made)
        return one, other
    if not Path(path).exists():
        if str(path) == TFDS:
            return _from_tfds()
        if str(path) == KERAS:
            return _from_keras()
    return _from_file(Path(path))


def row_sequences(digits: Digits) -> Sequences:
    """Returns each picture as a sequence of its rows: float32 of 0 to 1, shaped (28, 28)."""
    values = digits.images.astype(np.float32) / 255
    return Sequences(tuple(values), digits.labels, CLASSES, None, digits.source)


def shifted(digits: Digits, *, copies: int, most: int, seed: int) -> Digits:
    """Returns the digits and so many copies of each, moved at random.

    Args:
        digits: The pictures.
        copies: Copies of each, beside the picture itself.
        most: Most pixels a copy is moved to each side, and up or down; paper comes in at the edge.
        seed: Seed of the moves.
    """
    rng = np.random.default_rng([seed, copies])
    images, padded = [digits.images], np.pad(digits.images, ((0, 0), (most, most), (most, most)))
    rows = np.arange(len(digits))[:, None, None]
    for _ in range(copies):
        down, right = rng.integers(0, 2 * most + 1, (2, len(digits), 1, 1))
        steps = np.arange(SIDE)
        images.append(padded[rows, down + steps[:, None], right + steps])
    return Digits(np.concatenate(images), np.tile(digits.labels, copies + 1), digits.source)


def _from_file(path: Path) -> tuple[Digits, Digits]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if missing := [name for name in _ARRAYS if name not in arrays.files]:
                raise DataError(
                    f"{path} has no array {missing[0]!r}; it needs {', '.join(_ARRAYS)}, as Keras' mnist.npz"
                )
            found = {name: np.asarray(arrays[name]) for name in _ARRAYS}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give an .npz file of digits, tfds or keras") from None
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no .npz file of numbers"
        raise DataError(f"{path} cannot be read: {reason}; give one with {', '.join(_ARRAYS)}") from None
    train, test = (_checked(found[f"x_{part}"], found[f"y_{part}"], f"{path}, {part}") for part in ("train", "test"))
    return train, test


def _checked(images: NDArray[Any], labels: NDArray[Any], source: str) -> Digits:
    """Returns the arrays as digits, or says what is wrong with them."""
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8 or not len(images):
        raise DataError(f"{source}: pictures are uint8 shaped (n, 28, 28), met {images.dtype} shaped {images.shape}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"{source}: {len(images)} pictures need as many whole numbers as labels, met {labels.dtype} shaped "
            f"{labels.shape}"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise DataError(f"{source}: labels are 0 to 9, met {labels.min()} to {labels.max()}; correct them")
    return Digits(images, labels.astype(np.int64), source)


def _from_tfds() -> tuple[Digits, Digits]:
    try:
        tfds: Any = import_module("tensorflow_datasets")
    except ImportError:
        raise DependencyError(
            "tfds needs the package tensorflow-datasets, which is not installed; run pip install tensorflow-datasets, "
            "or give --data an .npz file"
        ) from None
    try:
        parts: Any = tfds.load("mnist", split=["train", "test"], batch_size=-1, as_supervised=True)
        pairs = [tfds.as_numpy(part) for part in parts]
    except Exception as error:  # Downloads, checksums and archives fail with errors of many packages.
        raise _no_download("TensorFlow Datasets", error) from None
    train, test = (_checked(images[..., 0], labels, "TensorFlow Datasets mnist") for images, labels in pairs)
    return train, test


def _from_keras() -> tuple[Digits, Digits]:
    try:
        pairs: Any = import_module("keras").datasets.mnist.load_data()
    except ImportError:
        raise DependencyError("keras.datasets needs the package keras; run pip install keras") from None
    except Exception as error:  # As above.
        raise _no_download("keras.datasets", error) from None
    train, test = (_checked(images, labels, "keras.datasets.mnist") for images, labels in pairs)
    return train, test


def _no_download(what: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(f"{what} cannot give mnist ({reason}); give --data an .npz file with {', '.join(_ARRAYS)}")
