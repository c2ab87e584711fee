"""What the tests of the examples share: bundles, and the packages of Node.js."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.models.flavour import load_flavour
from tests.few_cases import few_cases
from tests.serving.server.models import MODELS, weighted

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the packages of `examples/`."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node.js on the PATH")
    if not (EXAMPLES / "node_modules/onnxruntime-node").is_dir():
        pytest.skip("examples/node_modules is not there: npm ci in examples/")
    return found


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A bundle of the recipe's heartbeat model, and of others; copy one before you change it."""
    from seqship.export import ship
    from seqship.models import build, recipes

    folder, recipe = tmp_path_factory.mktemp("bundles"), recipes()["ecg-gru"]
    beats = build("ecg-gru", keras=3)
    random = np.random.default_rng(11)
    beats.set_weights([random.normal(0, 0.6, weight.shape).astype(np.float32) for weight in beats.get_weights()])
    made: dict[str, tuple[Any, dict[str, Any]]] = {
        "beats": (beats, {"inputs": recipe.inputs, "outputs": recipe.outputs})
    }
    for name in ("texts", "stepwise", "unmasked", "stateful", "two_inputs"):
        make, options = MODELS[name]
        layers = make()
        made[name] = (
            weighted(load_flavour(3).keras.Sequential(layers) if isinstance(layers, list) else layers),
            options,
        )
    with few_cases((1, 2), (1, 5)):
        for name, (model, options) in made.items():
            assert ship(model, folder / name, name=name, **options).equivalent
    return {name: folder / name for name in made}


@pytest.fixture(scope="session")
def beats() -> list[list[float]]:
    """Beats of several lengths, one of a single sample."""
    random = np.random.default_rng(3)
    return [random.random(length).round(4).tolist() for length in (1, 2, 31, 111, 187, 400)]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Texts that are cut, hold words of no vocabulary, or characters beyond ASCII."""
    return [
        "the film",
        "Good, GOOD; ça\u00a0va",
        "bad bad film the good the film bad",
        "zebra",
        "ÇA ça\u2028 good\x1c!",
    ]
