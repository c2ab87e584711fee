"""Puts marker operations in the place of layers that ONNX has an operator for."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seqship.export.layer_call import LayerCall
from seqship.export.marker import Capture, Marker
from seqship.export.operators import one_operator
from seqship.models.layers import all_layers, read_layer, unknown_layer
from seqship.models.spec import STATES, RecurrentSpec


def mark(captured: Capture, call: LayerCall) -> tuple[Any, list[Any]] | None:
    """Marks one call.

    Returns:
        The output (a list of two where two directions are not merged) and the final states, flat; None where the layer
        keeps its stock conversion. The reasons are noted in `captured`.
    """
    layers = call.flavour.keras.layers
    if type(call.layer) is layers.TimeDistributed:
        return _fold_time(call)
    if isinstance(call.layer, layers.Bidirectional):
        return _mark_both(captured, call) if type(call.layer) is layers.Bidirectional else None
    return _mark_one(captured, call)


def _mark_one(captured: Capture, call: LayerCall) -> tuple[Any, list[Any]] | None:
    specs = read_specs(call)
    if call.mask is not None:
        captured.masked.add(id(call.layer))
    if specs:
        reasons = tuple(dict.fromkeys(reason for spec in specs for reason in captured.lowerable(spec)))
        reasons += unmarkable(call, specs)
    else:
        reasons = (unknown_layer(call.layer),)
    if reasons:
        captured.left[id(call.layer)] = reasons
        return None
    marker = Marker(specs[0], call.mask is not None, bool(call.states), above=specs[1:])
    outputs, finals = _emit(captured, marker, call, str(call.layer.name))
    captured.lowered.add(id(call.layer))
    return outputs[0], finals


def _mark_both(captured: Capture, call: LayerCall) -> tuple[Any, list[Any]] | None:
    """Marks both directions as one; what keeps them apart is no loss: each is then marked by itself."""
    pair = [read_specs(replace(call, layer=layer)) for layer in (call.layer.forward_layer, call.layer.backward_layer)]
    if any(len(specs) != 1 for specs in pair):
        return None
    forward, backward = pair[0][0], pair[1][0]
    if not one_operator(forward, backward) or captured.lowerable(forward) or captured.lowerable(backward):
        return None
    if unmarkable(call, (forward, backward)):
        return None
    marker = Marker(
        forward, call.mask is not None, bool(call.states), backward=backward, merge_mode=call.layer.merge_mode
    )
    outputs, finals = _emit(captured, marker, call, str(call.layer.name))
    both = {id(call.layer.forward_layer), id(call.layer.backward_layer)}
    captured.lowered |= both
    captured.masked |= both if marker.has_mask else set()
    return outputs if marker.merge_mode is None else outputs[0], finals


def read_specs(call: LayerCall) -> tuple[RecurrentSpec, ...]:
    """Reads the cells of the called layer; none if it is not a known recurrent layer."""
    import tensorflow as tf

    if not isinstance(call.layer, call.flavour.keras.layers.RNN):
        return ()
    with tf.init_scope():
        return read_layer(call.layer, call.flavour)


def unmarkable(call: LayerCall, specs: Sequence[RecurrentSpec]) -> tuple[str, ...]:
    """Returns what of a call, not of its layer, no single operation can stand for."""
    import tensorflow as tf

    if not isinstance(call.sequence, tf.Tensor):
        return (f"its input is a {type(call.sequence).__name__}, not a dense tensor",)
    if call.sequence.shape.rank != 3:
        return (f"its input has {call.sequence.shape.rank or 'an unknown number of'} axes, not three",)
    if call.mask is not None and call.mask.shape.rank != 2:
        return (f"its mask has {call.mask.shape.rank or 'an unknown number of'} axes, not two",)
    if call.training and any(spec.dropout or spec.recurrent_dropout for spec in specs):
        return ("it is called with training=True: its dropout is random",)
    if call.constants:
        return ("it is called with constants",)
    count = sum(STATES[spec.kind] for spec in specs)
    if call.states and len(call.states) != count:
        return (f"it is called with {len(call.states)} state or constant tensors, it has {count}",)
    if specs[0].stateful and not call.states:
        return ("it is stateful and called without its state",)
    return ()


def _in_order(specs: Sequence[RecurrentSpec], states: Sequence[Any]) -> list[Any]:
    """Puts states into the order h, c, or back into a layer's own."""
    rest, ordered = list(states), list[Any]()
    for spec in specs:
        own, rest = rest[: STATES[spec.kind]], rest[STATES[spec.kind] :]
        ordered += own[::-1] if spec.cell_state_first else own
    return ordered


