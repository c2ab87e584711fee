"""Cases as a bundle keeps them: inputs, what is expected of them, and how far an export may be from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.cases import Case, make_feed
from seqship.export.oracle import Measured, Oracle, measure
from seqship.export.runners import Feed, Runner
from seqship.export.tolerance import ROUNDING
from seqship.pipelines.spec import STATE_PREFIX, Field
from seqship.progress import Progress


@dataclass(frozen=True, eq=False)
class RecordedCase:
    """Inputs and what the reference made of them, kept in the bundle so that it can be checked without the model.

    Attributes:
        case: Name of the case.
        feed: Inputs by name.
        expected: Outputs by name: the float64 oracle's, in the dtypes of the model; Keras' own where there is none.
            None at all where Keras refuses the inputs, a token id that is too large: so must an export.
        limits: How far each output may be from that, in its own unit; a fixed tolerance holds for those without one.
        undetermined: Elements of an output that float32 leaves open, of which nothing is demanded; shaped like it.
    """

    case: str
    feed: Feed
    expected: Mapping[str, NDArray[Any]]
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    undetermined: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict[str, NDArray[np.bool_]])

    @property
    def finite(self) -> bool:
        """Whether no input holds a NaN or an infinity."""
        return all(np.isfinite(value).all() for value in self.feed.values() if value.dtype.kind == "f")

    def demanded(self, output: str, actual: NDArray[Any] | None) -> NDArray[Any] | None:
        """Returns what a runtime gives, with what is expected in the place of all that float32 leaves open.

        Args:
            output: Name of the output.
            actual: What the runtime gives for it.
        """
        left_open = self.undetermined.get(output)
        if left_open is None or actual is None or actual.shape != left_open.shape:
            return actual
        return np.where(left_open, self.expected[output], actual)


def record_cases(
    cases: Sequence[Case],
    inputs: Sequence[Field],
    reference: Runner,
    oracle: Oracle | None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[RecordedCase, ...]:
    """Runs the cases in Keras and in its float64 twin, and says how far an export may be from it in each.

    Args:
        cases: The cases.
        inputs: Contract of each input.
        reference: The Keras model.
        oracle: Its float64 twin; None where it has none.
        seed: Seed of the inputs.
        progress: Told how far it is.
    """
    feeds = [(case, make_feed(case, inputs, seed=seed)) for case in cases]
    return record_feeds(feeds, reference, oracle, progress=progress)


def record_feeds(
    feeds: Sequence[tuple[Case, Feed]],
    reference: Runner,
    oracle: Oracle | None,
    *,
    scales_of: Sequence[RecordedCase] = (),
    progress: Progress | None = None,
) -> tuple[RecordedCase, ...]:
    """Runs inputs in Keras and in its float64 twin, and says how far an export may be from it in each.

    Args:
        feeds: The inputs, and the case that each is.
        reference: The Keras model.
        oracle: Its float64 twin; None where it has none.
        scales_of: Cases recorded before, which say how large an output is, too.
        progress: Told how far it is.

    Raises:
        ModelError: The model cannot be run on a feed whose values it ought to take.
    """
    measured: list[tuple[Case, Feed, dict[str, Measured]]] = []
    for done, (case, feed) in enumerate(feeds, start=1):
        try:
            found = measure(feed, reference, oracle)
        except ModelError:
            # Not every model takes a NaN, and few a token id that is too large: then exports are not to take that.
            if case.values not in ("nan", "infinite", "out-of-vocabulary"):
                raise
            found = {}
        if case.state == "zero":  # A pure function, which gives no state either.
            found = {name: value for name, value in found.items() if not name.startswith(STATE_PREFIX)}
        if found or case.values == "out-of-vocabulary":
            measured.append((case, feed, found))
        if progress:
            progress("running the cases in Keras", done, len(feeds))
    scales: dict[tuple[str, str], float] = {}
    for recorded in scales_of:
        for name, expected in recorded.expected.items():
            if name in recorded.limits and "values=" not in recorded.case:
                largest = _largest_number(expected)
                scales["data", name] = max(scales.get(("data", name), 0.0), largest)
    for case, _, found in measured:
        for name, one in found.items():
            scales[case.values, name] = max(scales.get((case.values, name), 0.0), one.scale)
    # An output of 1e-20 where the input is 1e-20 says nothing of how exact the output need be.
    for (values, name), scale in list(scales.items()):
        scales[values, name] = max(scale, scales.get(("data", name), 0.0))
    return tuple(
        RecordedCase(
            case.name,
            feed,
            # Words are bytes, not objects, which a file would have to pickle.
            {
                name: one.expected.astype(np.bytes_) if one.expected.dtype == object else one.expected
                for name, one in found.items()
            },
            {
                name: ROUNDING.limit(one.error, scales[case.values, name]).largest
                for name, one in found.items()
                if one.error is not None
            },
            {name: one.undetermined for name, one in found.items() if one.undetermined is not None},
        )
        for case, feed, found in measured
    )


def _largest_number(values: NDArray[Any]) -> float:
    """Returns the largest finite size of an output; 0 of whole numbers and of words, which are right or wrong."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) if values.dtype.kind == "f" else 0.0


def save_recorded(recorded: Sequence[RecordedCase], path: Path) -> None:
    """Writes recorded cases as one compressed `.npz`, with no pickled objects."""
    arrays: dict[str, NDArray[Any]] = {}
    for case in recorded:
        arrays |= {f"{case.case}|in|{name}": value for name, value in case.feed.items()}
        arrays |= {f"{case.case}|out|{name}": value for name, value in case.expected.items()}
        arrays |= {f"{case.case}|limit|{name}": np.array(value) for name, value in case.limits.items()}
        arrays |= {f"{case.case}|open|{name}": value for name, value in case.undetermined.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_recorded(path: Path) -> tuple[RecordedCase, ...]:
    """Reads what `save_recorded` wrote."""
    sides: dict[str, dict[str, dict[str, NDArray[Any]]]] = {"in": {}, "out": {}, "open": {}}
    limits: dict[str, dict[str, float]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            case, direction, name = key.split("|")
            if direction == "limit":
                limits.setdefault(case, {})[name] = float(arrays[key])
                continue
            sides[direction].setdefault(case, {})[name] = arrays[key]
    return tuple(
        RecordedCase(case, feed, sides["out"].get(case, {}), limits.get(case, {}), sides["open"].get(case, {}))
        for case, feed in sides["in"].items()
    )
