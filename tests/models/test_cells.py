"""Cells are read into the same fields as the layers made of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from seqship.models import recurrent_layers
from seqship.models.flavour import Flavour, load_flavour
from seqship.models.layers import other_recurrent_layers
from seqship.models.spec import Activation, RecurrentSpec
from tests.models.built import FEATURES, UNITS, built


def peephole_cell(**options: Any) -> Any:
    from tf_keras.src.layers.rnn.legacy_cells import LSTMCell

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LSTMCell(UNITS, **options)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_layer_over_a_cell_is_the_layer(flavour: Flavour, kind: str) -> None:
    layers = flavour.keras.layers
    options = {"activation": "relu", "use_bias": True}
    whole = built(flavour, getattr(layers, kind)(UNITS, name="memory", **options))
    over = built(flavour, layers.RNN(getattr(layers, f"{kind}Cell")(UNITS, **options), name="memory"))
    over.set_weights(whole.get_weights())
    (first,), (second,) = recurrent_layers(whole), recurrent_layers(over)
    assert (first.over_cell, second.over_cell) == (False, True)
    for field in set(RecurrentSpec.__dataclass_fields__) - {"over_cell"}:
        assert np.array_equal(getattr(first, field), getattr(second, field)), field


def test_stacked_cells_are_given_one_by_one_from_the_input_upwards(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    cells = [layers.LSTMCell(UNITS, name="below"), layers.GRUCell(2, name="above")]
    model = built(flavour, layers.RNN(cells, go_backwards=True, return_sequences=True, name="tower"))
    specs = recurrent_layers(model)
    assert [(s.name, s.kind, s.features) for s in specs] == [("tower/below", "LSTM", 3), ("tower/above", "GRU", UNITS)]
    assert all(spec.go_backwards and spec.return_sequences for spec in specs)
    assert sum(spec.parameters for spec in specs) == model.count_params()


def test_one_cell_that_is_not_known_leaves_the_whole_stack_out(flavour: Flavour) -> None:
    layers = flavour.keras.layers

    class Mine(layers.GRUCell):
        pass

    model = built(flavour, layers.RNN([layers.LSTMCell(UNITS), Mine(2)]))
    assert recurrent_layers(model) == ()
    assert len(other_recurrent_layers(model)) == 1


def test_states_in_reverse_order_are_left_out() -> None:
    layers = load_flavour(2).keras.layers
    cells = layers.StackedRNNCells([layers.LSTMCell(2), layers.LSTMCell(2)], reverse_state_order=True)
    assert recurrent_layers(built(load_flavour(2), layers.RNN(cells))) == ()


def test_the_peephole_cell_is_read_in_keras_order() -> None:
    flavour = load_flavour(2)
    model = built(flavour, flavour.keras.layers.RNN(peephole_cell(use_peepholes=True, forget_bias=0.5), name="memory"))
    (spec,) = recurrent_layers(model)
    kernel, bias, w_f, w_i, w_o = model.get_weights()
    assert (spec.kind, spec.units, spec.features, spec.cell_state_first) == ("LSTM", UNITS, FEATURES, True)
    i, c, f, o = np.split(kernel, 4, axis=1)  # The cell's own order.
    assert np.array_equal(np.concatenate([spec.kernel, spec.recurrent_kernel]), np.concatenate([i, f, c, o], axis=1))
    b_i, b_c, b_f, b_o = np.split(bias, 4)
    assert spec.bias is not None
    assert np.allclose(spec.bias, np.concatenate([b_i, b_f + 0.5, b_c, b_o]))
    assert spec.peepholes is not None
    assert np.array_equal(spec.peepholes, np.stack([w_i, w_f, w_o]))
    assert (spec.activation, spec.recurrent_activation) == (Activation("tanh"), Activation("sigmoid"))
    assert spec.parameters == model.count_params()


@pytest.mark.parametrize("options", [{"cell_clip": 1.0}, {"num_proj": 2}])
def test_what_the_operator_does_otherwise_is_left_out(options: dict[str, Any]) -> None:
    flavour = load_flavour(2)
    assert recurrent_layers(built(flavour, flavour.keras.layers.RNN(peephole_cell(**options)))) == ()


def test_cells_do_not_run_on_cudnn(flavour: Flavour) -> None:
    from seqship.models.cudnn import cudnn_eligibility

    layers = flavour.keras.layers
    (row,) = cudnn_eligibility(built(flavour, layers.RNN(layers.LSTMCell(UNITS))))
    assert row.reasons == ("it is an RNN over a cell, Keras has cuDNN for the LSTM layer alone",)
