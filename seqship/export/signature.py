"""The named inputs and outputs with which a model is exported."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqship.errors import ModelError
from seqship.export.model_inputs import ascii_name, axes_of, is_symbolic, model_inputs, unique_names
from seqship.models.flavour import flavour_of
from seqship.pipelines.spec import Field


@dataclass(frozen=True, eq=False)
class ModelSignature:
    """What every runtime calls the model with, and what it gets.

    Attributes:
        inputs: Contract of each input, in the model's order.
        outputs: Contract of each output, in the model's order.
        function: Takes the input tensors in order, returns a dict of output tensors by name; to be traced.
        stateless: For a model with states, the signature that begins with zeros and forgets; None for any other.
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    function: Callable[..., dict[str, Any]]
    stateless: ModelSignature | None = None

    @property
    def states(self) -> tuple[Field, ...]:
        """Contracts of the states that come in; they stand behind the other inputs."""
        return tuple(field for field in self.inputs if field.is_state)

    def to_json(self) -> dict[str, Any]:
        """Returns the contract, as it stands in a manifest."""
        return {
            "inputs": [field.to_json() for field in self.inputs],
            "outputs": [field.to_json() for field in self.outputs],
        }

    def tensor_specs(self) -> list[Any]:
        """Returns the `tf.TensorSpec` of each input, with the free axes unknown."""
        import tensorflow as tf

        def sizes(field: Field) -> list[int | None]:
            return [None if isinstance(size, str) else size for size in field.shape]

        names = argument_names([field.name for field in self.inputs])
        return [
            tf.TensorSpec(sizes(field), tf.as_dtype(field.dtype), name=name)
            for field, name in zip(self.inputs, names, strict=True)
        ]

    def traceable(self) -> Any:
        """Returns a fresh, untraced `tf.function` of the model."""
        import tensorflow as tf

        function = self.function

        def serving(*tensors: Any) -> dict[str, Any]:
            return function(*tensors)

        return tf.function(serving, autograph=False)

    def traced(self) -> Any:
        """Returns a new concrete function of the model: one trace for all shapes."""
        return self.traceable().get_concrete_function(*self.tensor_specs())


def model_signature(
    model: Any, *, inputs: Sequence[Field] | None = None, outputs: Sequence[Field] | None = None
) -> ModelSignature:
    """Reads the signature of a model.

    Inputs keep the names that the model's author gave; names that Keras made up become `inputs` (`inputs_2` and so on
    for the others). Outputs are named for the layers that make them.

    Args:
        model: A tf-keras or Keras 3 model.
        inputs: Contracts that replace what the model says, in its order; needed for a subclassed model that was never
            called. One that was called is taken with any batch size, and any number of steps where it can be traced so.
        outputs: Contracts that replace what the model says, in its order.

    Raises:
        ModelError: The model does not say what it takes and `inputs` is missing, or their number is another.
    """
    import tensorflow as tf

    named = model_inputs(model, inputs)
    nested = isinstance(named.structure, dict) or len(named.fields) > 1
    flavour = flavour_of(model)
    # Each Keras has an order of its own for the entries of a dict; Keras 3 keeps that of an OrderedDict.
    pack = tf.nest.pack_sequence_as if flavour.version == 2 else flavour.keras.tree.pack_sequence_as

    def call(*tensors: Any) -> Any:
        arguments = pack(named.structure, list(tensors)) if nested else tensors[0]
        return model(arguments, training=False)

    inputs, made = _trace_first(model, call, named.candidates())
    names = unique_names(_output_names(model, made, is_symbolic(model)), [field.name for field in inputs])
    tensors = tf.nest.flatten(made)
    if outputs is None:
        outputs = [_field(tensor, name) for tensor, name in zip(tensors, names, strict=True)]
    elif len(outputs) != len(tensors):
        raise ModelError(f"model {model.name!r} has {len(tensors)} outputs, the contract names {len(outputs)}")
    output_names = [field.name for field in outputs]
    all_names = [field.name for field in (*inputs, *outputs)]
    if len(set(all_names)) < len(all_names):
        raise ModelError(f"the inputs and outputs of a signature need names of their own, got {', '.join(all_names)}")

    def by_name(*tensors: Any) -> dict[str, Any]:
        return dict(zip(output_names, tf.nest.flatten(call(*tensors)), strict=True))

    return ModelSignature(tuple(inputs), tuple(outputs), by_name)


