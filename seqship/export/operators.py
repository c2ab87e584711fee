"""Keras' recurrent layers in terms of the ONNX operators LSTM, GRU and RNN (opset 14 and later).

Sources: the ONNX operator documents of `LSTM`, `GRU` and `RNN`; Keras' cells in `layers/rnn/{lstm,gru,simple_rnn}.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.spec import Activation, Kind, RecurrentSpec

ONNX_OPERATORS: dict[Kind, str] = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}

# Keras: i f c o; ONNX: i o f c. Both order the GRU's gates z (update) r (reset) h (hidden).
_GATE_ORDER: dict[Kind, tuple[int, ...]] = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2), "SimpleRNN": (0,)}

# Without Softplus: onnxruntime's exp overflows, and gives infinity or NaN where the input is 89 or more.
ACTIVATIONS = {
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "linear": "Affine",
    "hard_sigmoid": "HardSigmoid",
    "softsign": "Softsign",
    "elu": "Elu",
    "leaky_relu": "LeakyRelu",
}
# Parameters are consumed in order by the functions that take them, so every such function names its own.
_LINEAR = (1.0, 0.0)


def lowerable(spec: RecurrentSpec) -> tuple[str, ...]:
    """Returns why a layer has no exact ONNX operator; nothing where it has one."""
    activations = {"activation": spec.activation, "recurrent_activation": spec.recurrent_activation}
    reasons = [
        f"{role} {activation.name} has no counterpart in ONNX {ONNX_OPERATORS[spec.kind]}"
        for role, activation in activations.items()
        if activation is not None and activation.name not in ACTIVATIONS
    ]
    if spec.dtype != "float32":
        reasons.append(f"it computes in {spec.dtype}; onnxruntime's recurrent operators compute in float32")
    return tuple(reasons)


def one_operator(forward: RecurrentSpec, backward: RecurrentSpec) -> bool:
    """Whether two layers are the two directions of one `bidirectional` operator.

    Activations are given by direction; sizes, `linear_before_reset` and the presence of peepholes for both at once.
    """
    alike = ("kind", "units", "features", "return_sequences", "zero_output_for_mask", "time_major", "dtype", "stateful")
    return (
        all(getattr(forward, name) == getattr(backward, name) for name in alike)
        and (forward.kind != "GRU" or forward.reset_after == backward.reset_after)
        and (forward.peepholes is None) == (backward.peepholes is None)
        and backward.go_backwards
        and not forward.go_backwards
        and not forward.stateful
    )


def activation_attributes(spec: RecurrentSpec) -> dict[str, Any]:
    """Returns `activations`, `activation_alpha` and `activation_beta` of one direction.

    ONNX names f, g, h for the LSTM (gates, candidate, output), f, g for the GRU and f for the RNN.
    """
    inner, outer = spec.recurrent_activation, spec.activation
    functions: list[Activation] = [outer] if inner is None else [inner, outer]
    if spec.kind == "LSTM":
        functions.append(outer)
    alphas: list[float] = []
    betas: list[float] = []
    for function in functions:
        alpha, beta = _LINEAR if function.name == "linear" else (function.alpha, function.beta)
        alphas += [] if alpha is None else [alpha]
        betas += [] if beta is None else [beta]
    attributes: dict[str, Any] = {"activations": [ACTIVATIONS[function.name] for function in functions]}
    if alphas:
        attributes["activation_alpha"] = alphas
    if betas:
        attributes["activation_beta"] = betas
    return attributes


def operator_attributes(*directions: RecurrentSpec) -> dict[str, Any]:
    """Returns all attributes of the operator that stands for a layer, or for a forward and a backward one."""
    attributes: dict[str, Any] = {}
    for spec in directions:
        for name, values in activation_attributes(spec).items():
            attributes[name] = attributes.get(name, []) + values
    first = directions[0]
    attributes["hidden_size"] = first.units
    attributes["direction"] = "reverse" if first.go_backwards else "forward"
    if len(directions) == 2:
        attributes["direction"] = "bidirectional"
    if first.kind == "GRU":
        attributes["linear_before_reset"] = int(first.reset_after)
    return attributes


def operator_weights(*directions: RecurrentSpec) -> tuple[NDArray[np.floating], ...]:
    """Returns W, R, B and, for an LSTM with peepholes, P.

    W is (directions, gates * units, features), R (directions, gates * units, units), B (directions, 2 * gates * units)
    and P (directions, 3 * units) in the order i o f.
    """
    return tuple(np.stack(parts) for parts in zip(*map(_direction_weights, directions), strict=True))


def _direction_weights(spec: RecurrentSpec) -> list[NDArray[np.floating]]:
    width = len(_GATE_ORDER[spec.kind]) * spec.units
    bias = np.zeros((2, width), spec.kernel.dtype)
    if spec.bias is not None and spec.bias.ndim == 2:
        bias = spec.bias
    elif spec.bias is not None:
        bias[0] = spec.bias
    kernel, recurrent, bias = (_reorder(weights, spec) for weights in (spec.kernel, spec.recurrent_kernel, bias))
    peepholes = [] if spec.peepholes is None else [spec.peepholes[[0, 2, 1]].ravel()]
    return [kernel.T, recurrent.T, bias.ravel(), *peepholes]


def _reorder(weights: NDArray[np.floating], spec: RecurrentSpec) -> NDArray[np.floating]:
    """Puts the gates, blocks of `units` columns, from Keras' order into ONNX's."""
    blocks = np.split(weights, len(_GATE_ORDER[spec.kind]), axis=-1)
    return np.concatenate([blocks[gate] for gate in _GATE_ORDER[spec.kind]], axis=-1)
