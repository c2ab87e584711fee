"""What a model takes: by name, with the axes that are free."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqship.errors import ModelError
from seqship.export.called_inputs import called_inputs, was_built_by_calling
from seqship.models.layers import all_layers
from seqship.pipelines.spec import BATCH, TIME, TOKEN_ID, Field

# Names that Keras makes up: input_1, input_layer_3, keras_tensor_7, and <first layer>_input of a Sequential.
_MADE_UP = re.compile(r"(input|input_layer|keras_tensor|args)(_\d+)?|.+_input")


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """The inputs of a model.

    Attributes:
        fields: Contract of each, in the order of `structure`.
        structure: How the model takes them.
        exact: Whether the sizes are meant; else they are those of the call that built the model.
        tokens: Whether the model embeds tokens: an input (batch, n) may then be n steps, not n features.
    """

    fields: Sequence[Field]
    structure: Any
    exact: bool
    tokens: bool = False

    def candidates(self) -> list[Sequence[Field]]:
        """Returns the contracts to try, the most general first."""
        if self.exact:
            return [self.fields]
        batch = [replace(field, shape=(BATCH, *field.shape[1:])) if field.rank else field for field in self.fields]
        free = [
            replace(field, shape=(BATCH, TIME, *field.shape[2:])) if self._is_sequence(field) else field
            for field in batch
        ]
        return [free, batch]

    def _is_sequence(self, field: Field) -> bool:
        return field.rank > 2 or (field.rank == 2 and (self.tokens or not field.dtype.startswith("float")))


def model_inputs(model: Any, inputs: Sequence[Field] | None) -> ModelInputs:
    """Reads what a model takes.

    Args:
        model: A tf-keras or Keras 3 model.
        inputs: Contracts that replace what the model says, in its order.

    Raises:
        ModelError: The model does not say what it takes and `inputs` is missing, or their number is another.
    """
    symbolic = model.inputs if is_symbolic(model) else None
    if inputs is not None:
        if symbolic is not None and len(inputs) != len(symbolic):
            raise ModelError(f"model {model.name!r} takes {len(symbolic)} inputs, the signature names {len(inputs)}")
        called = None if symbolic is not None else called_inputs(model)
        # A dict that the model is called with is called with again where the names are the same.
        if called is not None and isinstance(called.structure, dict) and {f.name for f in inputs} == {*called.names}:
            return ModelInputs(sorted(inputs, key=lambda field: called.names.index(field.name)), called.structure, True)
        return ModelInputs(inputs, _input_structure(model) if symbolic is not None else list(inputs), exact=True)
    if symbolic is not None:
        names = _input_names([str(tensor.name) for tensor in symbolic])
        fields = [_input_field(model, tensor, name) for tensor, name in zip(symbolic, names, strict=True)]
        if not was_built_by_calling(model):
            return ModelInputs(fields, _input_structure(model), exact=True)
        called = called_inputs(model)
        if called is not None:  # tf-keras loosens the sizes that such a model shows, whenever it is called.
            fields = [replace(field, shape=axes_of(shape)) for field, shape in zip(fields, called.shapes, strict=True)]
        return ModelInputs(fields, _input_structure(model), exact=False, tokens=_embeds(model))
    called = called_inputs(model)
    if called is None:
        raise ModelError(
            f"model {model.name!r} does not say what it takes (subclassed or never called); "
            "name its inputs: --signature name=?,?,1:float32"
        )
    names = _input_names(called.names)
    described = zip(names, called.dtypes, called.shapes, strict=True)
    fields = [Field(name, dtype, axes_of(shape)) for name, dtype, shape in described]
    structure = called.structure if isinstance(called.structure, dict) else fields
    return ModelInputs(fields, structure, exact=False, tokens=_embeds(model))


def _embeds(model: Any) -> bool:
    return any(type(layer).__name__ == "Embedding" for layer in all_layers(model))


def is_symbolic(model: Any) -> bool:
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
    cleaned = [ascii_name(name.partition(":")[0]) for name in names]
    chosen = [name for name in cleaned if not _MADE_UP.fullmatch(name)]
    for position, name in enumerate(cleaned, start=1):
        if _MADE_UP.fullmatch(name):
            name = made_up if made_up not in chosen else f"{made_up}_{position}"
            chosen.insert(position - 1, name)
    return unique_names(chosen)


def ascii_name(name: str) -> str:
    """Returns a name that TensorFlow, ONNX and Python can call a tensor by: of letters, digits and underscores."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    # TensorFlow makes arguments of the names of a signature.
    bare = cleaned.strip("_") or "tensor"
    if bare[0].isdigit():
        return f"tensor_{bare}"
    if keyword.iskeyword(bare) or bare == "self":
        return f"{bare}_"
    return bare if cleaned.startswith("_") else cleaned


def unique_names(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Numbers the names that are there already: an ONNX graph has one name space for inputs and outputs."""
    unique: list[str] = []
    for name in names:
        chosen, number = name, 1
        while chosen.lower() in {name.lower() for name in (*taken, *unique)}:  # TensorFlow tells no case apart.
            number += 1
            chosen = f"{name}_{number}"
        unique.append(chosen)
    return unique


def axes_of(sizes: Sequence[int | None]) -> tuple[int | str, ...]:
    free = (BATCH, TIME)
    return tuple(
        size if size is not None else free[i] if i < len(free) else f"axis_{i}" for i, size in enumerate(sizes)
    )


def _input_field(model: Any, tensor: Any, name: str) -> Field:
    field = Field(name, _dtype_name(tensor.dtype), axes_of(list(tensor.shape)))
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
