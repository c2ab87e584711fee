"""The user's mistakes: one line each, the right exit code, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
Listing = Callable[[Path], list[str]]

FORMS = "a .keras file, an .h5 file, a SavedModel directory, or package.module:factory"
LAYOUTS = (
    "give a heartbeat CSV file, a folder with train.csv and test.csv (.gz or mitbih_ names too), "
    "or a WFDB record or folder of records (.hea, .dat, .atr)"
)
ROW = [*["0.5"] * 187, "1"]


def row(column: int, cell: str) -> str:
    return ",".join([*ROW[: column - 1], cell, *ROW[column:]])


@pytest.fixture
def here(tmp_path: Path, beats: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: data, a model, and things that are neither."""
    folder = tmp_path / "here"
    (folder / "empty").mkdir(parents=True)
    (folder / "full" / "sub").mkdir(parents=True)
    (folder / "full" / "sub" / "mine.txt").write_text("mine")
    shutil.copy(beats, folder / "beats.csv")
    shutil.copy(model_file, folder / "small.keras")
    (folder / "file").write_text("text\n")
    (folder / "fake.keras").write_text("no model")
    (folder / "empty.csv").write_text("")
    (folder / "narrow.csv").write_text("0.5,0.5,1\n")
    (folder / "nan.csv").write_text(f"{row(1, '0.5')}\n{row(3, 'nan')}\n")
    (folder / "label.csv").write_text(f"{row(188, '5')}\n")
    (folder / "high.csv").write_text(f"{row(7, '1.5')}\n")
    monkeypatch.chdir(folder)
    return folder


