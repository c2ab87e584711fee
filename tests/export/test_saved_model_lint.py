"""Remarks on SavedModels that others wrote, and none on ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seqship.errors import ModelError
from seqship.export import to_saved_model
from seqship.export.saved_model_lint import lint_saved_model
from seqship.models.flavour import Flavour, load_flavour


def model_of(flavour: Flavour, *, stateful: bool = False, name: str | None = "signal") -> Any:
    layers = flavour.keras.layers
    source = layers.Input(batch_shape=(2 if stateful else None, None, 3), name=name)
    return flavour.keras.Model(source, layers.LSTM(4, stateful=stateful, name="memory")(source))


def test_ours_are_without_remarks(flavour: Flavour, tmp_path: Path) -> None:
    for number, stateful in enumerate((False, True)):
        to_saved_model(model_of(flavour, stateful=stateful), tmp_path / f"{number}")
        assert lint_saved_model(tmp_path / f"{number}") == ()


def test_what_keras_makes_of_a_stateful_model(tmp_path: Path) -> None:
    model_of(load_flavour(3), stateful=True, name=None).export(str(tmp_path / "saved"), verbose=False)
    remarks = lint_saved_model(tmp_path / "saved")
    mine = [remark.partition(": ")[2] for remark in remarks if remark.startswith("signature 'serving_default'")]
    assert mine[0].startswith("input 'keras_tensor")
    assert mine[0].endswith("has no name of its own; name the model's layers")
    assert mine[1:] == [
        "output 'output_0' has no name of its own; name the model's layers",
        "output 'output_0' has a fixed batch size of 2; leave the batch size free",
        "each call changes 2 variables, a state that all callers share; export the .keras file, whose states become "
        "inputs and outputs",
    ]


def test_a_fixed_batch_size_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    def call(signal: Any) -> dict[str, Any]:
        return {"doubled": signal * 2, "whole": tf.reduce_sum(signal)}

    concrete = tf.function(call).get_concrete_function(tf.TensorSpec((5, None), name="signal"))
    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), signatures=concrete)
    assert lint_saved_model(tmp_path / "saved") == (
        "signature 'serving_default': input 'signal' has a fixed batch size of 5; leave the batch size free",
        "signature 'serving_default': output 'doubled' has a fixed batch size of 5; leave the batch size free",
    )


def test_a_cudnn_operation_outside_of_a_pair_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    def call(signal: Any) -> dict[str, Any]:
        with tf.name_scope("memory"):
            state = tf.zeros((1, tf.shape(signal)[1], 2))
            made: Any = tf.raw_ops.CudnnRNN(
                input=signal, input_h=state, input_c=0.0, params=tf.zeros(42), rnn_mode="gru", name="gru"
            )
        return {"made": made.output}

    concrete = tf.function(call).get_concrete_function(tf.TensorSpec((None, None, 3), name="signal"))
    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), signatures=concrete)
    assert lint_saved_model(tmp_path / "saved") == (
        "signature 'serving_default': CudnnRNN (layer 'memory') runs on a GPU alone; export the .keras file instead",
    )


def test_what_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r" holds no saved_model\.pb; give the directory that a model was saved to$"):
        lint_saved_model(tmp_path)