def _emit(captured: Capture, marker: Marker, call: LayerCall, name: str) -> tuple[list[Any], list[Any]]:
    import tensorflow as tf

    def cannot_run(*_: Any) -> Any:
        raise RuntimeError(f"layer {name!r} is marked for conversion and cannot be run in TensorFlow")

    spec = marker.spec
    dtype = tf.as_dtype(spec.dtype)
    sequence = call.sequence
    batch = sequence.shape[1 if spec.time_major else 0]
    mask = [] if call.mask is None else [tf.cast(call.mask, tf.bool)]
    states = [tf.cast(state, dtype) for state in _in_order(marker.cells, call.states)]
    if batch != 1:  # One row of states serves a whole batch in Keras.
        rows = tf.shape(sequence)[1 if spec.time_major else 0]
        states = [tf.broadcast_to(state, [rows, state.shape[1]]) if state.shape[0] == 1 else state for state in states]
    shapes = [result_shape(call, spec, size) for size in marker.output_sizes]
    shapes += [[batch, size] for size in marker.state_sizes]
    with tf.name_scope(name):
        outputs = tf.numpy_function(
            cannot_run, [tf.cast(sequence, dtype), *mask, *states], [dtype] * len(shapes), name="seqship_marker"
        )
    captured.markers[outputs[0].op.get_attr("token").decode()] = marker
    # The operation loses the static shapes, and tf2onnx needs the ranks downstream.
    shaped = [tf.ensure_shape(output, shape) for output, shape in zip(outputs, shapes, strict=True)]
    count = len(marker.output_sizes)
    return shaped[:count], _in_order(marker.cells, shaped[count:])


def result_shape(call: LayerCall, spec: RecurrentSpec, size: int | None = None) -> list[int | None]:
    """Returns the static shape of what a call gives; `size` is its width where it is not the layer's units."""
    steps = call.sequence.shape.as_list()[:2]
    if not spec.return_sequences:
        steps = steps[1:] if spec.time_major else steps[:1]
    return [*steps, size or spec.units]


def _fold_time(call: LayerCall) -> tuple[Any, list[Any]] | None:
    """Runs the wrapped layer once over all steps, folded into the batch, where Keras runs it step by step.

    tf-keras folds by itself but for models of a fixed batch size; Keras 3 unrolls a fixed number of steps. Only layers
    of Keras' own are folded: they treat the rows of a batch apart.
    """
    import tensorflow as tf

    wrapped, inputs = call.layer.layer, call.sequence
    if not isinstance(inputs, tf.Tensor) or (call.mask is not None and call.mask.shape.rank < 3):
        return None
    package = call.flavour.keras.__name__
    parts = [wrapped, *(all_layers(wrapped) if hasattr(wrapped, "_flatten_layers") else ())]
    own = all(type(part).__module__.startswith(f"{package}.") and type(part).__name__ != "Lambda" for part in parts)
    if not own or any(getattr(part, "stateful", False) or _along_batch(part) for part in parts):
        return None
    if call.flavour.version == 2:
        # Reshaping is what tf-keras does itself, unless it knows the batch size; with a mask it then repeats outputs.
        if call.layer._always_use_reshape or inputs.shape[0] is None or call.mask is not None:
            return None
    elif inputs.shape[1] is None:
        return None  # Keras 3.15 then counts its steps by the batch size, and so must we.
    arguments: dict[str, Any] = {"training": False} if _takes(wrapped, "training") else {}
    if call.mask is not None and _takes(wrapped, "mask"):
        arguments["mask"] = _folded(call.mask)
    output = (wrapped if call.flavour.version == 2 else wrapped.call)(_folded(inputs), **arguments)
    if not isinstance(output, tf.Tensor):
        return None  # What was traced on the way hangs in the air, and is pruned.
    shape = tf.shape(inputs)
    unfolded = tf.reshape(output, tf.concat([shape[:2], tf.shape(output)[1:]], 0))
    return tf.ensure_shape(unfolded, [inputs.shape[0], inputs.shape[1], *output.shape[1:]]), []


def _along_batch(layer: Any) -> bool:
    """Whether a layer works along the axis of the batch, a Softmax of axis 0, say."""
    import tensorflow as tf

    return any(axis == 0 for axis in tf.nest.flatten(getattr(layer, "axis", None)) if isinstance(axis, int))


def _folded(tensor: Any) -> Any:
    import tensorflow as tf

    static = tensor.shape.as_list()
    rest = static[2:] if None not in static[2:] else tf.shape(tensor)[2:]
    return tf.reshape(tensor, tf.concat([[-1], rest], 0))


def _takes(layer: Any, argument: str) -> bool:
    return argument in inspect.signature(layer.call).parameters
