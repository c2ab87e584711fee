"""Text from a character model: the same seed gives the same text in every runtime."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.export import to_onnx, to_saved_model
from seqship.export.runners import keras_runner, saved_model_runner
from seqship.export.streaming import export_signature
from seqship.models.flavour import Flavour, load_flavour
from seqship.models.zoo import chargen
from seqship.pipelines.characters import UNKNOWN, Alphabet
from seqship.pipelines.spec import Field
from seqship.serving import Predictor
from seqship.serving.sampling import sample_text

ALPHABET = Alphabet((UNKNOWN, *"\n abcdefg"))
LETTERS = replace(chargen.INPUT, shape=(1, "time"), maximum=len(ALPHABET) - 1, classes=ALPHABET.characters)


@pytest.fixture(scope="module", params=[2, 3], ids=["tf_keras", "keras"])
def runtimes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One untrained model in all runtimes, as predictors, and itself."""
    flavour: Flavour = load_flavour(request.param)
    model = chargen.build(flavour, characters=len(ALPHABET), units=8, stateful=True)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    signature = export_signature(model, inputs=[LETTERS])
    folder = tmp_path_factory.mktemp("chargen")
    to_onnx(model, folder / "model.onnx", signature=signature)
    to_saved_model(model, folder / "saved_model", signature=signature)
    fields = (signature.inputs, signature.outputs)
    return {
        "model": model,
        "keras": Predictor.from_runner(*fields, keras_runner(signature)),
        "saved_model": Predictor.from_runner(*fields, saved_model_runner(folder / "saved_model")),
        "onnx": Predictor(folder / "model.onnx"),
    }


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
def test_the_same_seed_gives_the_same_text_everywhere(runtimes: dict[str, Any], temperature: float) -> None:
    options: dict[str, Any] = {"length": 60, "temperature": temperature, "seed": 11}
    texts = {name: sample_text(runtimes[name], "bad", **options) for name in ("keras", "saved_model", "onnx")}
    assert len(set(texts.values())) == 1, texts
    assert len(texts["onnx"]) == 60
    assert len(set(texts["onnx"])) > 4 * (temperature > 0)
    if temperature:
        assert texts["onnx"] != sample_text(runtimes["onnx"], "bad", **(options | {"seed": 12}))


def test_keras_itself_writes_the_same(runtimes: dict[str, Any]) -> None:
    model = runtimes["model"]
    found = chargen.write(model, ALPHABET, "bad", length=40, temperature=1.0, seed=3)
    assert found == sample_text(runtimes["onnx"], "bad", length=40, temperature=1.0, seed=3)


class Recorder:
    """A model that counts the characters it has read in its state, and is sure of the next in the alphabet."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, feed: Any) -> dict[str, Any]:
        ids, state = feed["character"], feed["state/memory/h"]
        self.seen.append((ids.shape[1], int(state[0, 0])))
        scores = np.zeros((1, ids.shape[1], len(ALPHABET)), np.float32)
        scores[0, np.arange(ids.shape[1]), np.maximum((ids[0] + 1) % len(ALPHABET), 1)] = 1
        return {"next_character": scores, "state/memory/h_out": state + ids.shape[1]}


def recorded(**changes: Any) -> tuple[Recorder, Predictor]:
    run = Recorder()
    state = Field("state/memory/h", "float32", ("batch", 1))
    out = Field("state/memory/h_out", "float32", ("batch", 1))
    scores = replace(chargen.OUTPUT, shape=("batch", "time", len(ALPHABET)))
    return run, Predictor.from_runner((replace(LETTERS, **changes), state), (scores, out), run)


def test_the_prompt_is_read_at_once_and_then_a_character_at_a_time() -> None:
    run, predictor = recorded()
    assert sample_text(predictor, "fe", length=5, temperature=1.0) == "fg\n a"
    assert run.seen == [(2, 0), (1, 2), (1, 3), (1, 4), (1, 5)]
    assert sample_text(predictor, "a", length=0) == ""


def test_the_draws_follow_the_temperature() -> None:
    scores = np.array([0.2, 0.0, 0.0, 0.6, 0.2] + [0.0] * 5, np.float32)

    def run(feed: Any) -> dict[str, Any]:
        shape = (1, feed["character"].shape[1], 1)
        return {"next_character": np.tile(scores, shape), "state/memory/h_out": feed["state/memory/h"]}

    _, predictor = recorded()
    predictor = Predictor.from_runner(predictor.inputs, predictor.outputs, run)
    counts = Counter(sample_text(predictor, "a", length=3_000, temperature=0.5, seed=1))
    assert set(counts) == {"a", "b"}
    assert counts["b"] / 3_000 == pytest.approx(0.1, abs=0.02)  # 0.2^2 of 0.2^2 + 0.6^2


def test_faults_are_told() -> None:
    _, predictor = recorded()
    for arguments, message in (
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "a?"}, r"does not know the character '\?'"),
        ({"prompt": "a", "length": -1}, "the length must be 0 or more, met -1"),
        ({"prompt": "a", "seed": -1}, "the seed must be 0 or more, met -1"),
        ({"prompt": "a", "temperature": -1.0}, "the temperature must be 0 or more"),
    ):
        with pytest.raises(DataError, match=message):
            sample_text(predictor, **arguments)  # pyright: ignore[reportArgumentType]
    _, nameless = recorded(classes=None)
    with pytest.raises(DataError, match="is no streaming character model"):
        sample_text(nameless, "a")


def test_it_imports_without_tensorflow(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys; sys.modules['tensorflow'] = None; import seqship.serving.sampling as s; print(s.__name__)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert said.stdout.strip() == "seqship.serving.sampling"
