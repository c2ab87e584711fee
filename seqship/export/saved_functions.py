"""Recognises tf-keras' LSTM and GRU in the function library of a SavedModel.

tf-keras traces each LSTM and GRU layer that cuDNN could run as a call of a function of its own (`standard_lstm` and
`standard_gru` of `tf_keras/src/layers/rnn/`), which takes sequence, states, weights and mask as arguments and bears the
attribute `api_implements`. How it was traced is read from its attributes and arguments; what these do not say, whether
it returns sequences and zeros at masked steps, is found by running it. Running it settles as well that it computes an
LSTM or GRU at all: a function that does not give, to rounding, what the NumPy reference gives is left alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.reference import run_layer
from seqship.models.spec import GATES, STATES, Activation, Kind, RecurrentSpec

API = "api_implements"
DEVICE = "api_preferred_device"
_KINDS: dict[str, Kind] = {"LSTM": "LSTM", "GRU": "GRU"}
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "LSTM": ("inputs", "init_h", "init_c", "kernel", "recurrent_kernel", "bias"),
    "GRU": ("inputs", "init_h", "kernel", "recurrent_kernel", "bias"),
}
_FREE_BATCH, _FREE_TIME = 4, 6
_TRIALS = 4
_AGREES = 1e-4
"""Values lie near -1 to 1. The right reading differs by 1e-6 at most (float32), a wrong one by 1e-2 or more."""


class _Unrecognized(Exception):  # noqa: N818  (never leaves this module)
    """Why a function is not taken for a layer."""


@dataclass(frozen=True)
class SavedLayer:
    """How a function of the library was traced.

    Attributes:
        function: Its name.
        spec: The layer; its weights are not those of the model, which the function takes as arguments.
        has_mask: Whether it takes a mask.
        steps: Static sizes of its input's first two axes, -1 where free.
    """

    function: str
    spec: RecurrentSpec
    has_mask: bool
    steps: tuple[int, int]

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of what it takes."""
        return (*_ARGUMENTS[self.spec.kind], *(("mask",) if self.has_mask else ()))


