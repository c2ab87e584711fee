"""Windows of a time series as the examples of a recipe, scaled by what the training span holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.chronological import Span, chronological_split
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.scaling import Kind, Scaling, fit_scaling
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.series import Series

READ_BATCH = 1_024


@dataclass(frozen=True, eq=False)
class WindowExamples:
    """Windows of one span of a series.

    A model is trained on scaled values, and exported with its scaling: what it is tested on is raw.

    Attributes:
        series: The raw series.
        span: Steps to take windows from.
        name: Name of the model's input.
        options: Arguments of `windows`: length, horizon, stride, shift, targets, columns, missing.
        scaling: Applied to inputs and targets where batches are made for training; None leaves them raw.
    """

    series: Series
    span: Span
    name: str
    options: Mapping[str, Any]
    scaling: Scaling | None = None

    @property
    def source(self) -> str:
        return self.series.source

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        from seqship.pipelines.windowing import windows

        return len(windows(self.series, span=self.span, batch_size=1, **self.options))

    @cached_property
    def _scaled(self) -> Series:
        if self.scaling is None:
            return self.series
        return replace(self.series, values=self.scaling.apply(self.series.values, self.series.columns))

    def batches(self, *, epoch: int, seed: int, batch_size: int, shuffle: bool = True, start_batch: int = 0) -> Any:
        """Returns the batches of one epoch, scaled."""
        from seqship.pipelines.windowing import windows

        return windows(
            self._scaled,
            span=self.span,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            epoch=epoch,
            start_batch=start_batch,
            **self.options,
        )

    def digest(self) -> str:
        """Returns a digest of the span's values and of the windows' form."""
        digest = hashlib.sha256(np.ascontiguousarray(self.span.values_of(self._scaled)).tobytes())
        digest.update(repr(sorted(self.options.items())).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        from seqship.pipelines.windowing import windows

        raw: Any = windows(self.series, span=self.span, batch_size=READ_BATCH, **self.options)
        inputs, targets = zip(*raw.as_numpy_iterator(), strict=True)
        return np.concatenate(inputs), np.concatenate(targets)

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns all raw windows, read once: inputs (n, length, columns), targets as `windows` gives them."""
        return self._arrays

    def _as_rows(self) -> ArrayExamples:
        inputs, targets = self.arrays()
        return ArrayExamples({self.name: inputs}, targets, self.source)

    def feeds(self, batch_size: int) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """Yields raw windows in their order."""
        return self._as_rows().feeds(batch_size)

    def rows(self, most: int) -> Sequences | None:
        """Returns the first raw windows as sequences."""
        return self._as_rows().rows(most)


@dataclass(frozen=True, eq=False)
class SplitSeries:
    """A series with windows of each of its spans.

    Attributes:
        train: Windows that are trained on.
        validation: Windows that stop the training.
        test: Windows that are looked at once.
        scaling: What the training span's values were scaled by; None where they are raw.
    """

    train: WindowExamples
    validation: WindowExamples
    test: WindowExamples
    scaling: Scaling | None = None


def split_windows(
    series: Series,
    *,
    name: str,
    scaling: Kind = "none",
    train: float = 0.7,
    validation: float = 0.1,
    inputs_reach_back: bool = False,
    **options: Any,
) -> SplitSeries:
    """Splits a series in time and frames each span, scaled by the training span alone.

    Args:
        series: The raw series.
        name: Name of the model's input.
        scaling: "standard", "minmax" or "none".
        train: Share of the steps to train on.
        validation: Share of the steps to validate on.
        inputs_reach_back: As for `chronological_split`.
        options: Arguments of `windows`.

    Raises:
        DataError: As for `chronological_split`, `fit_scaling` and `windows`.
    """
    spans = chronological_split(series, train=train, validation=validation, inputs_reach_back=inputs_reach_back)
    fitted = None if scaling == "none" else fit_scaling(spans[0].values_of(series), scaling, series.columns)
    one, other, last = (WindowExamples(series, span, name, options, fitted) for span in spans)
    return SplitSeries(one, other, last, fitted)
