"""Forecasters that see a window relative to its last step, and say how far the target moves from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seqship.models.flavour import Flavour
from seqship.pipelines.scaling import Scaling

MEMORY = "memory"
_CHANGE, _LEVELS = "change", "levels"


def relative_forecaster(
    flavour: Flavour,
    *,
    length: int,
    features: int,
    horizon: int,
    memory: Callable[[Any], Any],
    input_name: str,
    output_name: str,
    name: str,
    levels: bool,
) -> Any:
    """Returns a model whose forecast is the target's last value and a change.

    It takes (batch, length, features) float32 and gives (batch, horizon) float32. A level that training never saw (a
    share that has doubled since) would saturate the gates; a change of its size it has seen. The last layer begins at
    zero, so that before training the forecast is the last value.

    Args:
        flavour: The Keras.
        length: Steps of the window.
        features: Columns of the input, the target first.
        horizon: Steps of the forecast.
        memory: The recurrent layer, from a sequence to a vector, of the name `MEMORY`.
        input_name: Name of the input.
        output_name: Name of the output.
        name: Name of the model.
        levels: Whether the recurrent layer sees the values themselves beside the changes, bounded by a tanh.
    """
    layers = flavour.keras.layers
    window = layers.Input((length, features), name=input_name)
    last = layers.Cropping1D((length - 1, 0), name="last_step")(window)
    seen: Any = layers.Subtract(name="changes")([window, last])
    if levels:
        bounded = layers.Activation("tanh", name=_LEVELS)(window)
        seen = layers.Concatenate(name="changes_and_levels")([seen, bounded])
    change = layers.Dense(horizon, kernel_initializer="zeros", name=_CHANGE)(memory(seen))
    forecast = layers.Add(name=output_name)([change, _target(flavour, last, features)])
    return flavour.keras.Model(window, forecast, name=name)


def relative_in_units(model: Any, flavour: Flavour, scaling: Scaling, *, input_name: str, output_name: str) -> Any:
    """Returns a relative forecaster that takes and gives raw values, of the same layers.

    Changes are taken of the raw values, then scaled, and the raw last value is added at the end. Scaled first, what is
    far from zero beside its deviation (a pressure, a price) would lose its last digits, in each runtime others.

    Args:
        model: What `relative_forecaster` made, trained on scaled values.
        flavour: Its Keras.
        scaling: What the values were scaled by, its columns in the order of the input, the target first.
        input_name: Name of the input.
        output_name: Name of the output.
    """
    layers = flavour.keras.layers
    length, features = (int(size) for size in model.input_shape[1:])
    mean, variance = list(scaling.offset), [scale**2 for scale in scaling.scale]
    window = layers.Input((length, features), name=input_name)
    last = layers.Cropping1D((length - 1, 0), name="last_step")(window)
    changes = layers.Subtract(name="changes")([window, last])
    seen: Any = layers.Normalization(mean=[0.0] * features, variance=variance, name="scaled_changes")(changes)
    names = [layer.name for layer in model.layers]
    if _LEVELS in names:
        scaled = layers.Normalization(mean=mean, variance=variance, name="scaled_levels")(window)
        bounded = layers.Activation("tanh", name=_LEVELS)(scaled)
        seen = layers.Concatenate(name="changes_and_levels")([seen, bounded])
    change = model.get_layer(_CHANGE)(model.get_layer(MEMORY)(seen))
    moved = layers.Rescaling(scaling.scale[0], name="change_in_units")(change)
    forecast = layers.Add(name=output_name)([moved, _target(flavour, last, features)])
    return flavour.keras.Model(window, forecast, name=f"{model.name}_in_units")


def _target(flavour: Flavour, step: Any, features: int) -> Any:
    """Returns the first column of (batch, 1, features), as (batch, 1): cropped as if the columns were steps."""
    layers = flavour.keras.layers
    if features > 1:
        columns = layers.Permute((2, 1), name="columns")(step)
        step = layers.Cropping1D((0, features - 1), name="target_column")(columns)
    return layers.Flatten(name="last_target")(step)