def with_classes(signature: ModelSignature, classes: Sequence[str]) -> ModelSignature:
    """Returns a signature whose first output scores classes of these names.

    Raises:
        ModelError: The output has another number of scores, or two classes are called the same.
    """
    first, *rest = signature.outputs
    size = first.shape[-1] if first.rank == 2 else None
    names = tuple(classes)
    if len(names) < 2 or size not in (len(names), 1 if len(names) == 2 else len(names)):
        raise ModelError(
            f"output {first.name!r} has the shape {list(first.shape)}, {len(names)} classes were named: "
            f"{', '.join(names)}; name one for each score, or two for a single score"
        )
    if len(set(names)) < len(names) or not all(names):
        raise ModelError(f"classes need names of their own, got {', '.join(map(repr, names))}")
    stateless = None if signature.stateless is None else with_classes(signature.stateless, classes)
    return replace(signature, outputs=(replace(first, classes=names), *rest), stateless=stateless)


def _trace_first(
    model: Any, call: Callable[..., Any], candidates: Sequence[Sequence[Field]]
) -> tuple[Sequence[Field], Any]:
    """Returns the first contracts that the model can be traced with, and what it then gives."""
    import tensorflow as tf

    for fields in candidates:
        probe = ModelSignature(tuple(fields), (), lambda *tensors: {"": call(*tensors)})
        try:
            traced = probe.traced()
            if fields is not candidates[-1]:  # A length may be bound in a way that only shows when it is run.
                traced(*(tf.zeros([size or 2 for size in spec.shape], spec.dtype) for spec in probe.tensor_specs()))
            return fields, traced.structured_outputs[""]
        except (ValueError, TypeError, tf.errors.OpError) as error:
            if fields is candidates[-1]:
                text = " ".join(str(error).split())
                raise ModelError(
                    f"model {model.name!r} cannot be called with {_shapes(fields)}: {text[:300]}"
                ) from error
    raise AssertionError("there is always a candidate")


def argument_names(names: Sequence[str]) -> list[str]:
    """Returns the names of the arguments that stand for inputs; TensorFlow allows letters, digits and underscores."""
    return unique_names([re.sub(r"\W", "_", name, flags=re.ASCII) for name in names])


def parse_field(text: str) -> Field:
    """Reads `name=shape:dtype`, such as `beat=?,?,1:float32`; `?` is a free axis, the dtype is float32 if left out.

    Raises:
        ModelError: The text has another form.
    """
    match = re.fullmatch(r"([A-Za-z_]\w*)=([\d?,\s]+)(?::(\w+))?", text.strip())
    dtypes = ("float16", "float32", "float64", "int32", "int64", "bool", "string")
    if match is None or (match[3] or "float32") not in dtypes:
        raise ModelError(f"a signature is name=shape:dtype, such as beat=?,?,1:float32, got {text!r}")
    sizes = [size.strip() for size in match[2].split(",")]
    if not all(size == "?" or size.isdigit() for size in sizes):
        raise ModelError(f"the sizes of a shape are numbers or ?, got {match[2]!r} in {text!r}")
    return Field(match[1], match[3] or "float32", axes_of([None if size == "?" else int(size) for size in sizes]))


def _output_names(model: Any, made: Any, symbolic: bool) -> list[str]:
    import tensorflow as tf

    if isinstance(made, dict):
        names = [ascii_name(str(key)) for key in sorted(made)]
        if not any(tf.nest.is_nested(value) for value in made.values()):
            return names
    count = len(tf.nest.flatten(made))
    if symbolic:
        names = [ascii_name(str(tensor._keras_history[0].name)) for tensor in model.outputs]
    else:
        names = ["outputs"] * count
    return names


def _field(tensor: Any, name: str) -> Field:
    if not hasattr(tensor, "shape") or not hasattr(tensor, "dtype"):
        raise ModelError(f"output {name!r} is {tensor!r}, which is no tensor; leave it out, or give it as one")
    if tensor.shape.rank is None:
        raise ModelError(f"output {name!r} has an unknown number of axes; give it a shape with tf.ensure_shape")
    return Field(name, tensor.dtype.name, axes_of(tensor.shape.as_list()))


def _shapes(fields: Sequence[Field]) -> str:
    return ", ".join(f"{field.name}={','.join(map(str, field.shape))}:{field.dtype}" for field in fields)
