"""What the tests of the command line share: data, a shipped bundle, and two ways to call `seqship`."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.__main__ import run
from seqship.models.flavour import load_flavour
from seqship.pipelines import synthetic_heartbeats
from tests.few_cases import few_cases as a_few

SAMPLES = 187

Said = subprocess.CompletedProcess[str]


def heartbeat_rows(count: int, seed: int) -> list[str]:
    """Lines of a file in the heartbeat layout, of short beats: all are in one bucket, which is quick to train."""
    beats = synthetic_heartbeats(count, seed=seed, proportions=(6, 2, 2, 2, 2))
    return [
        ",".join([*(f"{sample:.6f}" for sample in value), *["0.0"] * (SAMPLES - len(value)), str(int(label))])
        for value, label in zip(
            (value[: 30 + i % 40, 0] for i, value in enumerate(beats.values)), beats.labels, strict=True
        )
    ]


@pytest.fixture(scope="session")
def beats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small heartbeat CSV file."""
    path = tmp_path_factory.mktemp("data") / "beats.csv"
    path.write_text("\n".join(heartbeat_rows(140, seed=3)) + "\n")
    return path


def environment() -> dict[str, str]:
    return os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONUNBUFFERED": "", "COLUMNS": "100"}


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Starts `seqship` in a process of its own."""
    command = [sys.executable, "-m", "seqship", *map(str, arguments)]
    chosen: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    chosen |= {"env": environment()} | options
    return subprocess.Popen(command, text=True, **chosen)


@pytest.fixture(scope="session", name="start")
def start_fixture() -> Callable[..., subprocess.Popen[str]]:
    """Starts `seqship` in a process of its own."""
    return start


@pytest.fixture
def seqship(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs `seqship` in this process; `stdin` is what stands on standard input."""

    def call(*arguments: object, stdin: bytes = b"") -> Said:
        words = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = run(words)
        said = capfd.readouterr()
        return Said(words, code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def shipping(beats: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """A bundle that `seqship ship --json` made in a process of its own, and what the process said."""
    folder = tmp_path_factory.mktemp("shipping")
    process = start(
        "ship", "ecg-gru", "--data", beats, "--epochs", 1, "-o", "deep/bundle", "--json", cwd=folder,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    out, err = process.communicate(timeout=300)
    return folder / "deep" / "bundle", Said(process.args, process.returncode, out, err)


@pytest.fixture(scope="session")
def shipped(shipping: tuple[Path, Said]) -> Path:
    """That bundle, not to be changed."""
    bundle, said = shipping
    assert said.returncode == 0, said.stderr
    return bundle


@pytest.fixture
def bundle(shipped: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, in a folder of its own."""
    return Path(shutil.copytree(shipped, tmp_path / "bundles" / "ecg"))


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small masked Keras 3 model."""
    keras = load_flavour(3).keras
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((None, 1), name="signal"),
            layers.Masking(-1.0, name="masking"),
            layers.LSTM(3, name="memory", recurrent_activation="hard_sigmoid"),
            layers.Dense(2, name="scores"),
        ],
        name="small",
    )
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.5, weight.shape).astype(np.float32) for weight in model.get_weights()])
    path = tmp_path_factory.mktemp("model") / "small.keras"
    model.save(path)
    return path


@pytest.fixture
def few_cases() -> Generator[None]:
    """Makes exports in this process prove themselves on a few cases."""
    with a_few((1, 3), (1, 7)):
        yield


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture(scope="session", name="listing")
def listing_fixture() -> Callable[[Path], list[str]]:
    """Lists all that lies in a folder."""
    return listing
