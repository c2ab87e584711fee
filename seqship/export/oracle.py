"""The float64 twin of a model: what its float32 results would be without rounding.

Not the model built anew in float64, whose constants would be others (a slope of 0.2, an epsilon of 0.001), and which a
layer of a user's own need have no path for: the very graph that Keras runs in float32, with every floating-point type
in it replaced and every weight taken as it is. What is left between the two is rounding.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.double_kernels import put_stand_ins
from seqship.export.rounded_graph import rounded
from seqship.export.runners import Feed, Outputs, Runner
from seqship.export.signature import ModelSignature
from seqship.export.stand_ins import all_nodes
from seqship.pipelines.spec import Field

_SMALL_FLOATS = ("float32", "float16", "bfloat16")
_NOTHING = 1e-15
"""Less than half a unit in the last place of a unit in the last place of 1."""
_DRAWS = 4
"""How often float32 is sampled beside Keras' own result (`tolerance.ROUNDING` says what that brings)."""


@dataclass(frozen=True, eq=False)
class Oracle:
    """The float64 twin of a model; takes inputs in the dtypes of the contract.

    Attributes:
        run: Gives floating-point outputs in float64, others as they are.
        rounded: The model in its own dtypes, with other roundings (`rounded_graph`): what Keras' own result might have
            been as well.
    """

    run: Runner
    rounded: tuple[Runner, ...]
    source: Any = None
    """What has to live as long."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One output of one case.

    Attributes:
        expected: What it is without rounding, in the dtype of the model; where Keras leaves the range of float32, what
            Keras gives.
        error: The largest error that Keras' own float32 result has, or one with other roundings; None without an
            oracle; 0 for what is no floating-point number.
        scale: The largest finite value.
        undetermined: Elements that float32 leaves open, shaped like `expected`: a number with one rounding and none
            with another, or two whole numbers. None where there are none.
    """

    expected: NDArray[Any]
    error: float | None
    scale: float
    undetermined: NDArray[np.bool_] | None = None


def measure(feed: Feed, reference: Runner, oracle: Oracle | None) -> dict[str, Measured]:
    """Runs one case in Keras and in its float64 twin.

    A model that doubles its state at each step makes an output of 1e-20 as well as of 1; with other roundings, such
    inputs are zeros.

    Args:
        feed: Inputs by name.
        reference: The Keras model.
        oracle: Its twin; None where it has none.
    """
    here = reference(feed)
    if oracle is None:
        return {name: Measured(value, None if value.dtype.kind == "f" else 0.0, 0.0) for name, value in here.items()}
    true, flushed = oracle.run(feed), _flushed(feed)
    others = [run(flushed) for run in oracle.rounded]
    return {name: measured(value, true[name], [one[name] for one in others]) for name, value in here.items()}


def _flushed(feed: Feed) -> Feed:
    """Makes zeros of inputs that are nothing beside any other: onnxruntime's tanh does."""
    return {
        name: np.where(np.abs(value) < _NOTHING, 0, value).astype(value.dtype) if value.dtype.kind == "f" else value
        for name, value in feed.items()
    }


def runs_alike(oracle: Oracle, feed: Feed) -> bool:
    """Whether a twin can be run at all: some operations have a type, and no kernel, of float64.

    Args:
        oracle: The twin.
        feed: Inputs that the model takes.
    """
    try:
        for run in (oracle.run, *oracle.rounded):
            run(feed)
    except ModelError:
        return False
    return True


