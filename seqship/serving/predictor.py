"""Runs a bundle with numpy and onnxruntime alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from seqship.errors import BundleError, DataError, DependencyError, ProofError
from seqship.export.bundle import INT8_FILE, ONNX_FILE, Bundle, read_bundle, read_contract
from seqship.pipelines.pad import pad_right
from seqship.pipelines.plan import length_octiles, plan_batches
from seqship.pipelines.signature_contracts import score_of_each_class
from seqship.pipelines.spec import STATE_PREFIX, Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.serving.sequence_checks import checked_array, checked_sequence, fits, fixed_length, shape_text

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
        int8: bool = False,
    ) -> None:
        """Opens a bundle, whose digests are checked, or an ONNX file that seqship wrote.

        Args:
            path: The bundle's directory or the `.onnx` file.
            providers: onnxruntime's execution providers in order of preference; the CPU if left out.
            threads: Threads of one call; onnxruntime's own choice if left out. Small recurrent models gain nothing by
                more than one, which suffers least where the machine has other work.
            int8: Whether the bundle's file with int8 weights is opened, if that has passed its own proof.

        Raises:
            BundleError: It is neither.
            DependencyError: The installed onnxruntime lacks a provider.
            ProofError: The bundle's runtimes do not compute the same, or its int8 file is not what int8 makes of it.
            TamperedError: A file of the bundle is missing or changed.
        """
        available: list[str] = onnxruntime.get_available_providers()
        if missing := sorted(set(providers or ()) - set(available)):
            raise DependencyError(f"onnxruntime has no {missing[0]} here; it has: {', '.join(available)}")
        location = Path(path)
        self.vectorizer: TextVectorizer | None = None
        if location.is_file():
            if int8:
                raise BundleError(f"int8 is a choice between a bundle's files, {location} is one file; give the bundle")
            model, fields = location, None
        else:
            bundle = read_bundle(location)
            if not bundle.equivalent:
                raise ProofError(f"{location} is not proven equivalent; see its report.html")
            if bundle.onnx is None:
                raise BundleError(f"{location} holds no {ONNX_FILE}; export it with --formats saved_model,onnx")
            model, fields = _int8_file(bundle) if int8 else bundle.onnx, (bundle.inputs, bundle.outputs)
            self.vectorizer = bundle.vectorizer()
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
        metadata = session.get_modelmeta().custom_metadata_map
        self.inputs, self.outputs = fields or read_contract(metadata, model, instead="open the bundle instead")
        names = [field.name for field in self.outputs]

        def run(feed: Feed) -> Outputs:
            values: list[Any] = list(session.run(names, dict(feed)))
            return dict(zip(names, values, strict=True))

        self._run = run

    @classmethod
    def from_runner(
        cls,
        inputs: Sequence[Field],
        outputs: Sequence[Field],
        run: Callable[[Feed], Outputs],
        *,
        vectorizer: TextVectorizer | None = None,
    ) -> Self:
        """Returns a predictor that holds callers of another runtime to the same contract.

        Args:
            inputs: Contract of each input.
            outputs: Contract of each output.
            run: Takes arrays by input name, returns arrays by output name.
            vectorizer: What makes token ids of texts, for a text model.
        """
        predictor = cls.__new__(cls)
        predictor.inputs, predictor.outputs, predictor._run = tuple(inputs), tuple(outputs), run
        predictor.vectorizer = vectorizer
        return predictor

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, None where the model does not classify."""
        return None if self._scoring is None else self._scoring.classes

    def predict(self, sequences: Sequence[ArrayLike | str | bytes] | NDArray[Any]) -> Prediction:
        """Answers for sequences, of a model with one input; a stateful one begins each with the state zero.

        Args:
            sequences: A list of n sequences of unequal length, each (time,) or (time, features); or one array (n, time)
                or (n, time, features) in which the contract's pad value marks the steps that are no data. For a bundle
                with a vocabulary, a list of n texts.

        Returns:
            The outputs, in the order of the sequences. Outputs with an answer for each step have as many steps as the
            longest sequence; behind a shorter one's end they hold what Keras gives for padding.

        Raises:
            DataError: Values break the contract: another rank or number of features, NaN, out of bounds, a sequence
                without a step, a text without a word; the sequence is named.
        """
        inputs = [field for field in self.inputs if not field.is_state]
        if len(inputs) != 1:
            names = ", ".join(field.name for field in inputs)
            raise DataError(f"the model takes several inputs ({names}); use predict_batch with an array for each")
        field = inputs[0]
        if field.rank < 2 or field.dtype == "string":
            raise DataError(f"the input {field.name!r} is no sequence of numbers; use predict_batch")
        if isinstance(sequences, np.ndarray) and sequences.dtype != object:
            return self.predict_batch({field.name: checked_array(sequences, field)})
        rows = [checked_sequence(self._ids(row, index), index, field) for index, row in enumerate(sequences)]
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
        length = int(lengths.max()) if stepwise and field.has_time else fixed_length(field)
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
            if array.dtype != np.dtype(object if field.dtype == "string" else field.dtype) or not fits(
                array.shape, field
            ):
                raise DataError(
                    f"input {name!r} must be {field.dtype} shaped {shape_text(field)}, "
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

    def _ids(self, row: ArrayLike | str | bytes, index: int) -> ArrayLike:
        """Returns the token ids of a text, and what is no text as it is."""
        if not isinstance(row, str | bytes):
            return row
        if self.vectorizer is None:
            raise DataError(f"sequence {index} is a text, and there is no vocabulary here; give numbers, or the bundle")
        ids = self.vectorizer.ids(row)
        if not len(ids):
            raise DataError(f"text {index} has no word: {row[:40]!r}; leave it out")
        return ids

    def _empty(self) -> dict[str, NDArray[Any]]:
        def sizes(field: Field) -> tuple[int, ...]:
            return tuple(size if isinstance(size, int) else 0 for size in field.shape[1:])

        return {field.name: np.empty((0, *sizes(field)), np.dtype(field.dtype)) for field in self.outputs}

    @property
    def _scoring(self) -> Field | None:
        """The output that has the scores of classes."""
        return next((field for field in self.outputs if field.classes and field.rank == 2), None)

    def _prediction(self, outputs: dict[str, NDArray[Any]]) -> Prediction:
        field, names = self._scoring, self.classes
        if field is None or names is None:
            return Prediction(outputs)
        scores = score_of_each_class(outputs[field.name])
        return Prediction(outputs, tuple(names[i] for i in scores.argmax(axis=1)), scores)


def _int8_file(bundle: Bundle) -> Path:
    if bundle.int8 is None:
        raise BundleError(f"{bundle.path} holds no {INT8_FILE}; export it with --quantize int8")
    if not bundle.int8_passed:
        raise ProofError(f"{bundle.int8} is not what int8 makes of the model; see the bundle's report.json")
    return bundle.int8


def _alike(members: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Groups rows of one length: without a pad value, nothing can be put behind a shorter one."""
    return [members[lengths[members] == length] for length in np.unique(lengths[members])]
