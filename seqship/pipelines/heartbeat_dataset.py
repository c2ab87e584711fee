"""Heartbeat CSV files as a data set of TensorFlow Datasets: read once, kept as sharded records, loaded with `tfds`.

```python
builder = heartbeat_dataset("heartbeats/", data_dir="~/tensorflow_datasets")
builder.download_and_prepare()
for beat in builder.as_dataset(split="train"):
    beat["heartbeat"], beat["label"]  # (length, 1) float32, () int64
```
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from seqship.errors import DataError, DependencyError
from seqship.pipelines.heartbeat_layout import CLASSES
from seqship.pipelines.heartbeats import load_heartbeats
from seqship.pipelines.sequences import Sequences

NAME, VERSION = "heartbeats", "1.0.0"

_SPLITS = ("train", "test")
_DESCRIPTION = (
    "Heartbeats of unequal length, up to 187 samples at 125 Hz, each scaled to its own minimum and maximum, in the "
    "five classes of ANSI/AAMI EC57, from CSV files in the layout of Kachuee, Fazeli and Sarrafzadeh (2018)."
)


def heartbeat_dataset(path: str | Path, *, data_dir: str | Path | None = None, seed: int = 0) -> Any:
    """Returns the builder of a data set of heartbeats.

    Its examples hold `heartbeat` float32 (length, 1), without padding, and `label` int64 (), one of N, S, V, F and Q;
    its splits are train and test.

    Args:
        path: A heartbeat CSV file, which is split by class, or a folder with a train and a test file.
        data_dir: Folder that the prepared data sets lie in; that of TensorFlow Datasets where None.
        seed: Seed of the split of one file.

    Returns:
        A `tfds.core.GeneratorBasedBuilder`: `download_and_prepare()` reads the files, `as_dataset(split=...)` gives
        `tf.data`.

    Raises:
        DataError: There is nothing at the path, or `data_dir` is a file. A file that breaks its layout is told when it
            is prepared.
        DependencyError: TensorFlow Datasets is not installed.
    """
    source = Path(path)
    if not source.exists():
        raise DataError(f"{source} does not exist; give a heartbeat CSV file or a folder with train and test")
    where = None if data_dir is None else Path(data_dir).expanduser()
    if where is not None and where.exists() and not where.is_dir():
        raise DataError(f"{where} is a file; give a folder for the prepared data")
    return _builder_class()(source=source, seed=seed, data_dir=None if where is None else str(where))


def read_heartbeat_dataset(data_dir: str | Path) -> tuple[Sequences, Sequences]:
    """Returns the training and test beats of a data set that was prepared, as `load_heartbeats` gives them.

    Args:
        data_dir: The folder that it was prepared into.

    Raises:
        DataError: There is no such data set in the folder.
        DependencyError: TensorFlow Datasets is not installed.
    """
    tfds = _tfds()
    folder = Path(data_dir).expanduser() / NAME / VERSION
    if not (folder / "dataset_info.json").is_file():
        raise DataError(f"{data_dir} holds no prepared {NAME} {VERSION}; run download_and_prepare() first")
    builder: Any = tfds.builder_from_directory(str(folder))
    train, test = (_sequences(tfds.as_numpy(builder.as_dataset(split=split)), folder) for split in _SPLITS)
    return train, test


def _sequences(elements: Any, folder: Path) -> Sequences:
    beats = list(elements)
    labels = np.array([beat["label"] for beat in beats], np.int64)
    values = tuple(np.asarray(beat["heartbeat"], np.float32) for beat in beats)
    return Sequences(values, labels, CLASSES, None, f"TensorFlow Datasets {NAME} in {folder.parent.parent}")


def _tfds() -> Any:
    try:
        return import_module("tensorflow_datasets")
    except ImportError:
        raise DependencyError(
            "heartbeats as a data set need the package tensorflow-datasets, which is not installed; run pip install "
            "tensorflow-datasets, or read the CSV files with load_heartbeats"
        ) from None


@lru_cache(maxsize=1)
def _builder_class() -> Any:
    """Returns the builder's class, made once: TensorFlow Datasets notes each class by its name."""
    tfds = _tfds()

    # Kept off the list of known data sets: it needs a path, which tfds.load does not give.
    class Heartbeats(  # pyright: ignore[reportGeneralTypeIssues]  (an option of the base, which is not typed)
        tfds.core.GeneratorBasedBuilder,
        skip_registration=True,  # pyright: ignore[reportCallIssue]
    ):
        """Heartbeats from CSV files."""

        VERSION = tfds.core.Version(VERSION)
        name = NAME
        # Nothing is downloaded, so that no list of checksums has to be looked for beside this file.
        url_infos: Any = {}  # noqa: RUF012

        def __init__(self, *, source: Path, seed: int, **options: Any) -> None:
            self._beats_at, self._seed = source, seed
            super().__init__(**options)

        def _info(self) -> Any:
            features = tfds.features.FeaturesDict(
                {
                    "heartbeat": tfds.features.Tensor(shape=(None, 1), dtype=np.float32),
                    "label": tfds.features.ClassLabel(names=list(CLASSES)),
                }
            )
            return tfds.core.DatasetInfo(
                builder=self, description=_DESCRIPTION, features=features, supervised_keys=("heartbeat", "label")
            )

        def _split_generators(self, dl_manager: Any) -> Any:  # noqa: ARG002
            parts = load_heartbeats(self._beats_at, seed=self._seed)
            return {name: self._generate_examples(part) for name, part in zip(_SPLITS, parts, strict=True)}

        def _generate_examples(self, beats: Sequences) -> Iterator[tuple[int, dict[str, Any]]]:
            for row, (value, label) in enumerate(zip(beats.values, beats.labels, strict=True)):
                yield row, {"heartbeat": value, "label": int(label)}

    return Heartbeats
