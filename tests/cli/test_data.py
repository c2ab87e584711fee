"""`seqship data`: what a recipe would be trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from seqship.cli.data import data_command
from seqship.errors import DataError, ModelError, OutputError
from seqship.pipelines.heartbeat_csv import read_heartbeat_file


def ask(*arguments: object) -> str:
    """What the command prints; its errors are raised."""
    app = typer.Typer()
    app.command()(data_command)
    said = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert said.exit_code == 0
    return said.stdout


def test_sequences_with_their_lengths_and_their_waste(beats: Path) -> None:
    said = ask("ecg-gru", "--data", beats)
    lines = said.splitlines()
    assert lines[0] == "recipe  ecg-gru: classify heartbeats of unequal length into 5 classes"
    bars = [line.split() for line in lines[lines.index("lengths of the training sequences") + 1 :]]
    train = int(next(line for line in lines if line.startswith("train")).split()[1])
    assert sum(int(bar[-1]) for bar in bars) == train
    assert max(len(bar[1]) for bar in bars if len(bar) == 3) == 40
    assert bars[0][0].split("-")[0] == str(min(len(value) for value in read_heartbeat_file(beats).values))
    assert "% of the steps are padding" in said
    assert "\x1b" not in said


def test_the_document_says_the_same(beats: Path) -> None:
    document: dict[str, Any] = json.loads(ask("ecg-gru", "--data", beats, "--json"))
    total = sum(document[split]["examples"] for split in ("train", "validation", "test"))
    assert total == len(read_heartbeat_file(beats))
    train = document["train"]
    assert train["kind"] == "sequences"
    assert 0 < train["padding"]["waste"] < 1
    assert sum(train["classes"].values()) == train["examples"]


def test_windows_of_a_series(tmp_path: Path) -> None:
    path = tmp_path / "airline.csv"
    months = np.datetime64("2001-01", "M") + np.arange(60)
    path.write_text("Month,Passengers\n" + "".join(f"{month},{100 + i}\n" for i, month in enumerate(months)))
    said = ask("airline-rnn", "--data", path, "--plot", tmp_path / "page.html")
    assert "38 windows in 39 steps, 0 values missing" in said
    assert "columns  Passengers" in said
    assert "length 1; scaled by the training span" in said
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 1
    assert "test begins" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_of_sequences(beats: Path, tmp_path: Path) -> None:
    ask("ecg-gru", "--data", beats, "--plot", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 2
    assert "<rect" in page
    assert "<script" not in page


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no recipe is named 'ecg'"):
        ask("ecg")
    with pytest.raises(OutputError, match=r"the plot page\.png is a page; give it a name that ends with \.html$"):
        ask("ecg-gru", "--plot", "page.png")
    with pytest.raises(DataError, match="does not exist"):
        ask("ecg-gru", "--data", tmp_path / "nothing.csv")
