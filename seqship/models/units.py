"""Models in the units of their data: trained on scaled values, exported with the scaling inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seqship.models.flavour import Flavour
from seqship.pipelines.scaling import Scaling


def in_units(
    model: Any,
    flavour: Flavour,
    scaling: Scaling | None,
    *,
    name: str,
    input_columns: Sequence[str],
    target_column: str,
    output: str,
) -> Any:
    """Returns a model that takes and gives raw values: it scales, runs the trained model and scales back.

    Every runtime then has the same contract, in the units of the data, and no caller can forget the scaling.

    Args:
        model: Trained on scaled values, (batch, time, columns) to one column's values.
        flavour: Its Keras.
        scaling: What the values were scaled by; None returns the model.
        name: Name of the input.
        input_columns: Columns of the input.
        target_column: Column of the output.
        output: Name of the output.
    """
    if scaling is None:
        return model
    layers = flavour.keras.layers
    offsets, scales = _of(scaling, input_columns)
    (offset,), (scale,) = _of(scaling, [target_column])
    shape = tuple(model.input_shape[1:])
    return flavour.keras.Sequential(
        [
            layers.Input(shape, name=name),
            layers.Normalization(mean=offsets, variance=[value**2 for value in scales], name="scaling"),
            model,
            layers.Rescaling(scale, offset=offset, name=output),
        ],
        name=f"{model.name}_in_units",
    )


def _of(scaling: Scaling, columns: Sequence[str]) -> tuple[list[float], list[float]]:
    """Returns the offset and the scale of each column."""
    at = [scaling.columns.index(column) for column in columns]
    return [scaling.offset[i] for i in at], [scaling.scale[i] for i in at]
