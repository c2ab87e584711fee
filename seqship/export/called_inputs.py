"""What a model takes that does not say so itself, but has been called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from seqship.models.flavour import flavour_of


@dataclass(frozen=True, eq=False)
class CalledInputs:
    """The inputs of the call that built a model.

    Attributes:
        structure: They as the model takes them: one, a list, or a dict.
        names: Name of each, in the order of `structure`.
        shapes: Shape of each; the sizes are those of that call.
        dtypes: NumPy name of each one's element type.
    """

    structure: Any
    names: list[str]
    shapes: list[tuple[int | None, ...]]
    dtypes: list[str]


def called_inputs(model: Any) -> CalledInputs | None:
    """Returns what Keras remembers of the call that built a model; None where it was never called.

    tf-keras keeps a `TensorSpec` of each input for saving, Keras 3 the shapes alone: there the dtype is the model's own
    input dtype.
    """
    import tensorflow as tf

    if flavour_of(model).version == 2:
        specs = getattr(model, "_saved_model_inputs_spec", None)
        if specs is None:
            return None
        found = tf.nest.flatten(specs)
        shapes = [tuple(spec.shape.as_list()) for spec in found]
        return CalledInputs(specs, [spec.name or "inputs" for spec in found], shapes, [s.dtype.name for s in found])
    shapes_of = getattr(model, "_build_shapes_dict", None) or {}
    if not shapes_of:
        return None
    structure = next(iter(shapes_of.values())) if len(shapes_of) == 1 else dict(shapes_of)
    if _is_shape(structure):
        return CalledInputs(structure, ["inputs"], [tuple(structure)], [model.input_dtype])
    if isinstance(structure, dict):
        names = sorted(structure)  # The order of tf.nest.
        shapes = [tuple(structure[name]) for name in names]
        structure = {name: name for name in names}
    else:
        names, shapes = ["inputs"] * len(structure), [tuple(shape) for shape in structure]
    return CalledInputs(structure, names, shapes, [model.input_dtype] * len(shapes))


def was_built_by_calling(model: Any) -> bool:
    """Whether a Sequential has no Input of its own: the sizes that it shows are those of the first call."""
    flavour = flavour_of(model)
    if not isinstance(model, flavour.keras.Sequential):
        return False
    if flavour.version == 2:
        return not getattr(model, "_has_explicit_input_shape", True)
    # Keras 3 puts an Input before the layers when it is called; one without a name, of a fixed batch size, is such.
    first = model._layers[0]
    is_input = isinstance(first, flavour.keras.layers.InputLayer) and first.batch_shape[0] is not None
    return is_input and re.fullmatch(r"input_layer(_\d+)?", str(first.name)) is not None


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(size is None or isinstance(size, int) for size in value)
