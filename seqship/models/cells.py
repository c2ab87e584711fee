"""Reads the cells of Keras, of either flavour, into the fields of a `RecurrentSpec`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from seqship.models.flavour import Flavour
from seqship.models.spec import Activation, Kind

KINDS: tuple[Kind, ...] = ("LSTM", "GRU", "SimpleRNN")

_PEEPHOLE_CELL = "tf_keras.src.layers.rnn.legacy_cells", "LSTMCell"


def cell_classes(flavour: Flavour) -> dict[type, Kind]:
    """Returns the cell classes of a flavour that compute what an operator computes, with their kind."""
    return {getattr(flavour.keras.layers, f"{kind}Cell"): kind for kind in KINDS}


def read_cell(cell: Any, flavour: Flavour) -> dict[str, Any]:
    """Returns the fields of `RecurrentSpec` that a built cell decides; none if the cell is not known."""
    kind = cell_classes(flavour).get(type(cell))
    if "call" in vars(cell) or not _has_variables(cell):
        return {}  # Somebody has put something of their own in.
    if kind is None:
        known = (type(cell).__module__, type(cell).__qualname__) == _PEEPHOLE_CELL
        return _read_peephole_cell(cell, flavour) if known else {}
    kernel = np.asarray(cell.kernel)
    return {
        "kind": kind,
        "units": int(cell.units),
        "features": int(kernel.shape[0]),
        "kernel": kernel,
        "recurrent_kernel": np.asarray(cell.recurrent_kernel),
        "bias": np.asarray(cell.bias) if cell.use_bias else None,
        "activation": read_activation(cell.activation, flavour),
        "recurrent_activation": None if kind == "SimpleRNN" else read_activation(cell.recurrent_activation, flavour),
        "reset_after": bool(getattr(cell, "reset_after", True)),
        "dropout": float(cell.dropout),
        "recurrent_dropout": float(cell.recurrent_dropout),
        "dtype": str(cell.compute_dtype),
    }


def _has_variables(cell: Any) -> bool:
    """Whether the weights are variables, not tensors that are made anew at each call (weight dropout)."""
    weights = [getattr(cell, name, None) for name in ("kernel", "recurrent_kernel", "bias")]
    return all(weight is None or hasattr(weight, "assign") for weight in weights)


def _read_peephole_cell(cell: Any, flavour: Flavour) -> dict[str, Any]:
    """Reads the LSTM cell that TensorFlow 1 brought, the only one of tf-keras that has peepholes.

    It keeps one kernel for input and state, orders the gates i c f o, adds `forget_bias` to the forget gate's bias and
    hands the states on as (c, h) (`tf_keras/src/layers/rnn/legacy_cells.py`, LSTMCell).
    """
    if cell._cell_clip is not None or cell._num_proj is not None or not cell._state_is_tuple:
        return {}

    def ordered(weights: Any) -> Any:
        i, c, f, o = np.split(np.asarray(weights), 4, axis=-1)
        return np.concatenate([i, f, c, o], axis=-1)

    units = int(cell._num_units)
    kernel, bias = ordered(cell._kernel), ordered(cell._bias)
    bias[units : 2 * units] += cell._forget_bias
    tanh = cell._activation is sys.modules["tensorflow"].tanh
    diagonals = ("_w_i_diag", "_w_f_diag", "_w_o_diag")
    return {
        "kind": "LSTM",
        "units": units,
        "features": len(kernel) - units,
        "kernel": kernel[:-units],
        "recurrent_kernel": kernel[-units:],
        "bias": bias,
        "activation": Activation("tanh") if tanh else read_activation(cell._activation, flavour),
        "recurrent_activation": Activation("sigmoid"),
        "dtype": str(cell.compute_dtype),
        "peepholes": np.stack([getattr(cell, name) for name in diagonals]) if cell._use_peepholes else None,
        "cell_state_first": True,
    }


def read_activation(function: Any, flavour: Flavour) -> Activation:
    """Returns a Keras activation function as data.

    Only the functions that Keras itself ships are known by name; any other keeps its own qualified name, which no
    operator is called, so that a user's `tanh` is not taken for Keras'.
    """
    name = str(getattr(function, "__name__", type(function).__name__))
    # Where Keras itself looks names up: tf-keras shows leaky_relu there alone.
    shipped = getattr(sys.modules[flavour.keras.activations.get.__module__], name, None)
    if shipped is not function:
        return Activation(f"{getattr(function, '__module__', '?')}.{name}")
    parameters: dict[str, tuple[float, float | None]] = {
        "hard_sigmoid": (flavour.hard_sigmoid_slope, 0.5),
        "leaky_relu": (0.2, None),
        "elu": (1.0, None),
    }
    alpha, beta = parameters.get(name, (None, None))
    return Activation(name, alpha, beta)