def measured(here: NDArray[Any], true: NDArray[Any], others: Sequence[NDArray[Any]]) -> Measured:
    """Sums up one output.

    Args:
        here: What Keras gives.
        true: What the float64 twin gives.
        others: What Keras gives with other roundings.
    """
    if any(one.shape != here.shape for one in (true, *others)):  # So many results that rounding tells their number.
        return Measured(here, 0.0, 0.0, np.ones(here.shape, bool))
    if here.dtype.kind != "f" or true.dtype != np.float64:
        return Measured(here, 0.0, 0.0, _where_any([here != one for one in (true, *others)]))
    finite = np.isfinite(here) & np.isfinite(true) & np.all([np.isfinite(one) for one in others], axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        errors = [np.abs(one.astype(np.float64) - true)[finite] for one in (here, *others)]
        expected = np.where(np.isfinite(here) & np.isfinite(true), true, here).astype(here.dtype)
        narrow = true.astype(here.dtype)
    error = max(float(one.max(initial=0.0)) for one in errors)
    # TensorFlow takes a subnormal number for zero, onnxruntime does not: their logarithms are no rounding apart.
    open_ = _where_any([_kind(here) != _kind(one) for one in (narrow, *others)])
    return Measured(expected, error, float(np.abs(true[finite]).max(initial=0.0)), open_)


def _kind(values: NDArray[Any]) -> NDArray[np.float64]:
    """Returns 0 for a number, itself for what is none; comparable, as NaN is not."""
    return np.where(np.isnan(values), 2.0, np.where(np.isinf(values), np.sign(values), 0.0))


def _where_any(found: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_] | None:
    where = np.any(found, axis=0)
    return where if where.any() else None


def make_oracle(signature: ModelSignature, *, concrete: Any = None) -> Oracle:
    """Returns the float64 twin of a Keras model.

    Args:
        signature: The model.
        concrete: `signature.traced()` where that has been called already.

    Raises:
        ModelError: An operation of the model has neither a float64 kernel nor a stand-in
            (`seqship.export.double_kernels`), or its graph is larger than TensorFlow can hold.
    """
    try:
        return _twin(signature, concrete)
    except ModelError:
        if (keras := sys.modules.get("keras")) is None:
            raise
        # Keras 3's layers with dropout draw its mask even where none is applied, and note that they have: an assignment
        # that cannot be frozen. In a stateless scope it is not part of the graph.
        with keras.StatelessScope():
            return _twin(signature)


def _twin(signature: ModelSignature, concrete: Any = None) -> Oracle:
    concrete = signature.traced() if concrete is None else concrete
    names = [field.name for field in signature.inputs]
    return _oracle(concrete, names, sorted(concrete.structured_outputs), signature.inputs)


def saved_model_oracle(path: str | os.PathLike[str], inputs: Sequence[Field]) -> Oracle:
    """Returns the float64 twin of a SavedModel's signature `serving_default`.

    Args:
        path: The SavedModel.
        inputs: Contract of each input.

    Raises:
        ModelError: It cannot be loaded, or as above.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(os.fspath(path))
        concrete = loaded.signatures["serving_default"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise ModelError(f"{os.fspath(path)} cannot be loaded as a SavedModel: {_one_line(error)}") from error
    names = list(concrete.structured_input_signature[1])
    oracle = _oracle(concrete, names, sorted(concrete.structured_outputs), inputs)
    return replace(oracle, source=loaded)  # It owns what the graph captured.


def _oracle(concrete: Any, names: Sequence[str], keys: Sequence[str], inputs: Sequence[Field]) -> Oracle:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
        definition = frozen.graph.as_graph_def()
    except (ValueError, TypeError, tf.errors.OpError) as error:  # A graph of more than 2 GB, above all.
        raise ModelError(f"the model has no float64 twin: {_one_line(error)}") from error
    if len(frozen.inputs) != len(names):
        raise ModelError("the model has no float64 twin: its graph looks into a table, as that of a vocabulary does")
    # As TensorFlow flattens a dict.
    outputs = dict(zip(keys, (one.name for one in frozen.outputs), strict=True))
    of = {field.name: field for field in inputs}
    fields = [of[name] for name in names]
    others = [rounded(_renamed(definition, f"rounded_{draw}"), seed=draw) for draw in range(_DRAWS)]
    return Oracle(
        _runner(fields, frozen.inputs, _widened(definition), outputs, wide=True),
        tuple(_runner(fields, frozen.inputs, one, outputs, wide=False) for one in others),
    )


def _runner(
    fields: Sequence[Field], inputs: Sequence[Any], definition: Any, outputs: Mapping[str, str], *, wide: bool
) -> Runner:
    import tensorflow as tf
    from tensorflow.python.eager import wrap_function

    names = [tensor.name for tensor in inputs]
    dtypes = [tf.float64 if wide and tensor.dtype.name in _SMALL_FLOATS else tensor.dtype for tensor in inputs]
    try:
        function: Any = wrap_function.function_from_graph_def(definition, names, dict(outputs))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelError(f"the model has no float64 twin: {_one_line(error)}") from error

    def run(feed: Feed) -> Outputs:
        values = [
            feed[field.name] if field.name in feed else np.zeros((1, int(field.shape[1])), field.dtype)
            for field in fields
        ]
        try:
            made = function(*(tf.constant(value, dtype) for value, dtype in zip(values, dtypes, strict=True)))
        except tf.errors.OpError as error:
            raise ModelError(f"the float64 twin of the model cannot be run: {_one_line(error)}") from error
        return {name: tensor.numpy() for name, tensor in made.items()}

    return run


def _renamed(definition: Any, suffix: str) -> Any:
    """Returns a copy of a graph whose functions have other names: TensorFlow knows those of the process by name."""
    import tensorflow as tf

    copy: Any = tf.compat.v1.GraphDef()
    copy.CopyFrom(definition)
    renamed = {function.signature.name: f"{function.signature.name}_{suffix}" for function in copy.library.function}
    for function in copy.library.function:
        function.signature.name = renamed[function.signature.name]
    attributes = [function.attr.values() for function in copy.library.function]
    for node in all_nodes(copy):
        node.op = renamed.get(node.op, node.op)
        attributes.append(node.attr.values())
    for attribute in itertools.chain(*attributes):
        for function in (attribute.func, *attribute.list.func):
            if function.name in renamed:
                function.name = renamed[function.name]
    return copy


def _widened(definition: Any) -> Any:
    """Returns a graph in which every small floating-point type is float64: of nodes, of functions, and of constants."""
    wide = _renamed(definition, "float64")
    for function in wide.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            argument.type = _widest(argument.type)
        _widen(function.attr.values())
    for node in all_nodes(wide):
        _widen(node.attr.values())
    put_stand_ins(wide)
    return wide


def _widen(attributes: Iterable[Any]) -> None:
    for attribute in attributes:
        kind = attribute.WhichOneof("value")
        if kind == "type":
            attribute.type = _widest(attribute.type)
        elif kind == "tensor":
            _widen_tensor(attribute.tensor)
        elif kind == "list" and attribute.list.type:
            types = [_widest(one) for one in attribute.list.type]
            attribute.list.ClearField("type")
            attribute.list.type.extend(types)


def _widen_tensor(tensor: Any) -> None:
    import tensorflow as tf

    if _widest(tensor.dtype) != tensor.dtype:
        value: NDArray[Any] = tf.make_ndarray(tensor)
        wide = tf.as_dtype(_widest(tensor.dtype))
        tensor.CopyFrom(tf.make_tensor_proto(value.astype(wide.as_numpy_dtype), wide))


def _widest(data_type: int) -> int:
    import tensorflow as tf

    name = tf.as_dtype(data_type).name
    if name == "complex64":  # Of a spectrum.
        return tf.complex128.as_datatype_enum
    return tf.float64.as_datatype_enum if name in _SMALL_FLOATS else data_type


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(("[[", ";"))), type(error).__name__)[:300]
