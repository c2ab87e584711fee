"""What is done with a bundle: `verify`, `inspect`, `predict`."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.pipelines import read_heartbeat_file
from seqship.serving import Predictor

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
Start = Callable[..., subprocess.Popen[str]]


def manifest(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "manifest.json").read_text())


def digests(bundle: Path) -> dict[str, str]:
    return {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in manifest(bundle)["files"]}


def change_a_weight(bundle: Path) -> None:
    """Changes a weight of the ONNX file by 5 %, and makes the manifest name the new file."""
    import onnx
    from onnx import numpy_helper

    path = bundle / "model.onnx"
    proto = onnx.load(path)
    largest = max(
        (tensor for tensor in proto.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT),
        key=lambda tensor: int(np.prod(tensor.dims)),
    )
    values = numpy_helper.to_array(largest) * np.float32(1.05)
    largest.CopyFrom(numpy_helper.from_array(values, largest.name))
    onnx.save(proto, path)
    document = manifest(bundle)
    facts = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
    document["files"]["model.onnx"] = facts
    (bundle / "manifest.json").write_text(json.dumps(document))


def test_what_was_shipped_holds(seqship: Call, bundle: Path) -> None:
    before, files = manifest(bundle), digests(bundle)
    said = seqship("verify", bundle)
    assert (said.returncode, said.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in said.stdout.splitlines())
    assert list(lines) == ["trained", "accuracy", "recall", "onnx", "verdict", "bundle"]
    cases = before["equivalence"]["cases"]
    assert cases > 60
    assert lines["verdict"].startswith(f"equivalent over {cases} cases and 28 rows of test data; largest difference ")
    assert lines["bundle"] == str(bundle)
    after = manifest(bundle)
    assert set(digests(bundle)) == set(files)
    assert list(bundle.parent.iterdir()) == [bundle]
    assert {key: value for key, value in after.items() if key not in ("equivalence", "files")} == {
        key: value for key, value in before.items() if key not in ("equivalence", "files")
    }
    changed = {name for name, digest in digests(bundle).items() if digest != files[name]}
    assert changed <= {"report.html", "report.json"}
    assert {name: facts["sha256"] for name, facts in after["files"].items()} == digests(bundle)


@pytest.mark.parametrize("way", ["link", "."])
def test_a_bundle_is_reached_through_a_link_and_from_within(
    seqship: Call, bundle: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    target = bundle.parent / "link"
    target.symlink_to("ecg")
    monkeypatch.chdir(bundle if way == "." else bundle.parent)
    said = seqship("verify", way, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    assert json.loads(said.stdout)["bundle"] == way
    assert target.is_symlink()
    assert sorted(bundle.parent.iterdir()) == [bundle, target]
    assert seqship("verify", bundle).returncode == 0


def test_verify_for_machines_and_over_data(seqship: Call, bundle: Path, beats: Path) -> None:
    said = seqship("verify", bundle, "--data", beats, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    document = json.loads(said.stdout)
    assert set(document) == {"bundle", "equivalent", "worst", "cases", "onnx", "metrics"}
    cases = manifest(bundle)["equivalence"]["cases"]
    assert (document["bundle"], document["equivalent"], document["cases"]) == (str(bundle), True, cases)
    assert manifest(bundle)["equivalence"]["rows"] == 140
    report = json.loads((bundle / "report.json").read_text())
    assert {row["rows"] for row in report["test_split"]} == {140}
    said = seqship("verify", bundle, "--data", "none.csv")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("seqship: error: none.csv does not exist; ")


def test_a_quick_check_leaves_the_bundle_as_it_is(seqship: Call, bundle: Path, beats: Path) -> None:
    before = digests(bundle)
    said = seqship("verify", bundle, "--quick")
    assert (said.returncode, said.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in said.stdout.splitlines())
    assert lines["bundle"] == str(bundle)
    quick = re.fullmatch(r"equivalent over (\d+) cases", lines["verdict"])
    assert quick
    assert 10 <= int(quick[1]) < manifest(bundle)["equivalence"]["cases"] / 2
    change_a_weight(bundle)
    changed = digests(bundle)
    said = seqship("verify", bundle, "--quick", "--json")
    assert (said.returncode, said.stderr) == (1, "")
    document = json.loads(said.stdout)
    assert (document["bundle"], document["equivalent"]) == (str(bundle), False)
    assert document["worst"]["runner"] == "onnx"
    assert digests(bundle) == changed != before
    for option, value in (("--data", str(beats)), ("--url", "http://127.0.0.1:1")):
        said = seqship("verify", bundle, "--quick", option, value)
        assert (said.returncode, said.stdout) == (2, "")
        assert said.stderr.count("\n") == 1
        assert "--quick" in said.stderr


def test_data_of_a_model_of_ones_own_is_what_predict_takes(
    seqship: Call, model_file: Path, tmp_path: Path, few_cases: None
) -> None:
    out, data = tmp_path / "mine", tmp_path / "data.jsonl"
    assert seqship("export", model_file, "-o", out).returncode == 0
    data.write_text('[0.5, 2]\n[[1], [2], [3]]\n{"signal": [7]}\n')
    said = seqship("verify", out, "--data", data)
    assert (said.returncode, said.stderr) == (0, "")
    assert "equivalent over 43 cases and 3 rows of test data" in said.stdout
    np.savez(tmp_path / "data.npz", np.array([[1, 2, -1], [3, -1, -1]]))
    assert seqship("verify", out, "--data", tmp_path / "data.npz").returncode == 0
    for text, message in (
        ("[[1, 2]]", "sequence 0 has shape (1, 2); the model takes (time, 1)"),
        ("[1]\n[NaN]", "sequence 1 at step 0 is nan; values are finite numbers"),
    ):
        data.write_text(text)
        said = seqship("verify", out, "--data", data)
        assert (said.returncode, said.stdout, said.stderr) == (2, "", f"seqship: error: {message}\n")


def test_data_of_a_stateful_model_is_its_sequences_alone(seqship: Call, tmp_path: Path, few_cases: None) -> None:
    from seqship.export import ship
    from seqship.models.flavour import load_flavour

    k = load_flavour(3).keras
    layers = [k.layers.Input(batch_shape=(2, None, 1), name="signal"), k.layers.LSTM(3, stateful=True, name="memory")]
    assert ship(k.Sequential(layers), tmp_path / "stream", name="stream").equivalent
    (tmp_path / "data.jsonl").write_text("[0.5, 2]\n[1, 2, 3]\n[7]\n")
    said = seqship("verify", tmp_path / "stream", "--data", tmp_path / "data.jsonl")
    assert (said.returncode, said.stderr) == (0, "")
    assert " and 3 rows of test data" in said.stdout


@pytest.mark.parametrize(
    "name",
    ["model.onnx", "saved_model/variables/variables.data-00000-of-00001", "report.html", "verification/cases.npz"],
)
def test_one_changed_byte_is_refused_by_name(seqship: Call, bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    before = digests(bundle)
    for command in ("verify", "predict", "inspect"):
        said = seqship(command, bundle, stdin=b"[0.5]")
        assert (said.returncode, said.stdout) == (1, "")
        assert said.stderr.startswith(f"seqship: error: {bundle}: {name} has changed (sha256 ")
        assert said.stderr.count("\n") == 1
    assert digests(bundle) == before


def test_a_missing_file_is_named(seqship: Call, bundle: Path) -> None:
    (bundle / "saved_model" / "saved_model.pb").unlink()
    said = seqship("verify", bundle)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == (
        f"seqship: error: {bundle}: saved_model/saved_model.pb is missing; the bundle is not the one that was proven\n"
    )


def test_a_changed_weight_is_convicted_though_its_digest_was_repaired(seqship: Call, bundle: Path) -> None:
    change_a_weight(bundle)
    said = seqship("verify", bundle)
    assert (said.returncode, said.stderr) == (1, "")
    lines = said.stdout.splitlines()
    (verdict,) = (line for line in lines if line.startswith("verdict"))
    assert " NOT equivalent: " in verdict
    assert f" comparisons differ over {manifest(bundle)['equivalence']['cases']} cases" in verdict
    assert "at onnx, batch=" in verdict
    failures = [line for line in lines if line.startswith("  ") and "differs" in line]
    assert failures
    assert all(line.startswith("  onnx") and " differs from Keras at batch=" in line for line in failures)
    assert all(": probabilities[" in line and " times what is allowed" in line for line in failures)
    times = [float(line.split(", ")[-1].split()[0]) for line in failures]
    assert times == sorted(times, reverse=True)
    document = manifest(bundle)
    assert document["equivalence"]["equivalent"] is False
    assert document["equivalence"]["failures"] == len(failures)
    assert json.loads((bundle / "report.json").read_text())["equivalent"] is False
    said = seqship("verify", bundle, "--json")
    assert (said.returncode, said.stderr, json.loads(said.stdout)["equivalent"]) == (1, "", False)
    said = seqship("predict", bundle, stdin=b"[0.5]")
    assert said.stderr == f"seqship: error: {bundle} is not proven equivalent; see its report.html\n"
    assert (said.returncode, said.stdout) == (1, "")


def test_the_verdict_does_not_depend_on_who_reads_it(start: Start, bundle: Path) -> None:
    change_a_weight(bundle)
    reader, writer = os.pipe()
    os.close(reader)
    process = start("verify", bundle, stdout=writer, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    os.close(writer)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (1, "")


def test_strict_refuses_what_the_manifest_does_not_name(seqship: Call, bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    said = seqship("verify", bundle, "--strict")
    assert said.stderr == (
        f"seqship: error: {bundle}: notes.txt is not named by the manifest; remove it or drop --strict\n"
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert (bundle / "notes.txt").exists()
    (bundle / "notes.txt").unlink()
    assert seqship("verify", bundle, "--strict").returncode == 0


def test_inspect_needs_no_model(seqship: Call, bundle: Path) -> None:
    said = seqship("inspect", bundle, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    rows = json.loads(said.stdout)
    assert [row["layer"] for row in rows] == ["gru_1", "gru_2"]
    keys = {"layer", "kind", "units", "params", "cudnn_eligible", "reasons", "onnx", "onnx_reasons", "cudnn_masks"}
    assert [set(row) for row in rows] == [keys, keys]
    assert [row["params"] for row in rows] == [1380, 2520]
    assert seqship("inspect", bundle, "--require-cudnn").returncode == 0
    masks = "for masks off behind the data alone (right padding) and on at one step of each row at least"
    assert seqship("inspect", bundle).stdout == (
        f"gru_1: GRU(20), 1,380 parameters\n  onnx    GRU\n  cudnn   eligible: {masks}\n"
        f"gru_2: GRU(20), 2,520 parameters\n  onnx    GRU\n  cudnn   eligible: {masks}\n"
    )


def answers(said: Said) -> list[dict[str, Any]]:
    assert (said.returncode, said.stderr) == (0, "")
    return [json.loads(line) for line in said.stdout.splitlines()]


def scores(said: Said) -> Any:
    return np.array([answer["probabilities"] for answer in answers(said)])


def test_every_way_in_gives_the_same_answers(seqship: Call, shipped: Path, beats: Path, tmp_path: Path) -> None:
    sequences = read_heartbeat_file(beats).values
    expected = Predictor(shipped).predict(sequences)
    assert expected.classes is not None
    assert expected.probabilities is not None

    said = seqship("predict", shipped, "--input", beats)
    assert [answer["class"] for answer in answers(said)] == list(expected.classes)
    np.testing.assert_allclose(scores(said), expected.probabilities, atol=1e-6)
    assert [set(answer) for answer in answers(said)][:1] == [{"class", "probabilities"}]

    lines = "".join(json.dumps(value[:, 0].tolist()) + "\n" for value in sequences).encode()
    longest = max(map(len, sequences))
    array = np.full((len(sequences), longest, 1), -1, np.float32)
    for target, value in zip(array, sequences, strict=True):
        target[: len(value)] = value
    np.savez(tmp_path / "beats.npz", heartbeat=array)
    plain = "".join(",".join(map(repr, value[:, 0].tolist())) + "\n" for value in sequences)
    (tmp_path / "plain.csv.gz").write_bytes(gzip.compress(plain.encode(), mtime=0))
    for call in (
        seqship("predict", shipped, stdin=lines),
        seqship("predict", shipped, "-i", "-", stdin=gzip.compress(lines, mtime=0)),
        seqship("predict", shipped, "--csv", "heartbeat", stdin=beats.read_bytes()),
        seqship("predict", shipped, "-i", tmp_path / "beats.npz"),
        seqship("predict", shipped, "-i", tmp_path / "plain.csv.gz", "--csv", "plain"),
        seqship("predict", shipped / "model.onnx", stdin=lines),
        seqship("predict", shipped, "--runtime", "saved_model", stdin=lines),
    ):
        np.testing.assert_allclose(scores(call), expected.probabilities, atol=1e-6)


def test_a_real_pipe(start: Start, shipped: Path) -> None:
    process = start("predict", shipped, stdin=subprocess.PIPE)
    out, err = process.communicate("[0.98, 1.0, 0.58, 0.13]\n[1, 0]\n", timeout=60)
    assert (process.returncode, err, len(out.splitlines())) == (0, "", 2)
    assert np.isclose(sum(json.loads(out.splitlines()[0])["probabilities"]), 1, atol=1e-5)


def test_predict_does_not_import_tensorflow(shipped: Path) -> None:
    code = (
        "import sys; from seqship.__main__ import run; code = run(['predict', sys.argv[1]]); "
        "print(code, [n for n in ('tensorflow', 'keras', 'tf_keras', 'onnx', 'pandas') if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(shipped)], input="[0.5]", capture_output=True, text=True, timeout=60
    )
    assert (result.stdout.splitlines()[-1], result.stderr) == ("0 []", "")


def test_a_terminal_is_told_what_is_waited_for(shipped: Path) -> None:
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "seqship", "predict", str(shipped)],
        stdin=child,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(child)
    os.write(parent, b"[0.5]\n\x04")
    out, err = process.communicate(timeout=60)
    os.close(parent)
    assert err == "reading sequences from the terminal, a JSON list a line; Ctrl-D ends\n"
    assert (process.returncode, len(out.splitlines())) == (0, 1)


def test_only_a_bundle_has_a_saved_model(seqship: Call, shipped: Path) -> None:
    said = seqship("predict", shipped / "model.onnx", "--runtime", "saved_model", stdin=b"[0.5]")
    assert said.returncode == 2
    assert said.stderr == (
        f"seqship: error: {shipped / 'model.onnx'} is no bundle: it has no manifest.json; make one with seqship ship\n"
    )