def reached(graph_def: Any, outputs: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """Returns the nodes that the named tensors of a graph are computed with, and the library functions by name."""
    library = {function.signature.name: function for function in graph_def.library.function}
    by_name = {node.name: node for node in graph_def.node}
    nodes: dict[str, Any] = {}
    waiting = [_producer(tensor) for tensor in outputs]
    while waiting:
        name = waiting.pop()
        if name not in nodes and name in by_name:
            nodes[name] = by_name[name]
            waiting += [_producer(tensor) for tensor in by_name[name].input]
    functions: dict[str, Any] = {}
    called = [name for node in nodes.values() for name in functions_of(node)]
    while called:
        name = called.pop()
        if name not in functions and name in library:
            functions[name] = library[name]
            called += [inner for node in library[name].node_def for inner in functions_of(node)]
    inner = [node for function in functions.values() for node in function.node_def]
    return [*nodes.values(), *inner], functions


def _producer(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def functions_of(node: Any) -> Iterator[str]:
    """Yields the names of the functions that a node calls."""
    for attribute in node.attr.values():
        if attribute.HasField("func"):
            yield attribute.func.name
        yield from (function.name for function in attribute.list.func)


def is_layer_function(function: Any) -> bool:
    """Returns whether a `FunctionDef` claims to be the CPU side of a tf-keras LSTM or GRU layer."""
    return API in function.attr and DEVICE in function.attr and function.attr[DEVICE].s == b"CPU"


def kind_of(function: Any) -> str:
    """Returns "LSTM" or "GRU", or whatever else the function claims to be, in upper case."""
    return function.attr[API].s.decode().partition("_")[0].upper()


def recognize(function: Any, library: Any) -> SavedLayer | str:
    """Returns how a function was traced, or why it is not taken for a layer.

    Args:
        function: The `FunctionDef`.
        library: The `FunctionDefLibrary` it is part of.
    """
    try:
        layer = _traced(function)
        return _settled(layer, function, library)
    except _Unrecognized as why:
        return str(why)


def _traced(function: Any) -> SavedLayer:
    """Reads what attributes and arguments say."""
    from tensorflow import as_dtype

    kind = _KINDS.get(kind_of(function))
    if kind is None:
        raise _Unrecognized(f"it is a {kind_of(function)}, of which only LSTM and GRU are known")
    names = tuple(argument.name for argument in function.signature.input_arg)
    dtypes = [as_dtype(argument.type).name for argument in function.signature.input_arg]
    known = _ARGUMENTS[kind]
    if names not in (known, (*known, "mask")):
        raise _Unrecognized(f"its function takes {', '.join(names)}, not {', '.join(known)} and a mask")
    if len(function.signature.output_arg) != len(known) - 1:
        raise _Unrecognized(f"its function gives {len(function.signature.output_arg)} tensors, {kind} gives others")
    if dtypes[: len(known)] != ["float32"] * len(known):
        raise _Unrecognized(f"it computes in {dtypes[0]}; onnxruntime's recurrent operators compute in float32")
    if dtypes[len(known) :] not in ([], ["bool"]):
        raise _Unrecognized(f"its mask is {dtypes[-1]}, not bool")
    if "time_major" not in function.attr or "go_backwards" not in function.attr:
        raise _Unrecognized("its function does not say time_major and go_backwards, as Keras wrote them before 2.4")
    shapes = [
        None if shape.unknown_rank else [int(dim.size) for dim in shape.dim]
        for shape in function.attr["_input_shapes"].list.shape
    ]
    by_name = dict(zip(names, shapes, strict=False))
    kernel, inputs = by_name.get("kernel"), by_name.get("inputs")
    if not kernel or not inputs or min(kernel) < 1:
        raise _Unrecognized("its function does not say the sizes of its kernel")
    units = kernel[1] // GATES[kind]
    spec = RecurrentSpec(
        name=function.signature.name,
        kind=kind,
        units=units,
        features=kernel[0],
        kernel=np.zeros(kernel, np.float32),
        recurrent_kernel=np.zeros((units, kernel[1]), np.float32),
        bias=np.zeros((2, kernel[1]) if kind == "GRU" else kernel[1], np.float32),
        activation=Activation("tanh"),
        recurrent_activation=Activation("sigmoid"),
        go_backwards=function.attr["go_backwards"].b,
        time_major=function.attr["time_major"].b,
    )
    return SavedLayer(function.signature.name, spec, "mask" in names, (inputs[0], inputs[1]))


def _settled(layer: SavedLayer, function: Any, library: Any) -> SavedLayer:
    """Finds by running it what the function does not say of itself."""
    readings = [
        replace(layer.spec, return_sequences=sequences, zero_output_for_mask=zeros)
        for sequences, zeros in itertools.product((True, False), (False, True) if layer.has_mask else (False,))
    ]
    drawn = [_draw(layer, trial) for trial in range(_TRIALS)]
    for given, found in zip(drawn, _run(function, library, drawn), strict=True):
        readings = [reading for reading in readings if _agrees(reading, given, found)]
    if not readings:
        raise _Unrecognized(f"its function does not compute what a {layer.spec.kind} computes")
    # Readings that are left give the same: one step has nothing to repeat.
    return replace(layer, spec=readings[0])


def _draw(layer: SavedLayer, trial: int) -> dict[str, NDArray[Any]]:
    spec, random = layer.spec, np.random.default_rng(trial)
    batch_axis = 1 if spec.time_major else 0
    free = [_FREE_BATCH, _FREE_TIME][:: -1 if spec.time_major else 1]
    sizes = [size if size > 0 else free[axis] for axis, size in enumerate(layer.steps)]
    batch, time = sizes[batch_axis], sizes[1 - batch_axis]

    def normal(scale: float, *shape: int) -> NDArray[np.float32]:
        return (scale * random.standard_normal(shape)).astype(np.float32)

    # Every kind of row: padded after the data, before it, with holes, without any valid step; in one row by turns.
    rows = np.array([np.arange(time) < time - 2, np.arange(time) > 1, np.arange(time) % 3 != 1, np.zeros(time, bool)])
    mask = rows[(np.arange(batch) + trial) % len(rows)]
    drawn = {
        "inputs": normal(1, *sizes, spec.features),
        "init_h": normal(0.5, batch, spec.units),
        "init_c": normal(0.5, batch, spec.units),
        # Of a scale at which the state neither explodes nor forgets what was.
        "kernel": normal(spec.features**-0.5, *spec.kernel.shape),
        "recurrent_kernel": normal(0.7 * spec.units**-0.5, *spec.recurrent_kernel.shape),
        "bias": normal(0.5, *(() if spec.bias is None else spec.bias.shape)),
        "mask": mask.T if spec.time_major else mask,
    }
    return {name: drawn[name] for name in layer.arguments}


def _agrees(reading: RecurrentSpec, given: Mapping[str, NDArray[Any]], found: list[NDArray[Any]]) -> bool:
    spec = replace(reading, kernel=given["kernel"], recurrent_kernel=given["recurrent_kernel"], bias=given["bias"])
    states = [given[name] for name in ("init_h", "init_c")[: STATES[spec.kind]]]
    output, final = run_layer(spec, given["inputs"], mask=given.get("mask"), initial_state=states)
    axis = 0 if spec.time_major else 1
    last = output.take(-1, axis=axis) if spec.return_sequences else output
    whole = output if spec.return_sequences else np.expand_dims(output, axis)
    expected = [last, whole, *final]
    return all(
        value.shape == wanted.shape and bool(np.all(np.abs(value - wanted) <= _AGREES))
        for value, wanted in zip(found, expected, strict=False)
    )


def _run(function: Any, library: Any, feeds: list[dict[str, NDArray[Any]]]) -> list[list[NDArray[Any]]]:
    """Calls a library function on the CPU, with each of the feeds; returns its outputs for each."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    wanted, known = [function.signature.name], {inner.signature.name: inner for inner in library.function}
    copied: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in copied or name not in known:
            continue
        copied.add(name)
        copy = graph_def.library.function.add()
        copy.CopyFrom(known[name])
        for attribute in (API, DEVICE):  # Or TensorFlow puts the GPU's function in its place where there is one.
            copy.attr.pop(attribute, None)
        wanted += [inner for node in known[name].node_def for inner in functions_of(node)]
    call = graph_def.node.add(name="call", op="StatefulPartitionedCall")
    call.attr["f"].func.name = function.signature.name
    call.attr["Tin"].list.type.extend(argument.type for argument in function.signature.input_arg)
    call.attr["Tout"].list.type.extend(argument.type for argument in function.signature.output_arg)
    for position, argument in enumerate(function.signature.input_arg):
        given = graph_def.node.add(name=f"given_{position}", op="Placeholder")
        given.attr["dtype"].type = argument.type
        call.input.append(given.name)
    try:
        with tf.Graph().as_default(), tf.device("/cpu:0"):
            tf.import_graph_def(graph_def, name="")
            config = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
            with tf.compat.v1.Session(config=config) as session:
                names = [f"call:{position}" for position in range(len(function.signature.output_arg))]
                given = [argument.name for argument in function.signature.input_arg]
                return [
                    list(session.run(names, {f"given_{position}:0": feed[name] for position, name in enumerate(given)}))
                    for feed in feeds
                ]
    except (tf.errors.OpError, ValueError) as error:
        raise _Unrecognized(f"its function cannot be run: {' '.join(str(error).split())[:100]}") from error
