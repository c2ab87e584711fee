"""A recurrent layer as data, without a framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["LSTM", "GRU", "SimpleRNN"]
"""The recurrent layers that ONNX has an operator for, by their Keras names."""

GATES: dict[Kind, int] = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
"""Number of gates, that is of `units` wide column blocks in a kernel. Keras orders them i f c o (LSTM), z r h (GRU)."""

STATES: dict[Kind, int] = {"LSTM": 2, "GRU": 1, "SimpleRNN": 1}
"""Number of state tensors: h and c for the LSTM, h for the others."""


@dataclass(frozen=True)
class Activation:
    """An activation function with its parameters.

    Attributes:
        name: Keras name in lower case ("tanh", "hard_sigmoid", ...), or the function's own name where Keras has none.
        alpha: First parameter, such as the slope of hard_sigmoid; None where the function has none.
        beta: Second parameter; None where the function has none.
    """

    name: str
    alpha: float | None = None
    beta: float | None = None


@dataclass(frozen=True, eq=False)
class RecurrentSpec:
    """All that matters of one recurrent layer.

    Attributes:
        name: The layer's name.
        kind: "LSTM", "GRU" or "SimpleRNN".
        units: Size of the state.
        features: Size of one input step.
        kernel: (features, gates * units), gates in Keras order.
        recurrent_kernel: (units, gates * units).
        bias: (gates * units,); for a GRU with `reset_after` (2, 3 * units), input bias first; None without bias.
        activation: Of the candidate and the output.
        recurrent_activation: Of the gates; None for a SimpleRNN.
        reset_after: GRU only: whether the reset gate is applied after the matrix product (Keras' default, and cuDNN's).
        go_backwards: Whether time runs from the last step to the first; Keras then returns the sequence reversed too.
        return_sequences: Whether the output is the whole sequence.
        return_state: Whether the final states are returned behind the output.
        stateful: Whether the state is kept from one call to the next.
        zero_output_for_mask: Whether masked steps show zeros instead of repeating the step before.
        time_major: Whether sequences are (time, batch, features); tf-keras only.
        unroll: Whether Keras unrolls the loop.
        dropout: Share of the inputs dropped while training.
        recurrent_dropout: Share of the state dropped while training.
        dtype: NumPy name of the type it computes in.
        peepholes: (3, units), the weights of the gates i f o on the cell state; LSTM only, None without them.
        over_cell: Whether it is an `RNN` over a cell, which Keras runs step by step on every device.
        cell_state_first: Whether the states of an LSTM are taken and given as (c, h), as the peephole cell does.
    """

    name: str
    kind: Kind
    units: int
    features: int
    kernel: NDArray[np.floating]
    recurrent_kernel: NDArray[np.floating]
    bias: NDArray[np.floating] | None
    activation: Activation
    recurrent_activation: Activation | None
    reset_after: bool = True
    go_backwards: bool = False
    return_sequences: bool = False
    return_state: bool = False
    stateful: bool = False
    zero_output_for_mask: bool = False
    time_major: bool = False
    unroll: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    dtype: str = "float32"
    peepholes: NDArray[np.floating] | None = None
    over_cell: bool = False
    cell_state_first: bool = False

    @property
    def parameters(self) -> int:
        """Number of trainable numbers in the layer."""
        return sum(weights.size for weights in self.weights)

    @property
    def weights(self) -> tuple[NDArray[np.floating], ...]:
        """The weights there are, in the order in which Keras lists them."""
        found = (self.kernel, self.recurrent_kernel, self.bias, self.peepholes)
        return tuple(weights for weights in found if weights is not None)
