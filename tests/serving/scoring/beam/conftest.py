"""What the cases share; they are collected where Apache Beam is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.serving import Predictor


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bundles", type=Path, help="folder of the bundles that the server's tests ship")


@pytest.fixture(scope="session")
def bundles(request: pytest.FixtureRequest) -> Path:
    """The folder of the bundles, not to be changed."""
    path: Any = request.config.getoption("--bundles", skip=True)
    return Path(path)


@pytest.fixture(scope="session")
def signals() -> list[NDArray[np.float32]]:
    """Sequences of two features and 1 to 40 steps."""
    random = np.random.default_rng(3)
    return [random.normal(0, 1, (int(steps), 2)).astype(np.float32) for steps in random.integers(1, 41, 150)]


def lines_of(values: Sequence[Any]) -> str:
    return "".join(json.dumps(value.tolist() if isinstance(value, np.ndarray) else value) + "\n" for value in values)


def documents(output: str | Path, prefix: str = "predictions") -> list[dict[str, Any]]:
    """What all files of a kind hold, in any order."""
    files = sorted(Path(output).glob(f"{prefix}-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture(scope="session")
def alone() -> Callable[[Path, Any], dict[str, NDArray[Any]]]:
    """Answers for one sequence by itself."""
    opened: dict[Path, Predictor] = {}

    def answer(bundle: Path, sequence: Any) -> dict[str, NDArray[Any]]:
        predictor = opened.setdefault(bundle, Predictor(bundle, threads=1))
        prediction = predictor.predict([sequence])
        if prediction.probabilities is not None and prediction.classes is not None:
            return {"probabilities": prediction.probabilities[0], "class": np.array(prediction.classes[0])}
        return {name: value[0] for name, value in prediction.outputs.items()}

    return answer
