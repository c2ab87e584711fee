"""Heartbeat CSV files as a data set of TensorFlow Datasets."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from seqship.errors import DataError, DependencyError
from seqship.pipelines import synthetic_heartbeats
from seqship.pipelines.heartbeat_dataset import heartbeat_dataset, read_heartbeat_dataset
from seqship.pipelines.heartbeats import load_heartbeats
from seqship.pipelines.reviews import load_reviews

SAMPLES = 187


@pytest.fixture(name="beats")
def _beats(tmp_path: Path) -> Path:
    found = synthetic_heartbeats(40, seed=3, proportions=(6, 2, 2, 2, 2))
    rows = [
        ",".join([*map(repr, value[:, 0].astype(float).tolist()), *["0"] * (SAMPLES - len(value)), str(label)])
        for value, label in zip(found.values, found.labels.tolist(), strict=True)
    ]
    path = tmp_path / "beats.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_what_is_prepared_is_what_the_files_hold(beats: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_datasets")
    builder = heartbeat_dataset(beats, data_dir=tmp_path / "prepared", seed=5)
    assert builder.info.features["label"].names == ["N", "S", "V", "F", "Q"]
    builder.download_and_prepare()
    for expected, found in zip(
        load_heartbeats(beats, seed=5), read_heartbeat_dataset(tmp_path / "prepared"), strict=True
    ):
        assert len(found) == len(expected)
        # Records are shuffled when they are written.
        order = {value.tobytes(): int(label) for value, label in zip(expected.values, expected.labels, strict=True)}
        assert {value.tobytes(): int(label) for value, label in zip(found.values, found.labels, strict=True)} == order
        assert all(value.dtype == np.float32 and value.ndim == 2 for value in found.values)


def test_faults_are_told(beats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"nothing does not exist; give a heartbeat CSV file or a folder with train"):
        heartbeat_dataset(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"beats\.csv is a file; give a folder for the prepared data$"):
        heartbeat_dataset(beats, data_dir=beats)
    with pytest.raises(DataError, match=r"holds no prepared heartbeats 1\.0\.0; run download_and_prepare\(\) first$"):
        read_heartbeat_dataset(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DependencyError, match="pip install tensorflow-datasets"):
        read_heartbeat_dataset(tmp_path)


def test_a_download_that_fails_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")

    def fails(*_: object, **__: object) -> None:
        raise ConnectionError("no network\nhere")

    # The installed package as it is, but for the step that would ask the network.
    monkeypatch.setattr(tfds.core.download.DownloadManager, "download_and_extract", fails)
    monkeypatch.setattr(tfds.core.download.DownloadManager, "download", fails)

    def absent(*_: object) -> bool:
        return False

    monkeypatch.setattr(tfds.core.utils.gcs_utils, "is_dataset_on_gcs", absent)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path), raising=False)
    with pytest.raises(DataError, match=r"^TensorFlow Datasets cannot give imdb_reviews \(.*\); give --data a folder"):
        load_reviews("tfds")
