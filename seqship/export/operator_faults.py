"""What of an ONNX node is not as the lowering writes it: attributes and weights, and the weights of other layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.export.operators import ONNX_OPERATORS, operator_attributes, operator_weights
from seqship.models.spec import GATES, RecurrentSpec

Reason = Literal[
    "weights", "bias", "order of gates", "activation", "direction", "reset", "state", "mask", "input", "unknown"
]

_GATES = {operator: GATES[kind] for kind, operator in ONNX_OPERATORS.items()}
_NAMES = {"W": "weights W", "R": "recurrent weights R", "B": "bias B", "P": "peepholes P"}
PLACES = {"W": 1, "R": 2, "B": 3, "P": 7}
"""Where a recurrent operator takes its weights, by the names of the ONNX operator documents."""
_GATE_ROWS = {"W": 1, "R": 1, "B": 2, "P": 1}
"""How many times an operand has the row of gates."""

# The ONNX operator documents of LSTM, GRU and RNN.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "LSTM": {"activations": ["Sigmoid", "Tanh", "Tanh"]},
    "GRU": {"activations": ["Sigmoid", "Tanh"]},
    "RNN": {"activations": ["Tanh"]},
}
_SHARED_DEFAULTS: dict[str, Any] = {"direction": "forward", "linear_before_reset": 0, "layout": 0, "input_forget": 0}
_REASONS: dict[str, Reason] = {
    "direction": "direction",
    "linear_before_reset": "reset",
    "activations": "activation",
    "activation_alpha": "activation",
    "activation_beta": "activation",
    "clip": "activation",
}


@dataclass(frozen=True)
class Fault:
    """One thing that differs.

    Attributes:
        reason: Which kind of thing.
        text: What it is and should be, as a sentence that goes on after a semicolon.
    """

    reason: Reason
    text: str


def operator_faults(
    node: Any, specs: Sequence[RecurrentSpec], constants: Mapping[str, NDArray[Any]]
) -> tuple[Fault, ...]:
    """Compares attributes and weights of a node with those that the lowering writes.

    Args:
        node: The `NodeProto` of an LSTM, GRU or RNN.
        specs: The layer, or its forward and its backward direction.
        constants: Constants of the graph by name.
    """
    return faults_against(node, operator_attributes(*specs), operator_weights(*specs), constants)


def faults_against(
    node: Any,
    attributes: Mapping[str, Any],
    weights: Sequence[NDArray[Any]],
    constants: Mapping[str, NDArray[Any]],
) -> tuple[Fault, ...]:
    """Compares attributes and weights of a node with those it should have.

    Args:
        node: The `NodeProto` of an LSTM, GRU or RNN.
        attributes: The attributes; others have ONNX' defaults.
        weights: W, R, B and, of an LSTM with peepholes, P.
        constants: Constants of the graph by name.
    """
    return (*_attribute_faults(node, attributes), *_weight_faults(node, weights, constants))


def operand(node: Any, place: int) -> str:
    """Returns the name of an operand, empty where there is none."""
    return str(node.input[place]) if place < len(node.input) else ""


def attributes_of(node: Any) -> dict[str, Any]:
    """Returns the attributes of a recurrent node, with the defaults of those that are not written."""
    from onnx import helper

    found = _SHARED_DEFAULTS | {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    found = {key: _readable(value) for key, value in found.items()}
    if "activations" not in found:
        sides = 2 if found["direction"] == "bidirectional" else 1
        found["activations"] = _DEFAULTS[node.op_type]["activations"] * sides
    return found


def missing_weights(weights: Mapping[str, NDArray[Any]], constants: Iterable[NDArray[Any]]) -> tuple[Fault, ...]:
    """Returns which weights of a layer that is no recurrent one are nowhere among a graph's constants.

    A converter may turn a weight round, give it further axes, or leave out one that is zero.

    Args:
        weights: The layer's weights by name.
        constants: The graph's constants.
    """
    present = [value for value in constants if value.dtype.kind == "f"]
    faults: list[Fault] = []
    for name, weight in weights.items():
        role = _role(name)
        alike = [value for value in present if value.size == weight.size]
        if weight.dtype.kind != "f" or not weight.size or not np.any(weight) or _exactly(weight, alike):
            continue
        reason: Reason = "bias" if role in ("bias", "beta") else "weights"
        if any(np.array_equal(np.sort(value, axis=None), np.sort(weight, axis=None)) for value in alike):
            faults.append(Fault(reason, f"the elements of its {role} are in another order"))
        else:
            faults.append(Fault(reason, f"its {role} is nowhere in the ONNX graph"))
    return tuple(faults)


def turned_weights(weights: Mapping[str, NDArray[Any]], constants: Iterable[NDArray[Any]]) -> tuple[Fault, ...]:
    """Returns which matrices of a layer are among a graph's constants with rows for columns, and not as they are.

    Args:
        weights: The layer's weights by name.
        constants: The graph's constants.
    """
    present = [value for value in constants if value.dtype.kind == "f"]
    faults: list[Fault] = []
    for name, weight in weights.items():
        if weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
            continue
        alike = [value for value in present if value.shape == weight.shape]
        if any(np.array_equal(value, weight.T) for value in alike) and not any(
            np.array_equal(value, weight) for value in alike
        ):
            faults.append(Fault("weights", f"its {_role(name)} is there with rows for columns"))
    return tuple(faults)


def _role(name: str) -> str:
    return name.split("/")[-1].partition(":")[0]


def _exactly(weight: NDArray[Any], alike: Iterable[NDArray[Any]]) -> bool:
    turned = {
        np.ascontiguousarray(array).tobytes()
        for array in (weight, weight.T, np.swapaxes(np.atleast_2d(weight), -1, -2))
    }
    return any(np.ascontiguousarray(value.astype(weight.dtype)).tobytes() in turned for value in alike)


def _attribute_faults(node: Any, attributes: Mapping[str, Any]) -> list[Fault]:
    wanted = _SHARED_DEFAULTS | {key: _readable(value) for key, value in attributes.items()}
    found = attributes_of(node)
    faults: list[Fault] = []
    for name in sorted(
        found.keys() | wanted.keys(), key=lambda name: list(_REASONS).index(name) if name in _REASONS else 99
    ):
        one, other = found.get(name), wanted.get(name)
        if not _alike(one, other):
            text = f"its attribute {name} is {_shown(one)}, that of the Keras layer {_shown(other)}"
            faults.append(Fault(_REASONS.get(name, "unknown"), text))
    return faults


def _alike(one: Any, other: Any) -> bool:
    if not isinstance(one, list) or not isinstance(other, list):
        return one == other
    # A file keeps parameters in float32.
    pairs: list[tuple[Any, Any]] = list(zip(one, other, strict=False))
    return len(one) == len(other) and all(a == (np.float32(b) if isinstance(b, float) else b) for a, b in pairs)


def _weight_faults(node: Any, weights: Sequence[NDArray[Any]], constants: Mapping[str, NDArray[Any]]) -> list[Fault]:
    faults: list[Fault] = []
    gates = _GATES[node.op_type]
    for letter, wanted in zip(PLACES, weights, strict=False):
        name = operand(node, PLACES[letter])
        if not name:
            if np.any(wanted):
                faults.append(Fault("bias" if letter == "B" else "weights", f"it has no {_NAMES[letter]}"))
            continue
        if name not in constants:
            faults.append(Fault("unknown", f"its {_NAMES[letter]} are no constant"))
            continue
        found = constants[name]
        if np.array_equal(found, wanted):
            continue
        if letter != "P" and found.shape == wanted.shape and _gates_permuted(found, wanted, gates, _GATE_ROWS[letter]):
            faults.append(Fault("order of gates", f"the gates of its {_NAMES[letter]} are in another order"))
        else:
            verb = "is not that" if letter == "B" else "are not those"
            text = f"its {_NAMES[letter]} {verb} of the Keras layer"
            faults.append(Fault("bias" if letter == "B" else "weights", text + _where(found, wanted)))
    order = [fault for fault in faults if fault.reason == "order of gates"]
    return order + [fault for fault in faults if fault.reason != "order of gates"]


def _where(found: NDArray[Any], wanted: NDArray[Any]) -> str:
    """Tells the backward direction where it alone is wrong, or the forward one."""
    if found.shape != wanted.shape or len(wanted) < 2:
        return ""
    wrong = [side for side in (0, 1) if not np.array_equal(found[side], wanted[side])]
    return "" if len(wrong) == 2 else f" ({('forward', 'backward')[wrong[0]]} direction)"


def _gates_permuted(found: NDArray[Any], wanted: NDArray[Any], gates: int, rows: int) -> bool:
    blocks = wanted.reshape(len(wanted), rows, gates, -1)
    return any(
        np.array_equal(found, blocks[:, :, list(order)].reshape(wanted.shape))
        for order in itertools.permutations(range(gates))
    )


def _readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [_readable(one) for one in value] if isinstance(value, list | tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(f"{one:.6g}" if isinstance(one, float) else str(one) for one in value) or "empty"
    return "missing" if value is None else str(value)
