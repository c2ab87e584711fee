"""The pipeline from files to files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam  # pyright: ignore[reportMissingImports]
import numpy as np
from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

from seqship.errors import DataError
from seqship.pipelines.spec import Field
from seqship.serving.scoring.failures import pipeline_failures
from seqship.serving.scoring.handler import CLASS, PROBABILITIES
from seqship.serving.scoring.input_parts import parts_of
from seqship.serving.scoring.input_records import FILE, ID, LINE, RECORD, Broken, InputFormat, read_part
from seqship.serving.scoring.output_directory import ERRORS, PREDICTIONS
from seqship.serving.scoring.transform import REFUSED, Score

_COUNTS = "counts.json"
_SUFFIX = ".jsonl"


def check_outputs(outputs: Sequence[Field]) -> None:
    """Refuses a model whose outputs have the names of what else stands in a line.

    Raises:
        DataError: One has.
    """
    for field in outputs:
        if field.name in (ID, FILE, LINE, RECORD, CLASS, PROBABILITIES) and not (field.classes and field.rank == 2):
            raise DataError(
                f"the output {field.name!r} has the name of a key of each line; use serving.scoring.Score in a pipeline"
            )


def run_pipeline(
    transform: Score, files: Sequence[str], how: InputFormat, directory: str, *, runner: Any, options: Any
) -> tuple[int, int]:
    """Answers for all files, and returns how many records were answered and how many refused.

    Only the names of parts, and those of files, pass from one stage to another: a worker reads, answers and writes a
    part at a time, so that memory does not grow with the files.

    Raises:
        PipelineError: It failed.
    """
    with pipeline_failures():
        path = FileSystems.join(directory, _COUNTS)
        pipeline = beam.Pipeline(runner=runner, options=options)
        records = (
            pipeline
            | "Files" >> beam.Create(list(files), reshuffle=False)
            | "SpreadFiles" >> beam.Reshuffle()
            | "CutIntoParts" >> beam.FlatMap(_parts, how)
            | "SpreadParts" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_records, how).with_outputs(REFUSED, main="records")
        )
        answers, unanswered = records.records | "Score" >> transform.with_exception_handling()
        refused = (records[REFUSED], unanswered) | "AllRefused" >> beam.Flatten()
        _write(answers | "AnswerLine" >> beam.MapTuple(_answer_line), directory, PREDICTIONS)
        _write(refused | "ErrorLine" >> beam.MapTuple(_error_line), directory, ERRORS, skip_if_empty=True)
        counts = [
            pcoll | f"Count{name}" >> beam.combiners.Count.Globally()
            for name, pcoll in (("Answers", answers), ("Refused", refused))
        ]
        _ = (
            pipeline
            | "Once" >> beam.Create([None], reshuffle=False)
            | "WriteCounts" >> beam.Map(_write_counts, path, *(beam.pvalue.AsSingleton(count) for count in counts))
        )
        pipeline.run().wait_until_finish()
        with FileSystems.open(path) as file:
            answered, unread = json.loads(file.read())
        FileSystems.delete([path])
        return answered, unread


def _write(lines: Any, directory: str, prefix: str, *, skip_if_empty: bool = False) -> None:
    path = FileSystems.join(directory, prefix)
    _ = lines | f"Write-{prefix}" >> beam.io.WriteToText(path, _SUFFIX, skip_if_empty=skip_if_empty)


def _parts(path: str, how: InputFormat) -> Any:
    return parts_of(path, lines=how.is_cut_at_lines(path))


def _records(part: Any, how: InputFormat) -> Iterator[Any]:
    for key, value in read_part(part, how):
        if isinstance(value, Broken):
            yield beam.pvalue.TaggedOutput(REFUSED, (key, value.reason))
        else:
            yield key, value


def _answer_line(key: Any, answer: Any) -> str:
    named = {ID: key[ID]} if ID in key else key
    values = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in answer.items()}
    return json.dumps(named | values)


def _error_line(key: Any, reason: str) -> str:
    return json.dumps(key | {"error": reason})


def _write_counts(_: None, path: str, answered: int, refused: int) -> None:
    """Counted in the pipeline, each record once whatever is tried again; metrics are not on every runner."""
    with FileSystems.create(path, "application/json") as file:
        file.write(json.dumps([answered, refused]).encode())
