"""The named inputs and outputs with which a model is exported."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqship.errors import ModelError
from seqship.models.layers import all_layers
from seqship.pipelines.spec import BATCH, TIME, TOKEN_ID, Field

# Names that Keras makes up: input_1, input_layer_3, keras_tensor_7, and <first layer>_input of a Sequential.
_MADE_UP = re.compile(r"(input|input_layer|keras_tensor|args)(_\d+)?|.+_input")


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

        return [
            tf.TensorSpec(sizes(field), tf.as_dtype(field.dtype), name=argument_name(field.name))
            for field in self.inputs
        ]

    def traceable(self) -> Any:
        """Returns a fresh, untraced `tf.function` of the model."""
        import tensorflow as tf

        function = self.function

        def serving(*tensors: Any) -> dict[str, Any]:
            return function(*tensors)

        return tf.function(serving, autograph=False)


def model_signature(
    model: Any, *, inputs: Sequence[Field] | None = None, outputs: Sequence[Field] | None = None
) -> ModelSignature:
    """Reads the signature of a model.

    Inputs keep the names that the model's author gave; names that Keras made up become `inputs` (`inputs_2` and so on
    for the others). Outputs are named for the layers that make them.

    Args:
        model: A tf-keras or Keras 3 model.
        inputs: Contracts that replace what the model says, in its order; needed for a subclassed model.
        outputs: Contracts that replace what the model says, in its order.

    Raises:
        ModelError: The model does not say what it takes and `inputs` is missing, or their number is another.
    """
    import tensorflow as tf

    symbolic = getattr(model, "inputs", None) if _is_symbolic(model) else None
    if symbolic is None and inputs is None:
        raise ModelError(
            f"model {model.name!r} does not say what it takes (subclassed or never called); "
            "name its inputs: --signature name=?,?,1:float32"
        )
    if inputs is None:
        assert symbolic is not None  # noqa: S101  (for the type checker: raised above)
        names = _input_names([str(tensor.name) for tensor in symbolic])
        inputs = [_input_field(model, tensor, name) for tensor, name in zip(symbolic, names, strict=True)]
    elif symbolic is not None and len(inputs) != len(symbolic):
        raise ModelError(f"model {model.name!r} takes {len(symbolic)} inputs, the signature names {len(inputs)}")
    structure = _input_structure(model) if symbolic is not None else list(inputs)

    nested = isinstance(structure, dict) or len(inputs) > 1

    def call(*tensors: Any) -> Any:
        arguments = tf.nest.pack_sequence_as(structure, list(tensors)) if nested else tensors[0]
        return model(arguments, training=False)

    probe = ModelSignature(tuple(inputs), (), lambda *tensors: {"": call(*tensors)})
    try:
        made = probe.traceable().get_concrete_function(*probe.tensor_specs()).structured_outputs[""]
    except (ValueError, TypeError) as error:
        text = " ".join(str(error).split())
        raise ModelError(f"model {model.name!r} cannot be called with {_shapes(inputs)}: {text[:300]}") from error
    names = _unique(_output_names(model, made, symbolic is not None), [field.name for field in inputs])
    tensors = tf.nest.flatten(made)
    if outputs is None:
        outputs = [_field(tensor, name) for tensor, name in zip(tensors, names, strict=True)]
    elif len(outputs) != len(tensors):
        raise ModelError(f"model {model.name!r} has {len(tensors)} outputs, the contract names {len(outputs)}")
    output_names = [field.name for field in outputs]
    all_names = [field.name for field in (*inputs, *outputs)]
    if len(set(all_names)) < len(all_names):
        raise ModelError(f"the inputs and outputs of a signature need names of their own, got {', '.join(all_names)}")

    def named(*tensors: Any) -> dict[str, Any]:
        return dict(zip(output_names, tf.nest.flatten(call(*tensors)), strict=True))

    return ModelSignature(tuple(inputs), tuple(outputs), named)


def argument_name(name: str) -> str:
    """Returns the name of the argument that stands for an input; TensorFlow allows letters, digits and underscores."""
    return "".join(character if character.isalnum() else "_" for character in name)


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
    return Field(match[1], match[3] or "float32", _axes([None if size == "?" else int(size) for size in sizes]))


def _is_symbolic(model: Any) -> bool:
    try:
        return bool(model.inputs) and bool(model.outputs)
    except AttributeError:
        return False  # A subclassed Keras 3 model has neither; an unbuilt Sequential raises.


def _input_structure(model: Any) -> Any:
    for attribute in ("_nested_inputs", "_inputs_struct"):  # tf-keras; Keras 3
        structure = getattr(model, attribute, None)
        if structure is not None:
            return structure
    return list(model.inputs)


def _input_names(names: list[str]) -> list[str]:
    made_up = "inputs"
    cleaned = [re.sub(r"\W", "_", name.partition(":")[0]) for name in names]
    chosen = [name for name in cleaned if not _MADE_UP.fullmatch(name)]
    for position, name in enumerate(cleaned, start=1):
        if _MADE_UP.fullmatch(name):
            name = made_up if made_up not in chosen else f"{made_up}_{position}"
            chosen.insert(position - 1, name)
    return _unique(chosen)


def _unique(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Numbers the names that are there already: an ONNX graph has one name space for inputs and outputs."""
    unique: list[str] = []
    for name in names:
        chosen, number = name, 1
        while chosen in (*taken, *unique):
            number += 1
            chosen = f"{name}_{number}"
        unique.append(chosen)
    return unique


