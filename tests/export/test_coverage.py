"""The table of what is native holds for architectures that are exported in the tests, row by row."""

from __future__ import annotations

from seqship.export.coverage import FALLBACK, NATIVE, REFUSED, coverage_page
from seqship.export.operators import ACTIVATIONS
from tests.export.architectures import ARCHITECTURES

# Rows that `test_architectures.py` proves, by the beginning of their name; the others have tests of their own.
PROVEN = {
    "`LSTM`, `GRU`": ("LSTM-masked", "GRU-masked", "LSTM-mask-as-input", "no-bias", "reset-before"),
    "`SimpleRNN`": ("SimpleRNN-masked", "SimpleRNN-embedded"),
    "`go_backwards`": ("backwards-stack", "all-of-an-lstm", "states-as-inputs"),
    "`unroll=True`": ("unrolled", "recurrent-dropout", "time-major"),
    "`Bidirectional`": ("bidirectional-concat-sequence", "bidirectional-apart-last", "bidirectional-relu-backwards"),
    "stacked layers": ("three-lstms", "three-grus-masked", "mixed-stack"),
    "`RNN(LSTMCell)`": ("lstm-cell", "gru-cell", "simple-rnn-cell"),
    "`RNN([cells])`": ("list-of-cells", "stacked-cells"),
    "peephole": ("peepholes",),
    "`TimeDistributed`": ("hierarchy", "hierarchy-of-models"),
    "encoder and decoder": ("encoder-decoder", "bidirectional-encoder-decoder"),
}
LEFT = {
    "any other activation": "exponential",
    "`ConvLSTM1D`": "convolutional-lstm-1d",
    "cells of your own": "own-cell",
}


def test_native_rows_are_architectures_without_a_loop() -> None:
    for beginning, names in PROVEN.items():
        assert [row for row in NATIVE if row.name.startswith(beginning)], beginning
        assert not any(ARCHITECTURES[name].loops for name in names)
        assert all(sum(ARCHITECTURES[name].operators.values()) for name in names)


def test_fallback_rows_are_architectures_with_one() -> None:
    for beginning, name in LEFT.items():
        assert [row for row in FALLBACK if row.name.startswith(beginning)], beginning
        assert ARCHITECTURES[name].loops
        assert ARCHITECTURES[name].reason


def test_the_page_shows_every_row_and_every_activation() -> None:
    page = coverage_page()
    for row in (*NATIVE, *FALLBACK, *REFUSED):
        assert f"| {row.name} | {row.becomes} | {row.note} |" in page
    for keras, onnx in ACTIVATIONS.items():
        assert f"{keras} (`{onnx}`)" in page
