"""The LSTM and the GRU as TensorFlow functions of their weights: one for any device, one for cuDNN.

Both take the same arguments and give the same results, so that TensorFlow may put one in the place of the other.
Update equations: see `seqship.models.reference`; here with the activations that cuDNN has, tanh and sigmoid, and the
GRU's reset gate behind the matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqship.models.spec import GATES, STATES, Kind, RecurrentSpec


@dataclass(frozen=True)
class Form:
    """What of a layer is no tensor.

    Attributes:
        kind: "LSTM" or "GRU".
        units: Size of the state.
        go_backwards: Whether time runs from the last step to the first; the output sequence is then reversed.
        return_sequences: Whether the output is the whole sequence.
        zero_output_for_mask: Whether masked steps show zeros instead of repeating the step before.
    """

    kind: Kind
    units: int
    go_backwards: bool
    return_sequences: bool
    zero_output_for_mask: bool

    @classmethod
    def of(cls, spec: RecurrentSpec) -> Form:
        return cls(spec.kind, spec.units, spec.go_backwards, spec.return_sequences, spec.zero_output_for_mask)


def standard(form: Form, sequence: Any, weights: Sequence[Any], states: Sequence[Any], mask: Any) -> list[Any]:
    """Runs a layer step by step, on any device, for any mask.

    Args:
        form: The layer.
        sequence: (batch, time, features), float32.
        weights: kernel (features, gates * units), recurrent kernel (units, gates * units) and bias, as in Keras.
        states: h and, for the LSTM, c: (batch, units).
        mask: (batch, time), bool; None if the form has none.

    Returns:
        The output, (batch, time, units) or (batch, units), and the final states.
    """
    import tensorflow as tf

    kernel, recurrent, bias = weights
    of_input, of_state = (bias[0], bias[1]) if form.kind == "GRU" else (bias, None)
    # The product with the inputs of all steps at once.
    steps = tf.transpose(tf.tensordot(sequence, kernel, 1) + of_input, [1, 0, 2])
    valid = None if mask is None else tf.transpose(mask)[:, :, None]
    if form.go_backwards:
        steps = tf.reverse(steps, [0])
        valid = None if valid is None else tf.reverse(valid, [0])
    count, batch = tf.shape(steps)[0], tf.shape(steps)[1]
    shown = tf.zeros([batch, form.units])
    # Without the sequence, only the last output is kept.
    kept = tf.TensorArray(tf.float32, count if form.return_sequences else 1, element_shape=[None, form.units])

    def step(t: Any, shown: Any, kept: Any, *states: Any) -> Any:
        moved = _step(form.kind, steps[t], list(states), recurrent, of_state)
        output = moved[0]
        if valid is not None:
            on = valid[t]
            output = tf.where(on, output, tf.zeros_like(output) if form.zero_output_for_mask else shown)
            moved = [tf.where(on, new, old) for new, old in zip(moved, states, strict=True)]
        kept = kept.write(t, output) if form.return_sequences else kept
        return (t + 1, output, kept, *moved)

    def more(t: Any, *_: Any) -> Any:
        return t < count

    _, last, kept, *finals = tf.while_loop(more, step, (tf.constant(0), shown, kept, *states))
    output = tf.transpose(kept.stack(), [1, 0, 2]) if form.return_sequences else last
    return [output, *finals]


def _step(kind: Kind, x: Any, states: list[Any], recurrent: Any, bias: Any) -> list[Any]:
    import tensorflow as tf

    h = states[0]
    product = tf.matmul(h, recurrent)
    if kind == "LSTM":
        i, f, g, o = tf.split(x + product, 4, axis=1)
        c = tf.sigmoid(f) * states[1] + tf.sigmoid(i) * tf.tanh(g)
        return [tf.sigmoid(o) * tf.tanh(c), c]
    xz, xr, xh = tf.split(x, 3, axis=1)
    hz, hr, hh = tf.split(product + bias, 3, axis=1)
    z = tf.sigmoid(xz + hz)
    return [z * h + (1 - z) * tf.tanh(xh + tf.sigmoid(xr + hr) * hh)]


def on_cudnn(form: Form, sequence: Any, weights: Sequence[Any], states: Sequence[Any], mask: Any) -> list[Any]:
    """Runs a layer with `CudnnRNNV3`, on a GPU; arguments and results as those of `standard`.

    The operation takes lengths: a mask that is not off behind the data alone, or a row without a step, goes the
    standard way. It shows zeros behind the data, where Keras repeats the last step: that is repaired.
    """
    import tensorflow as tf

    if mask is None:
        lengths = tf.fill([tf.shape(sequence)[0]], tf.shape(sequence)[1])
        return _cudnn(form, sequence, weights, states, None, lengths)
    lengths = tf.reduce_sum(tf.cast(mask, tf.int32), 1)
    on_the_right = tf.reduce_all(tf.equal(mask, tf.sequence_mask(lengths, tf.shape(mask)[1])))
    return tf.cond(
        tf.logical_and(on_the_right, tf.reduce_all(lengths > 0)),
        lambda: _cudnn(form, sequence, weights, states, mask, lengths),
        lambda: standard(form, sequence, weights, states, mask),
    )


def _cudnn(
    form: Form, sequence: Any, weights: Sequence[Any], states: Sequence[Any], mask: Any, lengths: Any
) -> list[Any]:
    import tensorflow as tf

    if form.go_backwards:
        sequence = tf.reverse_sequence(sequence, lengths, seq_axis=1, batch_axis=0)
    h, c = states[0][:, None], states[1][:, None] if form.kind == "LSTM" else 0.0
    outputs, h, c, _, _ = tf.raw_ops.CudnnRNNV3(
        input=sequence,
        input_h=h,
        input_c=c,
        params=cudnn_parameters(form.kind, weights),
        sequence_lengths=lengths,
        rnn_mode=form.kind.lower(),
        is_training=False,
        time_major=False,
    )
    finals = [tf.ensure_shape(tf.squeeze(state, 1), [None, form.units]) for state in (h, c)[: STATES[form.kind]]]
    if not form.return_sequences:
        last = finals[0]
        if mask is not None and form.zero_output_for_mask:
            # What is shown is the last step that was run: the last of all, or backwards the first.
            last = tf.where(mask[:, 0 if form.go_backwards else -1, None], last, tf.zeros_like(last))
        return [last, *finals]
    if mask is not None and not form.zero_output_for_mask and not form.go_backwards:
        outputs = tf.where(mask[:, :, None], outputs, finals[0][:, None])
    if form.go_backwards:
        # Keras begins at the end: the padding, which shows zeros before any step was run, comes first.
        outputs = tf.reverse(tf.reverse_sequence(outputs, lengths, seq_axis=1, batch_axis=0), [1])
    return [tf.ensure_shape(outputs, [None, None, form.units]), *finals]


def cudnn_parameters(kind: Kind, weights: Sequence[Any]) -> Any:
    """Returns the weights as the one vector that cuDNN takes.

    cuDNN keeps the matrices of the inputs, those of the state, then both biases, transposed and gate by gate: i f c o
    for the LSTM, r z h for the GRU, where Keras has z r h (NVIDIA cuDNN, `cudnnRNNMode_t`).
    """
    import tensorflow as tf

    kernel, recurrent, bias = weights
    gates = GATES[kind]
    # Keras has one bias for the LSTM.
    biases = tf.stack([tf.zeros_like(bias), bias]) if kind == "LSTM" else bias
    order = [1, 0, 2] if kind == "GRU" else list(range(gates))
    parts: list[Any] = []
    for matrix in (kernel, recurrent):
        blocks = tf.split(matrix, gates, axis=1)
        parts += [tf.reshape(tf.transpose(blocks[gate]), [-1]) for gate in order]
    for row in (biases[0], biases[1]):
        blocks = tf.split(row, gates)
        parts += [blocks[gate] for gate in order]
    return tf.concat(parts, 0)