SHIP = ("ship", "ecg-gru", "--epochs", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*SHIP, "--data", "none.csv", "-o", "new"), f"none.csv does not exist; {LAYOUTS}"),
        ((*SHIP, "--data", "empty", "-o", "new"), f"empty holds no heartbeats; {LAYOUTS}"),
        (
            (*SHIP, "--data", "narrow.csv", "-o", "new"),
            "narrow.csv, row 1: the number of columns is 3; give 188 columns, 187 samples and the class",
        ),
        ((*SHIP, "--data", "nan.csv", "-o", "new"), "nan.csv, row 2: column 3 is 'nan'; put a finite number there"),
        (
            (*SHIP, "--data", "high.csv", "-o", "new"),
            "high.csv, row 1: column 7 is '1.5', outside [0, 1]; scale each beat to [0, 1]",
        ),
        ((*SHIP, "--data", "label.csv", "-o", "new"), "label.csv, row 1: the class is '5'; give one of 0, 1, 2, 3, 4"),
        ((*SHIP, "--data", "empty.csv", "-o", "new"), "empty.csv is empty; give rows of 187 samples and the class"),
        ((*SHIP, "--data", "beats.csv", "-o", "full"), "the output full exists; choose another path or add --force"),
        ((*SHIP, "-o", "empty"), "the output empty exists; choose another path or add --force"),
        ((*SHIP, "-o", "full", "--force"), "the output full exists and is no bundle; --force replaces bundles only"),
        ((*SHIP, "-o", ".", "--force"), "the output . exists and is no bundle; --force replaces bundles only"),
        ((*SHIP, "-o", "file"), "the output file is not a directory; choose another path"),
        (
            (*SHIP, "-o", "file/new"),
            "cannot write file/new: {here}/file is not a directory that can be written to",
        ),
        (("ship",), "missing argument 'RECIPE' (see seqship ship --help)"),
        (("export", "small.keras"), "missing option '--out' / '-o' (see seqship export --help)"),
        (("nonsense",), "no such command 'nonsense' (see seqship --help)"),
        (("shp",), "no such command 'shp'. Did you mean 'ship'? (see seqship --help)"),
        (("--nonsense",), "no such option: --nonsense (see seqship --help)"),
        ((*SHIP, "--zzz"), "no such option: --zzz (see seqship ship --help)"),
        ((*SHIP, "more"), "got unexpected extra argument(s) (more) (see seqship ship --help)"),
        (("ship", "ecg-gru", "--epochs"), "option '--epochs' requires an argument (see seqship --help)"),
        (
            ("ship", "ecg-gru", "--epochs", "ten"),
            "invalid value for '--epochs': Input should be a valid integer, unable to parse string as an integer "
            "(see seqship ship --help)",
        ),
        (
            (*SHIP, "--keras", "4"),
            "invalid value for '--keras': '4' is not one of '2', '3' (see seqship ship --help)",
        ),
        (
            ("export", "small.keras", "-o", "new", "--keras", "4"),
            "invalid value for '--keras': '4' is not one of 'auto', '2', '3' (see seqship export --help)",
        ),
        (
            (*SHIP, "--split", "person"),
            "invalid value for '--split': 'person' is not one of 'beat', 'patient' (see seqship ship --help)",
        ),
        (("ship", "ecg-gru", "--epochs", "0", "-o", "new"), "epochs must be 1 or more, got 0"),
        (("train", "ecg-gru", "--epochs", "-1", "-o", "new"), "epochs must be 1 or more, got -1"),
        ((*SHIP, "--seed", "-1", "-o", "new"), "the seed must be 0 to 4294967295, got -1"),
        ((*SHIP, "--seed", "4294967296", "-o", "new"), "the seed must be 0 to 4294967295, got 4294967296"),
        (("export", "small.keras", "-o", "new", "--seed", "-1"), "the seed must be 0 or more, got -1"),
        (
            (*SHIP, "--split", "patient", "-o", "new"),
            "synthetic heartbeats have no patients to split by; split by beat or give data",
        ),
        (("export", "none.keras", "-o", "new"), f"no model at none.keras: the path does not exist; give {FORMS}"),
        (("export", "fake.keras", "-o", "new"), f"fake.keras is no Keras model file; give {FORMS}"),
        (("export", "full", "-o", "new"), f"full is a directory without saved_model.pb, not a model; give {FORMS}"),
        (
            ("export", "no_such_module:model", "-o", "new"),
            "no_such_module:model: there is no module 'no_such_module'; run seqship where it can be imported",
        ),
        (("export", "json:model", "-o", "new"), "json:model: module 'json' has no 'model'"),
        (
            ("export", "json:dumps", "-o", "new"),
            "json:dumps raised TypeError: dumps() missing 1 required positional argument: 'obj'",
        ),
        (
            ("export", "json:JSONDecoder", "-o", "new"),
            "json:JSONDecoder gave no model: expected a tf-keras or Keras 3 model, got json.decoder.JSONDecoder",
        ),
        (("export", "small.keras", "-o", "full"), "the output full exists; choose another path or add --force"),
        (
            ("export", "small.keras", "-o", "new", "--signature", "x"),
            "a signature is name=shape:dtype, such as beat=?,?,1:float32, got 'x'",
        ),
        (
            ("export", "small.keras", "-o", "new", "--signature", "x=?,?,1:text"),
            "a signature is name=shape:dtype, such as beat=?,?,1:float32, got 'x=?,?,1:text'",
        ),
        (
            ("export", "small.keras", "-o", "new", "--signature", "x=?,,1"),
            "the sizes of a shape are numbers or ?, got '?,,1' in 'x=?,,1'",
        ),
        (
            ("export", "small.keras", "-o", "new", "--signature", "x=?,?,1", "--signature", "y=?,1"),
            "model 'small' takes 1 inputs, the signature names 2",
        ),
        (
            ("export", "small.keras", "-o", "new", "--formats", "tflite,onnx"),
            "formats must be of saved_model, onnx, got tflite, onnx",
        ),
        (("export", "small.keras", "-o", "new", "--formats", ""), "formats must be of saved_model, onnx, got none"),
        (("verify", "none"), "no bundle at none: the path does not exist"),
        (("verify", "empty"), "empty is no bundle: it has no manifest.json; make one with seqship ship"),
        (("verify", "file"), "file is no bundle: it has no manifest.json; make one with seqship ship"),
        (("verify",), "missing argument 'BUNDLE' (see seqship verify --help)"),
        (("inspect", "none"), f"no model at none: the path does not exist; give {FORMS}"),
        (("inspect", "empty"), "empty is no bundle: it has no manifest.json; make one with seqship ship"),
        (("inspect", "file"), f"file is no Keras model file; give {FORMS}"),
        (("predict", "none"), "no bundle at none: the path does not exist"),
        (("predict", "empty"), "empty is no bundle: it has no manifest.json; make one with seqship ship"),
        (
            ("predict", "none", "--runtime", "torch"),
            "invalid value for '--runtime': 'torch' is not one of 'onnx', 'saved_model' (see seqship predict --help)",
        ),
        (("train", "ecg-gru", "-o", "full"), "the output full exists; add --resume to go on, --force to start anew"),
        (("train", "ecg-gru", "-o", "file"), "the output file is not a directory; choose another path"),
        (
            ("train", "ecg-gru", "-o", "file/new"),
            "cannot write file/new/model.keras: {here}/file is not a directory that can be written to",
        ),
    ],
)
def test_a_mistake_is_one_line(
    seqship: Call, here: Path, listing: Listing, arguments: tuple[str, ...], message: str
) -> None:
    before = listing(here)
    said = seqship(*arguments)
    assert said.stderr == f"seqship: error: {message.format(here=here)}\n"
    assert (said.returncode, said.stdout) == (2, "")
    assert listing(here) == before
    assert (here / "full" / "sub" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("option", ["--opset"])
def test_an_operator_set_out_of_range(seqship: Call, here: Path, listing: Listing, option: str) -> None:
    before = listing(here)
    for value in ("1", "0", "-1", "99"):
        said = seqship("export", "small.keras", "-o", "new", option, value)
        assert said.returncode == 2
        assert said.stderr.startswith("seqship: error: opset must be 14 to ")
        assert said.stderr.endswith(f", got {value}\n")
        assert listing(here) == before


def test_a_factory_that_fails_is_told_with_its_own_words(
    seqship: Call, here: Path, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (here / "cli_broken.py").write_text("def model():\n    raise RuntimeError('out\\nof luck')\n")
    before = listing(here)
    said = seqship("export", "cli_broken:model", "-o", "new")
    assert said.stderr == "seqship: error: cli_broken:model raised RuntimeError: out of luck\n"
    assert (said.returncode, said.stdout) == (2, "")
    assert [name for name in listing(here) if "__pycache__" not in name] == before


def test_an_output_folder_that_cannot_be_written_to(seqship: Call, here: Path, listing: Listing) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (here / "empty").chmod(0o500)
    said = seqship("export", "small.keras", "-o", "empty/new")
    assert said.stderr.startswith("seqship: error: cannot write empty/new: ")
    assert (said.returncode, listing(here / "empty")) == (2, [])


@pytest.fixture(params=["8k", "64k", "128k"])
def full_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A disk that fills up at the ONNX file, at the SavedModel, and at the report."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root may mount a small disk")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_one_line_and_stays_clean(
    seqship: Call, full_disk: Path, model_file: Path, listing: Listing, few_cases: None
) -> None:
    (full_disk / "mine.txt").write_text("mine")
    said = seqship("export", model_file, "-o", full_disk / "new")
    reason = "no space left on the disk; free some, or choose a path on another disk"
    assert said.stderr == f"seqship: error: cannot write {full_disk / 'new'}: {reason}\n"
    assert (said.returncode, said.stdout) == (2, "")
    assert listing(full_disk) == ["mine.txt"]


def test_input_that_breaks_the_contract(seqship: Call, shipped: Path) -> None:
    for stdin, message in (
        (b"", "standard input is empty; give JSON lines, CSV or npz"),
        (b"[0.5]\n[0.5,", "standard input line 2 is no JSON: Expecting value: line 1 column 6 (char 5)"),
        (b"[0.5]\n[0.5, NaN]", "sequence 1 at step 1 is nan; values are finite numbers"),
        (b"[1e999]", "sequence 0 at step 0 is inf; values are finite numbers"),
        (b"0.5,0.5\n", "standard input row 1 has 2 columns; the heartbeat layout has 188"),
    ):
        said = seqship("predict", shipped, stdin=stdin)
        assert said.stderr == f"seqship: error: {message}\n"
        assert (said.returncode, said.stdout) == (2, "")
    said = seqship("predict", shipped, "-i", "none.csv")
    assert (said.returncode, said.stderr) == (2, "seqship: error: cannot read none.csv: no such file or directory\n")


def test_a_manifest_that_is_none(seqship: Call, bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    whole = json.loads(manifest.read_text())
    for text, reason in (
        ("{", "cannot be read: "),
        ("[]", "is no manifest: it lacks name, created, "),
        ("null", "is no manifest: it lacks name, created, "),
        (json.dumps({key: value for key, value in whole.items() if key != "files"}), "is no manifest: it lacks files"),
    ):
        manifest.write_text(text)
        for command in ("verify", "inspect", "predict"):
            said = seqship(command, bundle, stdin=b"[0.5]")
            assert said.stderr.startswith(f"seqship: error: {manifest} {reason}")
            assert (said.returncode, said.stdout, said.stderr.count("\n")) == (2, "", 1)
    manifest.write_text(json.dumps(whole | {"format": 2}))
    said = seqship("verify", bundle)
    assert said.stderr == f"seqship: error: {bundle} has bundle format 2, this seqship reads 1\n"


@pytest.mark.parametrize("wrong", [None, [], {}, "x", 7])
def test_no_change_of_a_manifest_ends_in_a_traceback(seqship: Call, bundle: Path, wrong: object) -> None:
    manifest = bundle / "manifest.json"
    whole = json.loads(manifest.read_text())
    for key in whole:
        manifest.write_text(json.dumps(whole | {key: wrong}))
        for command in ("inspect", "predict"):
            said = seqship(command, bundle, stdin=b"[0.5]")
            if said.returncode:
                assert said.stderr.startswith("seqship: error: ")
                assert (said.stdout, said.stderr.count("\n")) == ("", 1)


@pytest.mark.parametrize("command", ["ship", "train"])
def test_an_unknown_recipe_is_told_what_was_meant(seqship: Call, command: str, tmp_path: Path) -> None:
    said = seqship(command, "airlin-lstm", "-o", tmp_path / "new")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("seqship: error: no recipe is named 'airlin-lstm'; did you mean airline-lstm")
    assert "seqship list shows all " in said.stderr
    assert seqship(command, "qqqqqq").stderr.startswith("seqship: error: no recipe is named 'qqqqqq'; seqship list")
