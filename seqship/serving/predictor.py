"""Runs a bundle with numpy and onnxruntime alone."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from seqship.errors import BundleError, DataError, DependencyError, ProofError
from seqship.export.bundle import CONTRACT_KEY, ONNX_FILE, read_bundle
from seqship.pipelines.pad import pad_right
from seqship.pipelines.plan import length_octiles, plan_batches
from seqship.pipelines.spec import STATE_PREFIX, Field

Feed = Mapping[str, NDArray[Any]]
Outputs = dict[str, NDArray[Any]]

BATCH_SIZE = 256
"""Most rows run at once: enough to keep the cores busy, few enough to keep long sequences in memory."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Answers for n sequences.

    Attributes:
        outputs: Every output of the model by name, shaped (n, ...).
        classes: Name of the likeliest class of each sequence; None where the model does not classify.
        probabilities: Class scores, shaped (n, classes); None where the model does not classify.
    """

    outputs: dict[str, NDArray[Any]]
    classes: tuple[str, ...] | None = None
    probabilities: NDArray[np.floating] | None = None


class Predictor:
    """A model in onnxruntime that holds its callers to the bundle's contract.

    ```python
    predictor = Predictor("bundles/ecg-gru")
    prediction = predictor.predict([beat_a, beat_b])  # of unequal length
    prediction.classes, prediction.probabilities
    ```

    An instance may be shared between threads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        """Opens a bundle, whose digests are checked, or an ONNX file that seqship wrote.

        Args:
            path: The bundle's directory or the `.onnx` file.
            providers: onnxruntime's execution providers in order of preference; the CPU if left out.
            threads: Threads of one call; onnxruntime's own choice if left out. Small recurrent models gain nothing by
                more than one, which suffers least where the machine has other work.

        Raises:
            BundleError: It is neither.
            DependencyError: The installed onnxruntime lacks a provider.
            ProofError: The bundle's runtimes do not compute the same.
            TamperedError: A file of the bundle is missing or changed.
        """
        available: list[str] = onnxruntime.get_available_providers()
        if missing := sorted(set(providers or ()) - set(available)):
            raise DependencyError(f"onnxruntime has no {missing[0]} here; it has: {', '.join(available)}")
        location = Path(path)
        if location.is_file():
            model, fields = location, None
        else:
            bundle = read_bundle(location)
            if not bundle.equivalent:
                raise ProofError(f"{location} is not proven equivalent; see its report.html")
            if bundle.onnx is None:
                raise BundleError(f"{location} holds no {ONNX_FILE}; export it with --formats saved_model,onnx")
            model, fields = bundle.onnx, (bundle.inputs, bundle.outputs)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # Its errors are raised; they need not be printed, too.
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(
                os.fspath(model), options, providers=list(providers or ["CPUExecutionProvider"])
            )
        except Exception as error:  # onnxruntime's own types derive from Exception alone.
            text = " ".join(str(error).split())
            raise BundleError(f"{model} cannot be opened by onnxruntime: {text[:300]}") from error
        self.inputs, self.outputs = fields or _read_contract(session, model)
        names = [field.name for field in self.outputs]

        def run(feed: Feed) -> Outputs:
            values: list[Any] = list(session.run(names, dict(feed)))
            return dict(zip(names, values, strict=True))

        self._run = run

    @classmethod
    def from_runner(cls, inputs: Sequence[Field], outputs: Sequence[Field], run: Callable[[Feed], Outputs]) -> Self:
        """Returns a predictor that holds callers of another runtime to the same contract.

        Args:
            inputs: Contract of each input.
            outputs: Contract of each output.
            run: Takes arrays by input name, returns arrays by output name.
        """
        predictor = cls.__new__(cls)
        predictor.inputs, predictor.outputs, predictor._run = tuple(inputs), tuple(outputs), run
        return predictor

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, None where the model does not classify."""
        return next((field.classes for field in self.outputs if field.classes), None)

    def predict(self, sequences: Sequence[ArrayLike] | NDArray[Any]) -> Prediction:
        """Answers for sequences, of a model with one input; a stateful one begins each with the state zero.

        Args:
            sequences: A list of n sequences of unequal length, each (time,) or (time, features); or one array (n, time)
                or (n, time, features) in which the contract's pad value marks the steps that are no data.

        Returns:
            The outputs, in the order of the sequences. Outputs with an answer for each step have as many steps as the
            longest sequence; behind a shorter one's end they hold what Keras gives for padding.

        Raises:
            DataError: Values break the contract: another rank or number of features, NaN, out of bounds, a sequence
                without a step; the sequence is named.
        """
        inputs = [field for field in self.inputs if not field.is_state]
        if len(inputs) != 1:
            names = ", ".join(field.name for field in inputs)
            raise DataError(f"the model takes several inputs ({names}); use predict_batch with an array for each")
        field = inputs[0]
        if field.rank < 2 or field.dtype == "string":
            raise DataError(f"the input {field.name!r} is no sequence of numbers; use predict_batch")
        if isinstance(sequences, np.ndarray) and sequences.dtype != object:
            return self.predict_batch({field.name: _padded_array(sequences, field)})
        rows = [_sequence(sequence, index, field) for index, sequence in enumerate(sequences)]
        if not rows:
            return self._prediction(self._empty())
        lengths = np.array([len(row) for row in rows], np.int64)
        stepwise = any(output.has_time for output in self.outputs)
        if stepwise and field.pad_value is None and len(set(lengths.tolist())) > 1:
            raise DataError(
                f"the model answers each step and has no pad value, and the sequences have {lengths.min()} to "
                f"{lengths.max()} steps; give sequences of one length"
            )
        # Batches of similar length: a short sequence does not pay for the steps of a long one.
        boundaries = length_octiles(lengths)
        plan = plan_batches(lengths, epoch=0, seed=0, batch_size=BATCH_SIZE, boundaries=boundaries, shuffle=False)
        outputs: dict[str, NDArray[Any]] = {}
        # Answers to each step have to fit in one array.
        length = int(lengths.max()) if stepwise and field.has_time else _fixed_length(field)
        pad_value = 0.0 if field.pad_value is None else field.pad_value
        for start, stop in zip(plan.offsets[:-1], plan.offsets[1:], strict=True):
            members = plan.rows[start:stop]
            batches = [members] if field.pad_value is not None else _alike(members, lengths)
            for batch in batches:
                values = pad_right(
                    [rows[i] for i in batch], pad_value=pad_value, length=length, dtype=np.dtype(field.dtype)
                )
                for name, value in self._run({field.name: values.reshape(len(batch), -1, *field.shape[2:])}).items():
                    if name.startswith(STATE_PREFIX):
                        continue  # Each sequence is whole: nothing goes on from where it ended.
                    whole = outputs.setdefault(name, np.empty((len(rows), *value.shape[1:]), value.dtype))
                    whole[batch] = value
        return self._prediction(outputs)

    def predict_batch(self, feed: Feed) -> Prediction:
        """Answers for one padded batch.

        The states of a stateful model, `state/<layer>/h` and so on, may be left out: they begin as zeros. To go on with
        the next chunk of the same sequences, hand in what came out under the name with `_out`.

        Args:
            feed: An array for each input, by name, shaped and typed as the contract says.

        Raises:
            DataError: An input is missing, unknown, or has another dtype or shape.
        """
        expected = {field.name: field for field in self.inputs}
        needed = {name for name, field in expected.items() if not field.is_state}
        if set(feed) not in (needed, set(expected)):
            raise DataError(
                f"the model takes {', '.join(sorted(expected))}, got {', '.join(sorted(feed)) or 'nothing'}"
            )
        for name, array in feed.items():
            field = expected[name]
            if not isinstance(array, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise DataError(f"input {name!r} must be a NumPy array, got {type(array).__name__}")
            if array.dtype != np.dtype(object if field.dtype == "string" else field.dtype) or not _fits(
                array.shape, field
            ):
                raise DataError(
                    f"input {name!r} must be {field.dtype} shaped {_shape_text(field)}, "
                    f"got {array.dtype} shaped {array.shape}"
                )
            if field.has_time and not array.shape[1]:
                raise DataError(f"input {name!r} is shaped {array.shape}: no steps; a sequence has at least one")
        rows = len(feed[min(needed)])
        for name, field in expected.items():
            if field.is_state and name in feed and len(feed[name]) not in (1, rows):
                raise DataError(f"state {name!r} has {len(feed[name])} rows; the batch has {rows}")
        if not all(len(feed[name]) for name in needed):
            return self._prediction(self._empty())  # onnxruntime 1.31's GRU reads beyond the end of an empty batch.
        return self._prediction(self._run(feed))

    def _empty(self) -> dict[str, NDArray[Any]]:
        def sizes(field: Field) -> tuple[int, ...]:
            return tuple(size if isinstance(size, int) else 0 for size in field.shape[1:])

        return {field.name: np.empty((0, *sizes(field)), np.dtype(field.dtype)) for field in self.outputs}

    def _prediction(self, outputs: dict[str, NDArray[Any]]) -> Prediction:
        for field in self.outputs:
            if field.classes:
                scores = outputs[field.name]
                return Prediction(outputs, tuple(field.classes[i] for i in scores.argmax(axis=1)), scores)
        return Prediction(outputs)


def _read_contract(session: Any, model: Path) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    text = session.get_modelmeta().custom_metadata_map.get(CONTRACT_KEY)
    if text is None:
        raise BundleError(f"{model} carries no contract: seqship did not write it; open the bundle instead")
    try:
        document = json.loads(text)
        inputs, outputs = (tuple(Field.from_json(field) for field in document[side]) for side in ("inputs", "outputs"))
    except (TypeError, KeyError, ValueError) as error:
        raise BundleError(f"{model} carries a contract that cannot be read: {error}") from None
    return inputs, outputs


def _alike(members: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Groups rows of one length: without a pad value, nothing can be put behind a shorter one."""
    return [members[lengths[members] == length] for length in np.unique(lengths[members])]


