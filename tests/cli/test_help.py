"""What a newcomer reads: help, version, recipes, progress."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqship import __version__
from seqship.models import recipes

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
COMMANDS = (
    *("list", "ship", "data", "train", "export", "verify", "selftest", "inspect", "predict", "score", "validate"),
    *("push", "rollback", "label", "versions", "serve"),
)


def test_alone_it_prints_its_help(seqship: Call) -> None:
    said = seqship()
    assert (said.returncode, said.stderr) == (0, "")
    assert "Start with:  seqship ship ecg-gru" in said.stdout
    assert "Exit codes: 0 done and proven, 1 the proof failed, 2 your input, 130" in said.stdout
    listed = said.stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines() if line] == list(COMMANDS)
    assert "..." not in listed  # no help that was cut off
    assert seqship("--help").stdout == said.stdout


def test_version(seqship: Call) -> None:
    said = seqship("--version")
    assert (said.returncode, said.stdout, said.stderr) == (0, f"seqship {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_an_example_that_names_it(seqship: Call, command: str) -> None:
    said = seqship(command, "--help")
    assert (said.returncode, said.stderr) == (0, "")
    example = said.stdout.partition("Example:  ")[2].splitlines()[0]
    assert f"seqship {command} " in example


def test_the_recipes_for_people(seqship: Call) -> None:
    said = seqship("list")
    assert (said.returncode, said.stderr) == (0, "")
    head, *rows = said.stdout.partition("\n\n")[0].splitlines()
    assert head.split() == ["recipe", "parameters", "cuDNN", "task"]
    assert rows[0].split(maxsplit=3) == [
        "ecg-gru",
        "5,205",
        "yes",
        "classify heartbeats of unequal length into 5 classes",
    ]
    assert [row.split()[0] for row in rows] == list(recipes())


def test_the_recipes_for_machines(seqship: Call) -> None:
    said = seqship("list", "--json")
    assert (said.returncode, said.stderr) == (0, "")
    rows = json.loads(said.stdout)
    keys = {"name", "task", "seed_document", "params", "cudnn_eligible", "data"}
    assert {frozenset(row) for row in rows} == {frozenset(keys)}
    assert (rows[0]["name"], rows[0]["params"], rows[0]["cudnn_eligible"]) == ("ecg-gru", 5205, True)


PROGRESS = """
from seqship.terminal import progress_bar
with progress_bar() as report:
    for done in range(1, 4):
        report(f"epoch 1/2  loss {done}.5", done, 3)
    report("epoch 1/2  loss 1.5  val_loss 2.5", 3, 3)
    report("comparing", 1, 2)
print("done")
"""


def test_progress_is_shown_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    parent, child = pty.openpty()
    result = subprocess.run([sys.executable, "-c", PROGRESS], stdout=subprocess.PIPE, stderr=child, text=True)
    os.close(child)
    shown = b""
    while part := _read(parent):
        shown += part
    os.close(parent)
    assert result.stdout == "done\n"
    text = shown.decode()
    assert text.count("epoch 1/2  loss 1.5  val_loss 2.5\r\n") == 1  # stays, where the bar goes away
    assert "comparing" in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # Linux says so when the other end has been closed.
        return b""


@pytest.mark.parametrize("colour", ["", "1"])
def test_progress_is_silent_elsewhere(monkeypatch: pytest.MonkeyPatch, colour: str) -> None:
    monkeypatch.setenv("FORCE_COLOR", colour)
    result = subprocess.run([sys.executable, "-c", PROGRESS], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("done\n", "")


NOISE = "import os\nos.write(2, b'what TensorFlow says of itself\\n')\n"


@pytest.mark.parametrize("end", ["KeyboardInterrupt", "ImportError('broken')"])
def test_what_tensorflow_says_is_shown_only_where_it_fails(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, end: str
) -> None:
    (tmp_path / "tensorflow.py").write_text(f"{NOISE}raise {end}\n")
    root = Path(__file__).parents[2]
    process = start("ship", "ecg-gru", env=os.environ | {"PYTHONPATH": f"{tmp_path}:{root}"}, cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert out == ""
    if end == "KeyboardInterrupt":
        assert (process.returncode, err) == (130, "seqship: error: interrupted\n")
    else:
        assert process.returncode == 1
        assert err.startswith("what TensorFlow says of itself\n")
        assert err.endswith("ImportError: broken\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), (), ("ship", "--help")])
def test_a_reader_that_has_gone_is_no_error(
    start: Callable[..., subprocess.Popen[str]], arguments: tuple[str, ...], unbuffered: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*arguments, stdout=writer, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_takes_is_one_line(start: Callable[..., subprocess.Popen[str]], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("list", stdout=full, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == "seqship: error: the system refused to read or write: no space left on device\n"


@pytest.mark.parametrize(
    ("closed", "code", "out", "err"),
    [
        (">&-", 0, "", ""),
        ("2>&-", 0, "recipe  ", ""),
        (">&- 2>&-", 0, "", ""),
        ("<&-", 0, "recipe  ", ""),
    ],
)
def test_closed_streams(closed: str, code: int, out: str, err: str) -> None:
    result = subprocess.run(["sh", "-c", f"{sys.executable} -m seqship list {closed}"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (code, err)
    assert result.stdout[: len("recipe  ")] == out
