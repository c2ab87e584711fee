"""A bundle is what its manifest says; every file that is not is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqship.errors import BundleError, TamperedError
from seqship.export import read_bundle
from seqship.export.bundle import MANIFEST, REQUIRED, sha256, unnamed_files, write_manifest
from seqship.export.summary import summary, summary_rows
from seqship.pipelines.spec import Field

INPUT = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0)
OUTPUT = Field("scores", "float32", ("batch", 3), classes=("a", "b", "c"))
WORST = {"runner": "onnx", "case": "batch=1", "output": "scores", "max_abs": 1e-7, "max_rel": 1e-6, "severity": 0.01}


def manifest(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "name": "small",
        "created": "2026-11-22T00:00:00Z",
        "versions": {},
        "source": {"kind": "memory", "keras": 3},
        "contract": {"inputs": [INPUT.to_json()], "outputs": [OUTPUT.to_json()]},
        "equivalence": {"equivalent": True, "worst": WORST, "cases": 60, "rows": 0, "largest": 1e-7, "failures": 0},
    }
    return whole | changes


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    (directory / "saved_model").mkdir(parents=True)
    (directory / "model.onnx").write_bytes(b"an onnx model")
    (directory / "saved_model" / "saved_model.pb").write_bytes(b"a saved model")
    write_manifest(directory, manifest())
    return directory


def rewrite(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = bundle / MANIFEST
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_a_bundle_is_read(bundle: Path) -> None:
    found = read_bundle(bundle)
    assert (found.path, found.name, found.equivalent) == (bundle, "small", True)
    assert (found.inputs, found.outputs) == ((INPUT,), (OUTPUT,))
    assert found.onnx == bundle / "model.onnx"
    assert found.saved_model == bundle / "saved_model"
    assert set(found.manifest["files"]) == {"model.onnx", "saved_model/saved_model.pb"}
    assert found.manifest["files"]["model.onnx"] == {"size": 13, "sha256": sha256(bundle / "model.onnx")}
    assert read_bundle(str(bundle)).manifest == found.manifest


def test_a_bundle_may_lack_a_format(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    found = read_bundle(tmp_path)
    assert (found.onnx, found.saved_model) == (None, None)


@pytest.mark.parametrize("value", [False, "yes", 1, None])
def test_only_true_is_equivalent(bundle: Path, value: Any) -> None:
    rewrite(bundle, lambda document: document["equivalence"].update(equivalent=value))
    assert not read_bundle(bundle).equivalent


# --- Files that are not those of the manifest


def test_a_changed_byte_is_found(bundle: Path) -> None:
    path = bundle / "saved_model" / "saved_model.pb"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    digest, expected = sha256(path)[:12], json.loads((bundle / MANIFEST).read_text())["files"]
    expected = expected["saved_model/saved_model.pb"]["sha256"][:12]
    message = rf"^{bundle}: saved_model/saved_model\.pb has changed \(sha256 {digest}, manifest says {expected}\)$"
    with pytest.raises(TamperedError, match=message) as raised:
        read_bundle(bundle)
    assert raised.value.exit_code == 1
    assert read_bundle(bundle, check=False).name == "small"


def test_a_truncated_file_is_found(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"an onnx")
    with pytest.raises(TamperedError, match=rf"^{bundle}: model\.onnx has changed \(7 bytes, manifest says 13\)$"):
        read_bundle(bundle)


def test_a_missing_file_is_found(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    message = rf"^{bundle}: model\.onnx is missing; the bundle is not the one that was proven$"
    with pytest.raises(TamperedError, match=message):
        read_bundle(bundle)
    (bundle / "model.onnx").mkdir()
    with pytest.raises(TamperedError, match=message):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "saved_model/../../outside"])
def test_a_file_outside_is_not_looked_at(bundle: Path, name: str) -> None:
    outside = bundle.parent / "outside"
    outside.write_bytes(b"x")
    facts = {"size": 1, "sha256": sha256(outside)}
    rewrite(bundle, lambda document: document["files"].update({name: facts}))
    message = rf"^{bundle}: the manifest names '{name}', which lies outside of the bundle$"
    with pytest.raises(TamperedError, match=message):
        read_bundle(bundle)


def test_files_that_the_manifest_does_not_name(bundle: Path) -> None:
    assert unnamed_files(read_bundle(bundle)) == ()
    (bundle / "notes.txt").write_text("mine")
    (bundle / "saved_model" / "extra").write_text("mine")
    (bundle / ".lock").write_text("a writer's")
    assert unnamed_files(read_bundle(bundle)) == ("notes.txt", "saved_model/extra")


# --- What is no bundle


def test_no_path(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=rf"^no bundle at {tmp_path / 'none'}: the path does not exist$") as raised:
        read_bundle(tmp_path / "none")
    assert raised.value.exit_code == 2


def test_another_directory_or_a_file(tmp_path: Path, bundle: Path) -> None:
    for path in (tmp_path, bundle / "model.onnx"):
        message = rf"^{path} is no bundle: it has no manifest\.json; make one with seqship ship$"
        with pytest.raises(BundleError, match=message):
            read_bundle(path)


@pytest.mark.parametrize("text", ["{", "", "\0", "{'a': 1}"])
def test_broken_json(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=rf"^{bundle / MANIFEST} cannot be read: ") as raised:
        read_bundle(bundle)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text(bundle: Path) -> None:
    (bundle / MANIFEST).write_bytes(b"\xff\xfe{}")
    with pytest.raises(BundleError, match=rf"^{bundle / MANIFEST} cannot be read: "):
        read_bundle(bundle)


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(bundle: Path, key: str) -> None:
    rewrite(bundle, lambda document: document.pop(key))
    with pytest.raises(BundleError, match=rf"^{bundle / MANIFEST} is no manifest: it lacks {key}$"):
        read_bundle(bundle)


@pytest.mark.parametrize("text", ["[]", "3", '"manifest"', "null"])
def test_json_that_is_no_manifest(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=rf"^{bundle / MANIFEST} is no manifest: it lacks name, created, "):
        read_bundle(bundle)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_is_refused(bundle: Path, version: Any) -> None:
    rewrite(bundle, lambda document: document.update(format=version))
    with pytest.raises(BundleError, match=rf"^{bundle} has bundle format {version}, this seqship reads 1$"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "change",
    [
        {"contract": {"inputs": []}},
        {"contract": []},
        {"contract": {"inputs": [{"name": "x"}], "outputs": []}},
        {"contract": {"inputs": [INPUT.to_json() | {"colour": "red"}], "outputs": []}},
        {"equivalence": "yes"},
        {"files": ["model.onnx"]},
        {"files": {"model.onnx": {"size": 13}}},
        {"files": {"model.onnx": 13}},
    ],
)
def test_entries_of_another_form_are_refused(bundle: Path, change: dict[str, Any]) -> None:
    rewrite(bundle, lambda document: document.update(change))
    with pytest.raises(BundleError, match=rf"^{bundle / MANIFEST} has an entry that cannot be read: "):
        read_bundle(bundle)


def test_a_manifest_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(tmp_path, manifest(metrics={"accuracy": float("nan")}))
    assert not (tmp_path / MANIFEST).exists()


# --- Summaries


def test_the_summary_of_a_bundle(bundle: Path) -> None:
    onnx = {"operators": {"GRU": 2}, "loops": 0, "opset": 18, "nodes": 40, "bytes": 12_345}
    rewrite(bundle, lambda document: document.update(onnx=onnx, metrics={}))
    found = read_bundle(bundle)
    assert summary(found) == {
        "bundle": str(bundle),
        "equivalent": True,
        "worst": {key: WORST[key] for key in ("runner", "case", "output", "max_abs", "max_rel")},
        "cases": 60,
        "onnx": {"operators": {"GRU": 2}, "loops": 0, "opset": 18},
        "metrics": {},
    }
    rows = dict(summary_rows(found))
    assert rows["onnx"] == "2 GRU, no Loop (opset 18, 12 kB)"
    assert rows["verdict"] == "equivalent over 60 cases; largest difference 1.0e-07"
    assert rows["bundle"] == str(bundle)


def test_the_summary_of_a_bundle_that_failed(bundle: Path) -> None:
    failed = {"equivalent": False, "worst": WORST | {"max_abs": "NaN"}, "cases": 60, "rows": 300, "failures": 4}
    loop = {"layer": "odd", "onnx": "Loop", "cudnn_eligible": False, "onnx_reasons": ["no operator"]}
    onnx = {"operators": {}, "loops": 1, "opset": 18, "nodes": 40, "bytes": 12_345}
    rewrite(bundle, lambda document: document.update(equivalence=failed, onnx=onnx, audit=[loop]))
    rows = summary_rows(read_bundle(bundle))
    assert ("", "odd became a Loop: no operator") in rows
    assert dict(rows)["onnx"].startswith("no recurrent operator, 1 Loop ")
    assert dict(rows)["verdict"].startswith("NOT equivalent: 4 comparisons differ over 60 cases and 300 rows of test")