def _output_names(model: Any, made: Any, symbolic: bool) -> list[str]:
    import tensorflow as tf

    if isinstance(made, dict):
        names = [re.sub(r"\W", "_", str(key)) for key in sorted(made)]
        if len(names) == len(tf.nest.flatten(made)):
            return names
    count = len(tf.nest.flatten(made))
    if symbolic:
        names = [re.sub(r"\W", "_", str(tensor._keras_history[0].name)) for tensor in model.outputs]
    else:
        names = ["outputs"] * count
    return names


def _axes(sizes: Sequence[int | None]) -> tuple[int | str, ...]:
    free = (BATCH, TIME)
    return tuple(
        size if size is not None else free[i] if i < len(free) else f"axis_{i}" for i, size in enumerate(sizes)
    )


def _field(tensor: Any, name: str) -> Field:
    if tensor.shape.rank is None:
        raise ModelError(f"output {name!r} has an unknown number of axes; give it a shape with tf.ensure_shape")
    return Field(name, tensor.dtype.name, _axes(tensor.shape.as_list()))


def _input_field(model: Any, tensor: Any, name: str) -> Field:
    field = Field(name, _dtype_name(tensor.dtype), _axes(list(tensor.shape)))
    reader = _reader(model, tensor)
    kind = type(reader).__name__
    if kind == "Masking":
        return replace(field, pad_value=float(reader.mask_value))
    if kind == "Embedding":
        pad = 0.0 if reader.mask_zero else None
        lowest = 1.0 if reader.mask_zero else 0.0
        return replace(field, unit=TOKEN_ID, pad_value=pad, minimum=lowest, maximum=float(reader.input_dim - 1))
    return field


def _reader(model: Any, tensor: Any) -> Any:
    """Returns the Masking or Embedding layer that reads an input, None where there is none."""
    for layer in all_layers(model):
        if type(layer).__name__ in ("Masking", "Embedding"):
            try:
                read = layer.input
            except (AttributeError, RuntimeError):
                continue  # Called more than once, or not in a graph of layers.
            if read is tensor:
                return layer
    return None


def _dtype_name(dtype: Any) -> str:
    return dtype if isinstance(dtype, str) else dtype.name


def _shapes(fields: Sequence[Field]) -> str:
    return ", ".join(f"{field.name}={','.join(map(str, field.shape))}:{field.dtype}" for field in fields)
