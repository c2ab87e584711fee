"""What Keras' recurrent layers compute, in NumPy and float64: the oracle for everything that claims to equal them.

One function per cell holds the update equations, one walks along time with Keras' rules for masks. With x the input
step, h and c the state before it, W, U and b kernel, recurrent kernel and bias, s and a the functions of the gates and
of the rest (`recurrent_activation`, `activation`), and * elementwise, the equations are:

SimpleRNN (Elman, "Finding structure in time", 1990; Keras' `SimpleRNNCell`)
    h' = a(x W + h U + b)

LSTM (Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers, Schmidhuber and Cummins,
"Learning to forget", 2000, and the peepholes p of Gers, Schraudolph and Schmidhuber, "Learning precise timing with LSTM
recurrent networks", 2002, which are zero in Keras' own `LSTMCell`)
    i = s(x Wi + h Ui + bi + pi * c)
    f = s(x Wf + h Uf + bf + pf * c)
    c' = f * c + i * a(x Wc + h Uc + bc)
    o = s(x Wo + h Uo + bo + po * c')
    h' = o * a(c')

GRU (Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; Keras' `GRUCell`)
    z = s(x Wz + h Uz + bz)
    r = s(x Wr + h Ur + br)
    n = a(x Wh + (r * h) Uh + bh)         reset_after=False, as published
    n = a(x Wh + bh + r * (h Uh + b'h))   reset_after=True, as in cuDNN and by default in Keras; z and r have b' too
    h' = z * h + (1 - z) * n

A masked step (`keras.layers.RNN`, masking) leaves the state as it is and shows the output of the step before it, zeros
where there was none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqship.errors import DataError, ModelError
from seqship.models.spec import GATES, STATES, Activation, Kind, RecurrentSpec

Array = NDArray[np.float64]
States = tuple[Array, ...]


def run_layer(
    spec: RecurrentSpec,
    sequence: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    initial_state: Sequence[ArrayLike] | None = None,
) -> tuple[Array, States]:
    """Runs one recurrent layer as Keras does at inference, in float64 whatever `spec.dtype` says.

    Args:
        spec: The layer. Dropout, `stateful` and `return_state` have no bearing, `unroll` only where Keras' loops
            differ: an unrolled one lays the mask in the order of time over an output that runs backwards.
        sequence: (batch, time, features); (time, batch, features) where `spec.time_major`.
        mask: Whether a step is valid, bool (batch, time), or (time, batch) where `spec.time_major`; all if left out.
        initial_state: h, and c for an LSTM (c first where `spec.cell_state_first`), each (batch, units); zeros if left
            out.

    Returns:
        The output, float64, and the final states in the same order, float64 (batch, units) each, whether or not the
        layer returns them. The output is (batch, time, units) where `spec.return_sequences`, time first where
        `spec.time_major`, reversed in time where `spec.go_backwards`; (batch, units) elsewhere.

    Raises:
        ModelError: An activation is unknown.
        DataError: The sequence, the mask or a state has another shape than the layer takes.
    """
    step = _STEPS[spec.kind]
    spec, steps = _in_double(spec), np.asarray(sequence, np.float64)
    _check("sequence", "3 axes", steps.shape, len(steps.shape) == 3)
    valid = np.ones(steps.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    _check("mask", f"the first two axes of the sequence {steps.shape}", valid.shape, valid.shape == steps.shape[:2])
    _check("sequence", f"{spec.features} features", steps.shape, steps.shape[2] == spec.features)
    if not spec.time_major:
        steps, valid = steps.swapaxes(0, 1), valid.swapaxes(0, 1)
    in_time = valid[..., None]
    if spec.go_backwards:
        steps, valid = steps[::-1], valid[::-1]
    batch = steps.shape[1]
    order = -1 if spec.cell_state_first else 1
    states = _initial(spec, batch, initial_state)[::order]

    zero_at_once = spec.zero_output_for_mask and not spec.unroll
    shown = np.zeros((batch, spec.units))
    outputs = np.zeros((len(steps), batch, spec.units))
    for position, (x, on) in enumerate(zip(steps, valid[..., None], strict=True)):
        moved = step(spec, x, states)
        shown = np.where(on, moved[0], 0.0 if zero_at_once else shown)
        states = tuple(np.where(on, new, old) for new, old in zip(moved, states, strict=True))
        outputs[position] = shown
    if spec.zero_output_for_mask and spec.unroll and len(steps):
        # `keras.backend.rnn` turns the mask round for the states, and forgets it for the zeros.
        outputs, shown = np.where(in_time, outputs, 0.0), np.where(valid[-1, :, None], shown, 0.0)
    if not spec.return_sequences:
        return shown, states[::order]
    return outputs if spec.time_major else outputs.swapaxes(0, 1), states[::order]


def run_bidirectional(
    forward: RecurrentSpec,
    backward: RecurrentSpec,
    merge_mode: str | None,
    sequence: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    initial_state: Sequence[ArrayLike] | None = None,
) -> tuple[Array | tuple[Array, Array], States]:
    """Runs `keras.layers.Bidirectional` (Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997).

    That wrapper sets `zero_output_for_mask` in both layers where they return sequences; here the specs say it.

    Args:
        forward: The layer that runs along time.
        backward: The layer that runs against it: `go_backwards` is on.
        merge_mode: "concat", "sum", "mul", "ave", or None for both outputs apart.
        sequence: As for `run_layer`.
        mask: As for `run_layer`.
        initial_state: States of the forward layer, then those of the backward layer; zeros if left out.

    Returns:
        The merged output, float64, in the order of time; a pair without merge mode. Then the final states of the
        forward layer followed by those of the backward layer.

    Raises:
        ModelError: The layers do not run in opposite directions, only one returns sequences, or the mode is unknown.
        DataError: As for `run_layer`.
    """
    if forward.go_backwards or not backward.go_backwards:
        found = f"{forward.go_backwards} and {backward.go_backwards}"
        raise ModelError(f"go_backwards must be False and True in the two directions, got {found}; swap the layers")
    if forward.return_sequences != backward.return_sequences:
        found = f"{forward.return_sequences} and {backward.return_sequences}"
        raise ModelError(f"return_sequences must agree in the two directions, got {found}; set both alike")
    first = second = None
    if initial_state is not None:
        first, second = initial_state[: STATES[forward.kind]], initial_state[STATES[forward.kind] :]
    ahead, ahead_states = run_layer(forward, sequence, mask=mask, initial_state=first)
    back, back_states = run_layer(backward, sequence, mask=mask, initial_state=second)
    if backward.return_sequences:
        back = np.flip(back, axis=0 if backward.time_major else 1)
    return _merge(merge_mode, ahead, back), ahead_states + back_states


def _merge(mode: str | None, ahead: Array, back: Array) -> Array | tuple[Array, Array]:
    match mode:
        case None:
            return ahead, back
        case "concat":
            return np.concatenate([ahead, back], axis=-1)
        case "sum":
            return ahead + back
        case "mul":
            return ahead * back
        case "ave":
            return (ahead + back) / 2
        case _:
            raise ModelError(f"merge_mode must be concat, sum, mul, ave or None, got {mode!r}; name one of these")


def _in_double(spec: RecurrentSpec) -> RecurrentSpec:
    def double(weights: NDArray[np.floating] | None) -> Array | None:
        return None if weights is None else weights.astype(np.float64)

    return replace(
        spec,
        kernel=spec.kernel.astype(np.float64),
        recurrent_kernel=spec.recurrent_kernel.astype(np.float64),
        bias=double(spec.bias),
        peepholes=double(spec.peepholes),
    )


def _initial(spec: RecurrentSpec, batch: int, given: Sequence[ArrayLike] | None) -> States:
    count = STATES[spec.kind]
    if given is None:
        return (np.zeros((batch, spec.units)),) * count
    states = tuple(np.asarray(state, np.float64) for state in given)
    _check("initial_state", f"{count} states for {spec.kind}", len(states), len(states) == count)
    for state in states:
        _check("initial_state", f"{(batch, spec.units)} each", state.shape, state.shape == (batch, spec.units))
    return states


def _check(what: str, rule: str, found: object, holds: bool) -> None:
    if not holds:
        raise DataError(f"{what} must have {rule}, got {found}; give it the shape that the layer takes")


def _simple_step(spec: RecurrentSpec, x: Array, states: States) -> States:
    (h,) = states
    return (_activate(spec.activation, x @ spec.kernel + h @ spec.recurrent_kernel + _bias(spec)[0]),)


def _lstm_step(spec: RecurrentSpec, x: Array, states: States) -> States:
    h, c = states
    of_i, of_f, of_o = np.zeros((3, spec.units)) if spec.peepholes is None else spec.peepholes
    i, f, g, o = np.split(x @ spec.kernel + h @ spec.recurrent_kernel + _bias(spec)[0], GATES["LSTM"], axis=1)
    new = _gate(spec, f + of_f * c) * c + _gate(spec, i + of_i * c) * _activate(spec.activation, g)
    return _gate(spec, o + of_o * new) * _activate(spec.activation, new), new


def _gru_step(spec: RecurrentSpec, x: Array, states: States) -> States:
    (h,) = states
    of_input, of_state = _bias(spec)
    xz, xr, xn = np.split(x @ spec.kernel + of_input, GATES["GRU"], axis=1)
    uz, ur, un = np.split(spec.recurrent_kernel, GATES["GRU"], axis=1)
    bz, br, bn = np.split(of_state, GATES["GRU"])
    z, r = _gate(spec, xz + h @ uz + bz), _gate(spec, xr + h @ ur + br)
    inner = r * (h @ un + bn) if spec.reset_after else (r * h) @ un + bn
    return (z * h + (1 - z) * _activate(spec.activation, xn + inner),)


_STEPS: dict[Kind, Callable[[RecurrentSpec, Array, States], States]] = {
    "SimpleRNN": _simple_step,
    "LSTM": _lstm_step,
    "GRU": _gru_step,
}


def _bias(spec: RecurrentSpec) -> Array:
    """Returns (2, gates * units): what is added to the input's product, and to the state's."""
    bias = np.zeros((2, GATES[spec.kind] * spec.units))
    if spec.bias is not None:
        bias[: np.ndim(spec.bias)] = spec.bias
    return bias


def _gate(spec: RecurrentSpec, x: Array) -> Array:
    assert spec.recurrent_activation is not None  # noqa: S101  (for the type checker: only a SimpleRNN has none)
    return _activate(spec.recurrent_activation, x)


def _activate(activation: Activation, x: Array) -> Array:
    # Parameters come from the spec: the flavours differ in them.
    alpha, beta = activation.alpha, activation.beta
    match activation.name:
        case "hard_sigmoid" if alpha is not None and beta is not None:
            return np.clip(alpha * x + beta, 0, 1)
        case "elu" if alpha is not None:
            return _elu(x, alpha)
        case "leaky_relu" if alpha is not None:
            return np.where(x > 0, x, alpha * x)
        case name if name in _PLAIN:
            return _PLAIN[name](x)
        case _:
            known = ", ".join((*_PLAIN, "and with their parameters elu, hard_sigmoid, leaky_relu"))
            raise ModelError(f"the reference knows {known}; got {activation}; name one of these")


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))  # 1 / (1 + exp(-x)) would overflow


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""Klambauer et al., "Self-normalizing neural networks", 2017."""

_erf = np.vectorize(math.erf, otypes=[np.float64])

_PLAIN: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "exponential": np.exp,
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "relu6": lambda x: np.clip(x, 0, 6),
    "silu": lambda x: x * _sigmoid(x),
    "swish": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x / 2 * (1 + _erf(x / math.sqrt(2))),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
}
