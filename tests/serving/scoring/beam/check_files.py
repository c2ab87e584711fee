"""Files of every format, cut or not, whole or damaged, on whatever filesystem."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apache_beam.io.localfilesystem import LocalFileSystem  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray

from seqship.errors import BundleError, DataError, OutputError
from seqship.serving.scoring import score
from seqship.serving.scoring.input_parts import format_of, parts_of
from seqship.wire.examples import to_example
from seqship.wire.records import write_records
from tests.serving.scoring.beam.conftest import documents, lines_of

Alone = Callable[[Path, Any], dict[str, NDArray[Any]]]


def check_shards_gz_and_blank_lines(bundles: Path, signals: list[Any], tmp_path: Path) -> None:
    """Each line has one answer, named by its file and number; a line end at the end is no line."""
    (tmp_path / "part-0.jsonl").write_text("\n" + lines_of(signals[:10]) + "\n")
    (tmp_path / "part-1.jsonl.gz").write_bytes(gzip.compress(lines_of(signals[10:30]).encode()))
    (tmp_path / "part-2.jsonl").write_bytes(b"\xef\xbb\xbf" + lines_of(signals[30:35]).rstrip().encode())
    (tmp_path / "part-3.jsonl").write_text("")
    patterns = [str(tmp_path / "part-*"), str(tmp_path / "part-0.jsonl")]
    scored = score(bundles / "classifier", patterns, tmp_path / "out")
    assert (scored.files, scored.read, scored.answered) == (4, 35, 35)
    places = {(Path(one["file"]).name, one["line"]) for one in documents(scored.output)}
    assert places == {
        *(("part-0.jsonl", line) for line in range(2, 12)),
        *(("part-1.jsonl.gz", line) for line in range(1, 21)),
        *(("part-2.jsonl", line) for line in range(1, 6)),
    }
    assert [Path(name).name for name in scored.predictions] == ["predictions-00000-of-00001.jsonl"]


def check_nothing_to_score(bundles: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("\n\n")
    scored = score(bundles / "classifier", tmp_path / "in.jsonl", tmp_path / "out")
    assert (scored.read, scored.answered, scored.refused) == (0, 0, 0)
    assert documents(scored.output) == []
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["read"] == 0


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def check_parts_hold_each_line_once(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqship.serving.scoring import input_records

    lines = ["1" * length for length in (3, 0, 70, 1, 1, 0, 200, 5)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr("seqship.serving.scoring.input_parts.PART_BYTES", size)
    how = input_records.InputFormat((object(), object()), False, "auto", "plain")  # pyright: ignore[reportArgumentType]
    parts = list(parts_of(str(tmp_path / "in.jsonl"), lines=True))
    found = [record for part in parts for record in input_records.read_part(part, how)]
    assert [(key["line"], value) for key, value in found] == [
        (number, int(line)) for number, line in enumerate(lines, start=1) if line
    ]
    assert (len(parts) > 3) == (size < 100)


def check_tfrecords(bundles: Path, signals: list[Any], alone: Alone, tmp_path: Path) -> None:
    examples = [to_example({"signal": signal, "id": np.array([index])}) for index, signal in enumerate(signals[:9])]
    examples[3] = to_example({"signal": signals[3]})
    examples[5] = to_example({"signal": np.zeros(3, np.float32)})
    records = [example.SerializeToString() for example in examples]
    records[7] = b"no example"
    write_records(tmp_path / "in.tfrecord-00000-of-00002", records)
    write_records(tmp_path / "plain", records[:2])
    (tmp_path / "in.tfrecord-00001-of-00002.gz").write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    (tmp_path / "cut.tfrecord").write_bytes((tmp_path / "plain").read_bytes()[:-9])
    scored = score(bundles / "classifier", [str(tmp_path / "*tfrecord*")], tmp_path / "out")
    assert (scored.read, scored.answered, scored.refused) == (13, 10, 3)
    for answer in documents(scored.output):
        index = answer["id"] if "id" in answer else answer["record"]
        np.testing.assert_allclose(
            answer["probabilities"], alone(bundles / "classifier", signals[index])["probabilities"], atol=1e-6
        )
    errors = {(Path(one["file"]).name, one["record"]): one["error"] for one in documents(scored.output, "errors")}
    assert errors == {
        ("cut.tfrecord", 1): errors["cut.tfrecord", 1],
        ("in.tfrecord-00000-of-00002", 5): "Key: signal, Index: 0.  Number of float values is not a multiple of stride "
        "length. Saw 3 values but output shape is: [?,2]",
        ("in.tfrecord-00000-of-00002", 7): "the record is no serialized tf.Example",
    }
    assert errors["cut.tfrecord", 1].startswith("record 1 of the file is cut off: ")


def check_a_damaged_archive(bundles: Path, signals: list[Any], tmp_path: Path) -> None:
    """What can be read is answered; the rest is one error, at the line where it begins. Beam would not say so."""
    lines = lines_of(signals)
    cut = gzip.compress(lines.encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(cut[:-8])  # Every line is there, but not what tells that it is.
    (tmp_path / "half.jsonl.bz2").write_bytes(bz2.compress(lines.encode())[:-100])
    (tmp_path / "no.jsonl.xz").write_bytes(b"no archive")
    (tmp_path / "whole.jsonl.xz").write_bytes(lzma.compress(lines_of(signals[:7]).encode()))
    scored = score(bundles / "classifier", [str(tmp_path / "*.jsonl.*")], tmp_path / "out")
    errors = {Path(one["file"]).name: (one["line"], one["error"]) for one in documents(scored.output, "errors")}
    begin = "the file is damaged from here on, and not read: "
    ended = begin + "Compressed file ended before the end-of-stream marker was reached"
    assert errors.pop("no.jsonl.xz") == (1, begin + "Input format not supported by decoder")
    assert [(name, error) for name, (_, error) in sorted(errors.items())] == [
        ("cut.jsonl.gz", ended), ("half.jsonl.bz2", ended),
    ]  # fmt: skip
    assert scored.answered == 7 + sum(line - 1 for line, _ in errors.values())
    assert errors["cut.jsonl.gz"][0] > 1


def check_the_names_of_formats() -> None:
    expected = {
        "a.jsonl": "jsonl", "a.csv.gz": "csv", "a.CSV": "csv", "gs://b/a.tfrecord": "tfrecord", "a.txt": "jsonl",
        "a.tfrecords-00001-of-00010": "tfrecord", "csv": "jsonl", "a.tfrecord.gz": "tfrecord",
    }  # fmt: skip
    assert {path: format_of(path, "auto") for path in expected} == expected
    assert format_of("a.jsonl", "csv") == "csv"


def check_what_is_refused_before_anything_runs(bundles: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text("[[0.5, 1.0]]\n")

    def refused(
        kind: type[Exception], text: str, *, bundle: str = "classifier", given: Any = source, **options: Any
    ) -> None:
        with pytest.raises(kind) as caught:
            score(bundles / bundle, given, output, **options)
        assert str(caught.value) == text

    refused(BundleError, f"no bundle at {bundles / 'none'}: the path does not exist", bundle="none")
    pattern = str(tmp_path / "part-*")
    refused(
        DataError,
        f"no file matches {pattern!r}; give a path, or a pattern in quotes such as 'part-*.jsonl'",
        given=[source, pattern],
    )
    refused(DataError, "workers must be 1 or more, met 0", workers=0)
    refused(
        DataError,
        "workers are the DirectRunner's; give the FlinkRunner its own behind --, as its options say",
        workers=2, runner="FlinkRunner",
    )  # fmt: skip
    for runner in ("NoRunner", "no.such.Runner"):
        refused(
            DataError,
            f"Beam has no runner {runner!r}; DirectRunner, FlinkRunner and DataflowRunner are some",
            runner=runner,
        )
    refused(
        DataError,
        "the DataflowRunner takes other options, behind --: Missing GCS path option: temp_location; Missing GCS path "
        "option: staging_location; Missing required option: project; Missing required option: region",
        runner="DataflowRunner",
    )
    refused(
        DataError,
        "an option for Beam is wrong: argument --direct_runner_bundle_repeat: invalid int value: 'x'",
        options=["--direct_runner_bundle_repeat=x"],
    )
    refused(
        DataError, "Beam has no option '--paralelism=2' for the DirectRunner; leave it out", options=["--paralelism=2"]
    )
    refused(
        DataError,
        "unexpected argument 'part-1.jsonl'; put a pattern of several files in quotes, as 'part-*.jsonl'",
        options=["part-1.jsonl"],
    )
    source.rename(tmp_path / "in.csv")
    csv = tmp_path / "in.csv"
    refused(DataError, f"a CSV row holds one sequence of one feature; give JSON lines instead of {csv}", given=csv)
    assert not output.exists()


def check_the_output(bundles: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text("[[0.5, 1.0]]\n")

    def run(**options: Any) -> None:
        score(bundles / "classifier", source, output, **options)

    def refused(text: str, **options: Any) -> None:
        with pytest.raises(OutputError) as caught:
            run(**options)
        assert str(caught.value) == f"the output {output} {text}"

    output.mkdir()
    run()  # An empty one is taken.
    before = sorted(path.name for path in output.iterdir())
    assert before == ["manifest.json", "predictions-00000-of-00001.jsonl"]
    refused("is not empty; choose another path or add --force")
    (output / "errors-00000-of-00001.jsonl").write_text("old")
    run(force=True)
    assert sorted(path.name for path in output.iterdir()) == before
    (output / "manifest.json").write_text('{"name": "a bundle"}')
    refused("is not empty and holds no scores; --force replaces scores only", force=True)
    for path in output.iterdir():
        path.unlink()
    output.rmdir()
    output.write_text("")
    refused("is not a directory; choose another path", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out"]


class Elsewhere(LocalFileSystem):  # pyright: ignore[reportUntypedBaseClass]
    """Stands for a bucket: the path behind `elsewhere:/` on the local disk."""

    @classmethod
    def scheme(cls) -> str:
        return "elsewhere"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> Any:
        return tuple(path.rsplit("/", 1))


def _elsewhere() -> None:
    def local(path: str) -> str:
        return path.removeprefix("elsewhere:/")

    def wrap(name: str) -> None:
        whole = getattr(LocalFileSystem, name)

        def call(self: Any, path: Any, *arguments: Any, **options: Any) -> Any:
            path = [local(one) for one in path] if isinstance(path, list) else local(path)
            if name == "rename":
                arguments = ([local(one) for one in arguments[0]],)
            found = whole(self, path, *arguments, **options)
            if name != "_list":
                return found
            return (
                type(one)(f"elsewhere:/{one.path}", one.size_in_bytes, one.last_updated_in_seconds) for one in found
            )

        setattr(Elsewhere, name, call)

    for name in ("open", "create", "mkdirs", "exists", "delete", "rename", "_list", "size"):
        wrap(name)


_elsewhere()


def check_a_bundle_inputs_and_output_elsewhere(bundles: Path, signals: list[Any], tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(lines_of([*signals, [1]]))
    place = f"elsewhere:/{tmp_path}"
    bundle = f"elsewhere:/{bundles / 'classifier'}"
    scored = score(bundle, f"{place}/*.jsonl", f"{place}/out")
    assert (scored.answered, scored.refused) == (150, 1)
    assert documents(tmp_path / "out")[0]["file"] == f"{place}/in.jsonl"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "errors-00000-of-00001.jsonl", "manifest.json", "predictions-00000-of-00001.jsonl",
    ]  # fmt: skip
    with pytest.raises(OutputError, match="is not empty; choose another path or add --force"):
        score(bundle, f"{place}/*.jsonl", f"{place}/out")
    (tmp_path / "in.jsonl").write_text(lines_of(signals[:5]))
    assert score(bundle, f"{place}/*.jsonl", f"{place}/out", force=True).read == 5
    assert len(list((tmp_path / "out").iterdir())) == 2
    with pytest.raises(BundleError, match=f"^elsewhere:/{tmp_path}/none: manifest.json cannot be read: "):
        score(f"{place}/none", f"{place}/*.jsonl", f"{place}/other")


def check_a_run_in_another_thread(bundles: Path, tmp_path: Path) -> None:
    """Nothing here needs the main thread."""
    (tmp_path / "in.jsonl").write_text("[[0.5, 1.0]]\n")
    found: list[int] = []
    thread = threading.Thread(
        target=lambda: found.append(score(bundles / "classifier", tmp_path / "in.jsonl", tmp_path / "out").answered)
    )
    thread.start()
    thread.join()
    assert found == [1]
