"""How well a forecaster does on the test span, against the forecast that everything stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.recipe import Evaluation, Figure, Outputs, Recipe, RecipeData, histogram
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.window_examples import WindowExamples
from seqship.pipelines.window_plan import WindowFrame, first_starts

SHOWN_STEPS = 400
"""Most steps of a series that a figure shows of each side of the split."""
SHOWN_FORECASTS = 3


def forecast(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:  # noqa: ARG001
    """Compares forecasts with what came, and with the naive forecast: the last value of the target that was seen.

    Where the model answers every step, its answer to the last one counts. Targets are (n,), (n, horizon), or for every
    step (n, length, horizon).
    """
    inputs, targets = tested_arrays(data)
    predicted = np.asarray(outputs[recipe.outputs[0].name], np.float64)
    predicted, wanted = _last_step(predicted, targets), _last_step(targets.astype(np.float64), targets)
    wanted = wanted.reshape(len(wanted), -1)
    predicted = predicted.reshape(wanted.shape)
    naive = np.repeat(_last_value(inputs, data)[:, None], wanted.shape[1], axis=1)
    errors, naive_errors = predicted - wanted, naive - wanted
    metrics = {
        "test_mse": float(np.mean(errors**2)),
        "test_rmse": float(np.sqrt(np.mean(errors**2))),
        "test_mae": float(np.mean(np.abs(errors))),
        "naive_mse": float(np.mean(naive_errors**2)),
        "naive_mae": float(np.mean(np.abs(naive_errors))),
        "test_rows": len(wanted),
    }
    metrics["beats_naive"] = metrics["test_mse"] < metrics["naive_mse"]
    unit = recipe.outputs[0].unit
    lines = (
        (
            "forecast",
            f"mse {metrics['test_mse']:.4g}, mae {metrics['test_mae']:.4g} on {len(wanted):,} test windows"
            + (f" ({unit})" if unit else ""),
        ),
        (
            "naive",
            f"mse {metrics['naive_mse']:.4g}, mae {metrics['naive_mae']:.4g}: the forecast "
            f"{'beats' if metrics['beats_naive'] else 'does NOT beat'} the last value",
        ),
    )
    figures = (_figure(data, predicted, wanted, unit), histogram(errors, title="Errors", x_label=unit or "error"))
    return Evaluation(metrics, lines, figures=figures)


def tested_arrays(data: RecipeData) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns the inputs (n, length, columns) and targets of the test examples."""
    test = data.test
    if isinstance(test, WindowExamples):
        return test.arrays()
    if isinstance(test, ArrayExamples) and len(test.inputs) == 1:
        return next(iter(test.inputs.values())), test.targets
    raise TypeError("the test examples are no windows of one input")


def _last_step(values: NDArray[np.float64], targets: NDArray[Any]) -> NDArray[np.float64]:
    return values[:, -1] if targets.ndim == 3 and values.ndim == 3 else values


def _last_value(inputs: NDArray[Any], data: RecipeData) -> NDArray[np.float64]:
    """Returns the target's last value that each window shows; with scaling, before it."""
    column = 0
    if isinstance(data.test, WindowExamples):
        named = data.test.options.get("input_columns") or data.test.series.columns
        (target,) = data.test.options.get("target_columns") or data.test.series.columns[:1]
        column = list(named).index(target)
    return np.asarray(inputs[:, -1, column], np.float64)


def _figure(data: RecipeData, predicted: NDArray[np.float64], wanted: NDArray[np.float64], unit: str) -> Figure:
    """Returns the series with its forecasts and the split, or a few windows where there is no one series."""
    test = data.test
    whole = test.options.get("missing", "error") == "error" if isinstance(test, WindowExamples) else False
    if isinstance(test, WindowExamples) and whole and wanted.shape[1] == 1 and len(test.series.borders) == 2:
        (target,) = test.options.get("target_columns") or test.series.columns[:1]
        column = test.series.column_indices([target])[0]
        stop = int(test.span.stops[0])
        last = min(len(wanted), SHOWN_STEPS)
        begin = int(test.span.starts[0])
        first = max(0, begin - SHOWN_STEPS)
        steps = np.arange(first, min(stop, begin + SHOWN_STEPS))
        truth = test.series.values[steps, column].astype(float)
        given = ("length", "horizon", "shift", "stride", "targets")
        frame = WindowFrame(**{name: test.options[name] for name in given if name in test.options})
        at = int(first_starts(test.span, frame)[0]) + np.arange(last) * frame.stride + frame.length - 1 + frame.shift
        found = np.full(len(steps), np.nan)
        inside = (at >= first) & (at <= steps[-1])
        found[at[inside] - first] = predicted[:last][inside, 0]
        lines = {"series": truth, "forecast": found}
        marks = {"test begins": float(begin)}
        return Figure("lines", "Series and forecast", _lines(steps, lines, marks, "step", unit))
    shown = np.linspace(0, len(wanted) - 1, SHOWN_FORECASTS).astype(int)
    inputs, _ = tested_arrays(data)
    past = np.asarray(inputs[shown[0], :, 0], float)
    length, horizon = len(past), wanted.shape[1]
    lines = {
        "past": np.concatenate([past, np.full(horizon, np.nan)]),
        "what came": np.concatenate([np.full(length - 1, np.nan), past[-1:], wanted[shown[0]]]),
        "forecast": np.concatenate([np.full(length - 1, np.nan), past[-1:], predicted[shown[0]]]),
    }
    content = _lines(np.arange(length + horizon), lines, {"forecast begins": float(length)}, "step", unit)
    return Figure("lines", "One window and its forecast", content)


def _lines(
    x: NDArray[Any], lines: dict[str, NDArray[np.float64]], marks: dict[str, float], x_label: str, y_label: str
) -> dict[str, Any]:
    """Returns the content of a figure; what is no number is None, as JSON has it."""

    def listed(values: NDArray[np.float64]) -> list[float | None]:
        return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]

    return {
        "x": [float(value) for value in x],
        "lines": {name: listed(values) for name, values in lines.items()},
        "marks": marks,
        "x_label": x_label,
        "y_label": y_label,
    }