def check_sequences(sequences: Sequence[ArrayLike] | NDArray[Any], field: Field) -> tuple[NDArray[Any], ...]:
    """Returns sequences as (time, features) each once they keep the contract.

    Args:
        sequences: What `Predictor.predict` takes.
        field: Contract of the input.

    Raises:
        DataError: Values break the contract; the sequence is named.
    """
    if isinstance(sequences, np.ndarray) and sequences.dtype != object:
        array = _padded_array(sequences, field)
        return tuple(array.reshape(*array.shape[:2], field.step_size))
    return tuple(_sequence(sequence, index, field) for index, sequence in enumerate(sequences))


def _as_dtype(values: ArrayLike, field: Field, what: str) -> NDArray[Any]:
    """Returns numbers in the contract's type; what that type cannot hold is refused, not cut."""
    target = np.dtype(field.dtype)
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":  # NumPy would read texts as numbers, and take half of a complex one.
            raise DataError(f"{what} is no array of numbers: it holds {array.dtype.type.__name__}")
        if target.kind in "iu" and array.dtype.kind == "f" and not np.equal(np.trunc(array), array).all():
            raise DataError(f"{what} holds {array[np.trunc(array) != array][0]:g}; the model takes whole numbers")
        with np.errstate(over="ignore"):  # Too large for float32 is infinite, which is refused with its place.
            return np.ascontiguousarray(array, dtype=target) if array.ndim else array
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} is no array of numbers: {error}") from None


