"""Digits: drawn ones, files of them, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.pipelines.digits import Digits, load_digits, row_sequences, shifted
from seqship.pipelines.synthetic_digits import synthetic_digits


def arrays(**changes: Any) -> dict[str, Any]:
    images, labels = synthetic_digits(12, seed=1)
    return {"x_train": images[:8], "y_train": labels[:8], "x_test": images[8:], "y_test": labels[8:], **changes}


def test_drawn_digits_are_seeded_balanced_and_told_apart() -> None:
    images, labels = synthetic_digits(200, seed=4)
    again, same = synthetic_digits(200, seed=4)
    other, _ = synthetic_digits(200, seed=5)
    assert (images.shape, images.dtype, labels.dtype) == ((200, 28, 28), np.uint8, np.int64)
    assert np.array_equal(images, again)
    assert np.array_equal(labels, same)
    assert not np.array_equal(images, other)
    assert np.bincount(labels).tolist() == [20] * 10
    # The nearest mean of the other half is mostly that of the same digit: the strokes are those of the label.
    means = np.stack([images[100:][labels[100:] == digit].mean(axis=0) for digit in range(10)])
    nearest = ((images[:100, None].astype(float) - means) ** 2).sum((2, 3)).argmin(axis=1)
    assert np.mean(nearest == labels[:100]) > 0.6
    assert all(image.max() == 255 and image[0].max() < 255 for image in images)


def test_test_digits_are_not_those_that_are_trained_on() -> None:
    train, test = load_digits(seed=2, size=40)
    assert (len(train), len(test)) == (40, 20)
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", **arrays())
    train, test = load_digits(tmp_path / "digits.npz")
    assert np.array_equal(train.images, arrays()["x_train"])
    assert np.array_equal(test.labels, arrays()["y_test"])
    rows = row_sequences(test)
    assert rows.values[0].dtype == np.float32
    assert np.allclose(rows.values[1] * 255, test.images[1])
    assert rows.classes == tuple("0123456789")


def test_shifted_copies_hold_the_same_picture() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 10, 12] = 7
    more = shifted(Digits(image, np.array([3]), "one"), copies=40, most=2, seed=0)
    assert more.labels.tolist() == [3] * 41
    assert np.array_equal(more.images[0], image[0])
    places = np.argwhere(more.images == 7)[:, 1:] - (10, 12)
    assert len(places) == 41
    assert np.abs(places).max() == 2
    assert len(np.unique(places, axis=0)) > 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((8, 27, 28), np.uint8)}, r"train: pictures are uint8 shaped \(n, 28, 28\), met uint8"),
        ({"x_test": np.zeros((4, 28, 28), np.float32)}, r"test: pictures are uint8 .*, met float32"),
        ({"y_test": np.zeros(3, np.int64)}, r"test: 4 pictures need as many whole numbers as labels"),
        ({"y_train": np.full(8, 10)}, r"train: labels are 0 to 9, met 10 to 10"),
    ],
)
def test_faults_of_a_file_are_told_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "digits.npz", **arrays(**changes))
    with pytest.raises(DataError, match=message) as caught:
        load_digits(tmp_path / "digits.npz")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_of_digits_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.npz does not exist; give an \.npz file of digits, tfds or keras$"):
        load_digits(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no numbers")
    with pytest.raises(DataError, match=r"text\.npz cannot be read: it is no \.npz file of numbers; give one with"):
        load_digits(tmp_path / "text.npz")
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"zip\.npz cannot be read"):
        load_digits(tmp_path / "zip.npz")
    np.savez(tmp_path / "part.npz", x_train=np.zeros(1))
    with pytest.raises(DataError, match=r"part\.npz has no array 'y_train'; it needs x_train, y_train"):
        load_digits(tmp_path / "part.npz")


@pytest.mark.parametrize("name", ["keras", "tfds"])
def test_a_download_that_fails_names_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    from importlib import import_module

    def fails(*_: object, **__: object) -> None:
        raise OSError("no\nnetwork")

    monkeypatch.chdir(tmp_path)
    if name == "keras":
        monkeypatch.setattr(import_module("keras").datasets.mnist, "load_data", fails)
    else:
        monkeypatch.setattr(pytest.importorskip("tensorflow_datasets"), "load", fails)
    with pytest.raises(DataError, match=r"cannot give mnist \(no network\); give --data an \.npz file with x_train"):
        load_digits(name)
