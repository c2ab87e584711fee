"""Which lengths a model takes is found by running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqship.errors import ModelError
from seqship.export import check_equivalence, to_onnx, to_saved_model
from seqship.export.runners import Feed, Outputs, keras_runner
from seqship.export.signature import model_signature
from seqship.export.taken_lengths import lengths_taken_by
from seqship.models.flavour import Flavour
from seqship.pipelines.spec import Field

SIGNAL = Field("signal", "float32", ("batch", "time", 2))


def test_a_model_with_a_least_length_is_proven_beyond_it(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [layers.Input((None, 3), name="signal"), layers.Conv1D(4, 5), layers.MaxPooling1D(4), layers.GRU(3, name="out")]
    )
    signature = model_signature(model)
    takes = lengths_taken_by(keras_runner(signature), signature.inputs)
    least = next(time for time in range(1, 20) if takes(time))
    assert least > 3
    saved_model = to_saved_model(model, tmp_path / "saved", signature=signature).path
    onnx = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    proof = check_equivalence(model, saved_model=saved_model, onnx=onnx, signature=signature)
    assert proof.failures == ()
    assert {one.feed["signal"].shape[1] for one in proof.recorded} == {least, 24, 120}
    assert any(one.case.startswith("relation=") for one in proof.agreements)


def test_each_length_is_tried_once() -> None:
    tried: list[tuple[int, ...]] = []

    def run(feed: Feed) -> Outputs:
        tried.append(feed["signal"].shape)
        if feed["signal"].shape[1] < 3:
            raise ModelError("too short")
        return {}

    takes = lengths_taken_by(run, [SIGNAL])
    assert [takes(time) for time in (1, 2, 3, 1, 9)] == [False, False, True, False, True]
    assert tried == [(1, time, 2) for time in (1, 2, 3, 9)]


def test_the_batch_and_the_states_are_the_models() -> None:
    def run(feed: Feed) -> Outputs:
        assert {name: value.shape for name, value in feed.items()} == {"signal": (4, 7, 2)}
        return {}

    fixed = Field("signal", "float32", (4, "time", 2))
    assert lengths_taken_by(run, [fixed, Field("state/gru/h", "float32", ("batch", 3))])(7)


def test_why_a_model_takes_nothing_is_told_by_its_cases(flavour: Flavour) -> None:
    def fails(feed: Feed) -> Outputs:
        raise ModelError(f"fails on {sorted(feed)}")

    assert lengths_taken_by(fails, [SIGNAL])(5)
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None,), dtype="int32"), layers.Embedding(1, 2), layers.GRU(2)])
    ids = Field("ids", "int32", ("batch", "time"), minimum=5.0, maximum=9.0)
    with pytest.raises(ModelError, match=r"^the model itself cannot be run on ids \[1, 1\]: indices"):
        check_equivalence(model, input_signature=[ids])
