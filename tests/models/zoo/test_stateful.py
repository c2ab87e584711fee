"""The recipe `stateful`: chunks with their states handed on give what whole series give, in every runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.export import to_onnx, to_saved_model
from seqship.export.runners import keras_runner, saved_model_runner
from seqship.export.streaming import export_signature
from seqship.models.flavour import load_flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import stateful
from seqship.pipelines.series import as_series
from seqship.serving import Predictor

RECIPE = stateful.STATEFUL


def test_smoothing_is_the_sum_it_is_said_to_be() -> None:
    signal = np.random.default_rng(0).normal(0, 1, (3, 20, 1))
    found = stateful.smoothed(signal, kept=0.8)
    step = 13
    weights = 0.2 * 0.8 ** np.arange(step, -1, -1)
    assert np.allclose(found[:, step, 0], signal[:, : step + 1, 0] @ weights, atol=1e-6)
    assert stateful.smoothed(np.ones((1, 500, 1)))[0, -1, 0] == pytest.approx(1, abs=1e-6)


def test_series_are_seeded_and_split() -> None:
    data: Any = RECIPE.load(LoadOptions(seed=3))
    assert (len(data.train), len(data.validation), len(data.test)) == stateful.SERIES
    again = RECIPE.load(LoadOptions(seed=3))
    assert data.train.digest() == again.train.digest()
    assert data.train.digest() != RECIPE.load(LoadOptions(seed=4)).train.digest()


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_equal_the_whole_in_every_runtime(version: Any, tmp_path: Path) -> None:
    flavour = load_flavour(version)
    plain = RECIPE.model(flavour, units=4)
    random = np.random.default_rng(5)
    plain.set_weights([random.normal(0, 0.5, weight.shape) for weight in plain.get_weights()])
    data: Any = RECIPE.load(LoadOptions())
    streaming = RECIPE.finish(plain, flavour, data)
    signature = export_signature(streaming, inputs=data.inputs, outputs=RECIPE.outputs)
    states = [field.name for field in signature.inputs if field.is_state]
    assert signature.inputs[0].shape == ("batch", "time", 1)
    assert states == ["state/lstm/h", "state/lstm/c", "state/gru/h", "state/rnn/h"]
    to_onnx(streaming, tmp_path / "model.onnx", signature=signature, allow_loop=False)
    to_saved_model(streaming, tmp_path / "saved_model", signature=signature)
    signal = data.test.inputs["signal"][:6]
    whole = np.asarray(plain(signal))
    onnx = Predictor(tmp_path / "model.onnx")

    def in_onnxruntime(feed: Any) -> Any:
        return onnx.predict_batch(feed).outputs

    for run in (keras_runner(signature), saved_model_runner(tmp_path / "saved_model"), in_onnxruntime):
        fed = {name: np.zeros((6, 4), np.float32) for name in states}
        parts: list[Any] = []
        for start, stop in ((0, 1), (1, 50), (50, 120)):
            made = run({"signal": signal[:, start:stop]} | fed)
            parts.append(made["level"])
            fed = {name: made[name + "_out"] for name in states}
        assert np.allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
    assert np.allclose(data.context.carried[0][:6], whole, atol=1e-5)


def test_the_evaluation_counts_right() -> None:
    data: Any = RECIPE.load(LoadOptions())
    wanted = data.test.targets
    data.context.carried[:] = [wanted + 0.25]
    found = RECIPE.evaluate(RECIPE, data, {"level": wanted + 0.5}, 0)
    assert found.metrics["test_mse"] == pytest.approx(0.25, rel=1e-4)
    assert found.metrics["chunked_difference"] == pytest.approx(0.25, rel=1e-4)
    # Exact smoothing that forgets: right within the first chunk, wrong behind it.
    signal = data.test.inputs["signal"]
    errors = [stateful.smoothed(signal[:, at : at + 30]) - wanted[:, at : at + 30] for at in (0, 30, 60, 90)]
    assert np.abs(errors[0]).max() < 1e-6
    assert found.metrics["forgetful_mse"] == pytest.approx(float(np.mean(np.square(errors))), rel=1e-4)
    assert found.metrics["beats_forgetful"] == (found.metrics["forgetful_mse"] > 0.25)


def test_a_file_is_cut_into_series_and_scaled_by_its_beginning(tmp_path: Path) -> None:
    values = np.arange(1_000, dtype=np.float32)
    pieces = stateful.cut(as_series(values, columns=["load"]))
    assert pieces.shape == (8, 120, 1)
    assert np.allclose(pieces.ravel() * values[:600].std() + values[:600].mean(), values[:960], atol=1e-2)
    with pytest.raises(DataError, match=r"has 400 steps, 4 series of 120 need 480; give more$"):
        stateful.cut(as_series(values[:400]))
    values[7] = np.nan
    with pytest.raises(DataError, match=r"step 7 is missing; fill it first$"):
        stateful.cut(as_series(values))
    path = tmp_path / "load.csv"
    path.write_text("load\n" + "\n".join(str(one % 17) for one in range(1_300)) + "\n")
    data: Any = RECIPE.load(LoadOptions(path, columns=("load",)))
    assert (len(data.train), len(data.validation), len(data.test)) == (7, 1, 2)
