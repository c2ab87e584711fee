"""A bundle is checked again from its files alone, and says afterwards what was found."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from seqship.errors import BundleError, OutputError, TamperedError
from seqship.export import read_bundle, ship, verify
from seqship.export.bundle import CASES_FILE, MANIFEST, write_manifest
from seqship.export.runners import onnx_runners
from seqship.export.verification import verify_quickly
from seqship.models.flavour import load_flavour
from seqship.pipelines.sequences import Sequences


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX bundle of a model whose proof is a few cases."""
    layers = load_flavour(3).keras.layers
    model = load_flavour(3).keras.Sequential(
        [layers.Input((6, 2), name="signal"), layers.Masking(-1.0), layers.GRU(3, name="scores")]
    )
    directory = tmp_path_factory.mktemp("made") / "bundle"
    ship(model, directory, name="made", formats=["onnx"])
    return directory


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "bundle")
    return tmp_path / "bundle"


def content(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def repair(bundle: Path) -> None:
    """Writes the digests of the files as they are now, as one who wants to cheat would."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    del manifest["files"]
    write_manifest(bundle, manifest)


def change_weight(path: Path) -> None:
    model = onnx.load(path)
    node = next(node for node in model.graph.node if node.op_type == "GRU")
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == node.input[1]]
    value = numpy_helper.to_array(tensor).copy()
    value.flat[np.abs(value).argmax()] *= 1.01
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    onnx.save(model, path)


def test_a_bundle_passes_in_another_place(shipped: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(shipped, copy)
    before = content(copy)
    bundle, proof = verify(copy)
    assert proof
    assert bundle.equivalent
    saved_model = {"saved_model", "saved_model:tf_example"}
    assert {agreement.runner for agreement in proof.agreements} == {*saved_model, *onnx_runners(copy / "model.onnx")}
    assert len(proof.recorded) == 46
    after = content(copy)
    # Only the verdict and the report are written anew.
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} <= {MANIFEST, "report.json", "report.html"}
    assert read_bundle(copy).manifest == bundle.manifest
    assert [path.name for path in copy.parent.iterdir()] == ["renamed"]
    was = json.loads(before[MANIFEST])
    assert bundle.manifest["created"] == was["created"]
    assert bundle.manifest["equivalence"]["verified"] >= was["equivalence"]["verified"]


def test_the_original_of_a_copy_is_not_touched(made: Path, bundle: Path) -> None:
    before = content(made)
    verify(bundle)
    assert content(made) == before


def test_one_changed_byte_is_named_and_nothing_is_written(bundle: Path) -> None:
    path = bundle / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    before = content(bundle)
    with pytest.raises(TamperedError, match=rf"^{bundle}: model\.onnx has changed \(sha256 \w+, manifest says \w+\)$"):
        verify(bundle)
    assert content(bundle) == before
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


def test_a_changed_weight_is_convicted_though_the_digests_fit(bundle: Path) -> None:
    change_weight(bundle / "model.onnx")
    repair(bundle)
    assert read_bundle(bundle).equivalent  # So says the manifest, still.
    found, proof = verify(bundle)
    assert not proof
    assert proof.failures[0].runner == "onnx"
    assert not found.equivalent
    assert not read_bundle(bundle).equivalent
    assert read_bundle(bundle).manifest["equivalence"]["failures"] == len(proof.failures) > 0
    report = json.loads((bundle / "report.json").read_text(encoding="utf-8"))
    assert report["equivalent"] is False
    assert "NOT equivalent" in (bundle / "report.html").read_text(encoding="utf-8")


def test_a_quick_check_convicts_too_and_leaves_the_bundle_as_it_is(made: Path, bundle: Path) -> None:
    right, proof = verify_quickly(made)
    assert proof
    assert right.equivalent
    assert {agreement.runner for agreement in proof.agreements} == {"onnx"}
    assert 0 < len(proof.recorded) < len(verify(made)[1].recorded) / 2
    change_weight(bundle / "model.onnx")
    repair(bundle)
    before = content(bundle)
    told: list[tuple[str, int, int]] = []

    def tell(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    _, proof = verify_quickly(bundle, progress=tell)
    assert not proof
    assert told[-1] == ("running them in the exports", len(proof.recorded), len(proof.recorded))
    assert content(bundle) == before
    (bundle / "more.txt").write_text("x", encoding="utf-8")
    with pytest.raises(TamperedError, match=r"more\.txt is not named by the manifest; remove it or drop --strict$"):
        verify_quickly(bundle, strict=True)


def test_a_verdict_that_was_forged_is_put_right(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["equivalence"]["equivalent"] = False
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    assert not read_bundle(bundle).equivalent
    found, proof = verify(bundle)
    assert proof
    assert found.equivalent


def test_a_file_that_is_not_named(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    message = rf"^{bundle}: notes\.txt is not named by the manifest; remove it or drop --strict$"
    with pytest.raises(TamperedError, match=message):
        verify(bundle, strict=True)
    assert (bundle / "notes.txt").read_text() == "mine"


def test_a_bundle_without_cases_cannot_be_verified(bundle: Path) -> None:
    (bundle / CASES_FILE).unlink()
    repair(bundle)
    message = rf"^{bundle} holds no verification/cases\.npz: there is nothing to verify it with$"
    with pytest.raises(BundleError, match=message):
        verify(bundle)


def test_a_bundle_without_a_model_cannot_be_verified(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    repair(bundle)
    with pytest.raises(BundleError, match=rf"^{bundle} holds neither model\.onnx nor saved_model: there is nothing to"):
        verify(bundle)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=rf"^{tmp_path} is no bundle: it has no manifest\.json; "):
        verify(tmp_path)


@pytest.mark.parametrize("way", ["working directory", "link", "relative"])
def test_a_bundle_is_verified_however_it_is_reached(bundle: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path()
    if way == "working directory":
        monkeypatch.chdir(bundle)
    elif way == "link":
        path = bundle.parent / "current"
        path.symlink_to("bundle")
    else:
        monkeypatch.chdir(bundle.parent)
        path = Path("bundle")
    before = (bundle / MANIFEST).stat().st_ino
    found, proof = verify(path)
    assert proof
    assert found.equivalent
    assert (bundle / MANIFEST).stat().st_ino != before
    assert way != "link" or path.is_symlink()


def test_real_data_is_compared_too(shipped: Path, tmp_path: Path) -> None:
    shutil.copytree(shipped, tmp_path / "bundle")
    random = np.random.default_rng(0)
    values = tuple(random.random((int(length), 2)).astype(np.float32) for length in random.integers(1, 12, 40))
    data = Sequences(values, np.zeros(40, np.int64), ("a", "b", "c"))
    bundle, proof = verify(tmp_path / "bundle", data=data)
    assert proof
    assert {row.agreement.runner: row.rows for row in proof.data} == {"saved_model": 40, "onnx": 40}
    assert bundle.manifest["equivalence"]["rows"] == 40
    report = json.loads((tmp_path / "bundle" / "report.json").read_text(encoding="utf-8"))
    assert [row["rows"] for row in report["test_split"]] == [40, 40]


@pytest.fixture
def read_only(bundle: Path, tmp_path: Path) -> Generator[Path]:
    """A bundle on a disk that nobody may write to, not even root."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*arguments: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)

    mounted = mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder))
    if mounted.returncode:
        pytest.skip(f"mount is not permitted: {mounted.stderr.strip()}")
    try:
        shutil.copytree(bundle, folder / "bundle")
        assert mount("-o", "remount,ro", str(folder)).returncode == 0
        yield folder / "bundle"
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_bundle_is_said_to_be_read_only(read_only: Path) -> None:
    message = rf"^cannot write {read_only}: {read_only.parent} is not a directory that can be written to$"
    with pytest.raises(OutputError, match=message):
        verify(read_only)
    assert read_bundle(read_only).equivalent
    assert list(read_only.parent.iterdir()) == [read_only]


def test_a_difference_over_test_data_is_not_forgotten(shipped: Path, tmp_path: Path) -> None:
    """A bundle that failed on its test data stays unproven where the cases alone agree."""
    path = tmp_path / "bundle"
    shutil.copytree(shipped, path)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    report = json.loads((path / "report.json").read_text(encoding="utf-8"))
    row = {key: value for key, value in report["cases"][0].items() if key not in ("case", "batch", "time", "mask")}
    report["test_split"] = [row | {"rows": 5, "changed_classes": 1, "max_abs": 0.5, "passed": False}]
    (path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    del manifest["files"]
    write_manifest(path, manifest)
    bundle, proof = verify(path)
    assert proof
    assert not bundle.equivalent
    assert bundle.manifest["equivalence"]["rows"] == 5
    assert bundle.manifest["equivalence"]["worst"]["case"] == "test data"
    assert "NOT equivalent" in (path / "report.html").read_text(encoding="utf-8")


def test_files_that_are_not_the_bundles_survive(shipped: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(shipped, path)
    (path / "notes.txt").write_text("mine", encoding="utf-8")
    bundle, _ = verify(path)
    assert (path / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert "notes.txt" not in bundle.manifest["files"]