def _fixed_length(field: Field) -> int | None:
    """Returns the number of steps that the model takes, None where it takes any."""
    return int(field.shape[1]) if field.rank > 1 and not field.has_time else None


def _fits(shape: tuple[int, ...], field: Field) -> bool:
    return len(shape) == field.rank and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(shape, field.shape, strict=True)
    )


def _shape_text(field: Field) -> str:
    return f"({', '.join(map(str, field.shape))})"


def _sequence(sequence: ArrayLike, index: int, field: Field) -> NDArray[Any]:
    """Returns one sequence as (time, features) once it keeps the contract."""
    array = _as_dtype(sequence, field, f"sequence {index}")
    features = field.step_size
    shaped: NDArray[Any] | None = None
    if array.ndim == 1:
        shaped = array[:, None]
    elif array.ndim == field.rank - 1:
        shaped = array.reshape(len(array), math.prod(array.shape[1:]))
    if shaped is None or (len(shaped) and shaped.shape[1] != features):
        raise DataError(f"sequence {index} has shape {array.shape}; the model takes (time, {features})")
    if not len(shaped):
        raise DataError(f"sequence {index} is empty; a sequence has at least one step")
    length = _fixed_length(field)
    if length is not None and (len(shaped) > length or (len(shaped) < length and field.pad_value is None)):
        raise DataError(f"sequence {index} has {len(shaped)} steps; the model takes {length}")
    if field.pad_value is not None and (padding := np.all(shaped == field.pad_value, axis=1)).any():
        step = int(padding.argmax())
        raise DataError(
            f"sequence {index} holds the pad value {field.pad_value:g} at step {step}, which would be ignored; "
            "cut the padding off, or give one padded array"
        )
    _check_values(shaped, field, lambda at: f"sequence {index} at step {int(at[0])}")
    return shaped


def _padded_array(array: NDArray[Any], field: Field) -> NDArray[Any]:
    """Returns one padded array as the model's input once it keeps the contract."""
    given = array.shape
    if array.ndim == field.rank - 1 and field.step_size == 1:
        array = array[..., None]
    if not _fits(array.shape, field):
        raise DataError(f"the array has shape {given}; the model takes {_shape_text(field)}")
    if array.shape[1] == 0:
        raise DataError(f"the array has shape {given}: no steps; a sequence has at least one")
    array = _as_dtype(array, field, "the array")
    checked = array.reshape(*array.shape[:2], field.step_size)
    if field.pad_value is not None:
        padding = np.all(checked == field.pad_value, axis=2)
        if len(padding) and (empty := padding.all(axis=1)).any():
            raise DataError(f"sequence {int(empty.argmax())} is all padding; a sequence has at least one step")
        checked = np.where(padding[..., None], field.minimum or 0.0, checked)
    _check_values(checked, field, lambda at: f"sequence {at[0]} at step {at[1]}")
    return array


def _check_values(values: NDArray[Any], field: Field, place: Callable[[NDArray[np.int64]], str]) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        at = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{place(at)} is {values[tuple(at)]}; values are finite numbers")
    low = -np.inf if field.minimum is None else field.minimum
    high = np.inf if field.maximum is None else field.maximum
    outside = (values < low) | (values > high)
    if outside.any():
        at = np.argwhere(outside)[0]
        raise DataError(
            f"{place(at)} is {values[tuple(at)]:g}, outside {low:g}..{high:g}; "
            f"the model takes: {field.unit or 'no unit'}"
        )
