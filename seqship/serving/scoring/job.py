"""Files of sequences in, files of answers out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from seqship.errors import DataError
from seqship.serving.records import CsvLayout
from seqship.serving.scoring.dependency import require_beam
from seqship.serving.scoring.scored import Scored


def score(
    bundle: str | os.PathLike[str],
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    runner: str = "DirectRunner",
    input_format: Literal["auto", "jsonl", "csv", "tfrecord"] = "auto",
    csv_layout: CsvLayout | Literal["auto"] = "auto",
    workers: int = 1,
    options: Sequence[str] = (),
    force: bool = False,
) -> Scored:
    """Answers for all sequences of files, with Apache Beam, and waits until it is done.

    ```python
    scored = score("bundles/ecg", "beats/part-*.jsonl", "scores/", workers=4)
    scored.answered, scored.refused
    ```

    `output` gets `predictions-00000-of-0000N.jsonl`, a line an answer; `errors-*.jsonl`, a line for each that was
    refused, with the reason, if any was; and `manifest.json` with the counts.

    Args:
        bundle: A bundle's directory, which every worker finds under this path, or its URI, such as `gs://models/ecg/3`.
        inputs: Paths of files, or patterns such as `part-*.jsonl`, on any filesystem that Beam knows.
        output: Directory that does not exist or is empty; on a local disk it appears whole, or not at all.
        runner: Name of a runner of Beam's, or the full name of its class. `DirectRunner` is the local one of Beam's
            Python (`FnApiRunner`); it never looks for another program to hand the work to.
        input_format: What the files hold; "auto" tells by each file's name, and takes JSON lines where it does not say.
        csv_layout: How a CSV row is laid out; "auto" takes the layout of heartbeat files for a bundle of `ecg-gru`.
        workers: Processes of the DirectRunner.
        options: Beam's own flags, such as `--parallelism=8`.
        force: Whether the scores of an earlier run are replaced.

    Raises:
        BundleError: The bundle is none, or has no ONNX file.
        DataError: No file matches, an option is wrong, or the model takes what such files cannot hold.
        DependencyError: Apache Beam, or what the runner needs, is not installed.
        OutputError: The output holds something else, or cannot be written.
        PipelineError: The pipeline failed.
        ProofError: The bundle's runtimes do not compute the same.
        TamperedError: A file of the bundle is missing or changed.
    """
    require_beam()
    from seqship.serving.scoring.input_parts import match_files
    from seqship.serving.scoring.input_records import InputFormat
    from seqship.serving.scoring.local_workers import local_workers
    from seqship.serving.scoring.output_directory import ERRORS, PREDICTIONS, files_of, scores_directory, write_manifest
    from seqship.serving.scoring.pipeline import check_outputs, run_pipeline
    from seqship.serving.scoring.runners import DIRECT, pipeline_options, runner_for
    from seqship.serving.scoring.transform import Score

    if workers < 1:
        raise DataError(f"workers must be 1 or more, met {workers}")
    if workers > 1 and runner != DIRECT:
        raise DataError(f"workers are the DirectRunner's; give the {runner} its own behind --, as its options say")
    chosen = pipeline_options(options, runner=runner)
    transform = Score(bundle)
    model = transform.model
    check_outputs(model.outputs)
    layout = ("heartbeat" if model.heartbeats else "plain") if csv_layout == "auto" else csv_layout
    how = InputFormat(model.inputs, model.vectorizer is not None, input_format, layout)
    given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    files = match_files([os.fspath(one) for one in given])
    how.check(files)
    target = os.fspath(output)
    with local_workers() as lock, scores_directory(target, force=force) as directory:
        runs_on = runner_for(runner, chosen, workers=workers, lock=lock)
        begun = time.monotonic()
        answered, refused = run_pipeline(transform, files, how, directory, runner=runs_on, options=chosen)
        seconds = time.monotonic() - begun
        predictions, errors = files_of(directory, PREDICTIONS), files_of(directory, ERRORS)
        manifest = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "bundle": {"name": model.name, "manifest_sha256": model.manifest_sha256},
            "inputs": [os.fspath(one) for one in given],
            "read": answered + refused,
            "answered": answered,
            "refused": refused,
            "files": [*predictions, *errors],
        }
        write_manifest(directory, manifest)
    return Scored(
        output=target,
        files=len(files),
        read=answered + refused,
        answered=answered,
        refused=refused,
        predictions=tuple(f"{target.rstrip('/')}/{name}" for name in predictions),
        errors=tuple(f"{target.rstrip('/')}/{name}" for name in errors),
        seconds=seconds,
    )
