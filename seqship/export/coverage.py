"""What becomes a native ONNX operator and what does not, as a table: the documentation is written from it."""

from __future__ import annotations

from dataclasses import dataclass

from seqship.export.operators import ACTIVATIONS
from seqship.models.cudnn import MASK_REQUIREMENTS, REQUIREMENTS, SOURCE


@dataclass(frozen=True)
class Construct:
    """Something that people build with recurrent layers.

    Attributes:
        name: What it is, in the words of Keras.
        becomes: What stands in the ONNX graph.
        note: What to know of it; empty where there is nothing.
    """

    name: str
    becomes: str
    note: str = ""


_MASKED = "any mask: right, left, holes, empty rows"

NATIVE: tuple[Construct, ...] = (
    Construct("`LSTM`, `GRU`", "one `LSTM` / `GRU`", f"{_MASKED}; `reset_after` both ways; with or without bias"),
    Construct("`SimpleRNN`", "one `RNN`", _MASKED),
    Construct("`go_backwards`, `return_sequences`, `return_state`, `initial_state`", "the same operator"),
    Construct("`unroll=True`, `recurrent_dropout`, `time_major` (tf-keras)", "the same operator"),
    Construct("`zero_output_for_mask`", "the same operator", "zeros where masked, else the step before repeated"),
    Construct(
        "`Bidirectional`",
        "one operator with `direction=bidirectional`",
        "every merge mode; an own backward layer too, if kind, units and `reset_after` are equal; else two operators",
    ),
    Construct("stacked layers", "one operator each", "no transposes between them; layers with one mask share its work"),
    Construct("`RNN(LSTMCell)`, `RNN(GRUCell)`, `RNN(SimpleRNNCell)`", "one operator"),
    Construct("`RNN([cells])`, `StackedRNNCells`", "one operator a cell"),
    Construct(
        "peephole `LSTMCell` of TensorFlow 1 (tf-keras)", "one `LSTM` with `P`", "without clipping or projection"
    ),
    Construct(
        "`TimeDistributed` over a layer or model of Keras' own",
        "the wrapped operators, time folded into the batch",
        "Keras 3: for a fixed number of steps; with a free one Keras 3.15 itself counts steps by the batch size",
    ),
    Construct("encoder and decoder", "operators whose states are handed over"),
    Construct("`stateful=True`", "an operator with state inputs and outputs", "`state/<layer>/h` in, `…_out` out"),
    Construct("a mask of `tf.sequence_mask`, or `--padding right`", "an operator with `sequence_lens` alone"),
)

FALLBACK: tuple[Construct, ...] = (
    Construct("any other activation", "`Loop`", "the operators have none but those above (Softplus overflows)"),
    Construct("Keras 3 in float64", "`Loop`", "onnxruntime's recurrent operators compute in float32"),
    Construct("`mixed_float16`", "`Loop`", "half precision rounds more than the proof allows: it says not equivalent"),
    Construct("dropout with `training=True`", "`Loop`", "random in every runtime: it cannot be proven"),
    Construct("`ConvLSTM1D`, `ConvLSTM2D`, `ConvLSTM3D`", "`Loop`", "ONNX has no such operator"),
    Construct("cells of your own, `RNN(cell, constants)`", "`Loop`", "nobody knows what they compute"),
    Construct("classes derived from `LSTM`, `GRU`, ...", "`Loop`", "their `call` may do anything"),
    Construct("a ragged tensor inside the model", "`Loop`", "the operators take dense sequences"),
    Construct("`StackedRNNCells(reverse_state_order=True)`", "`Loop`", "a leftover of TensorFlow 1"),
)

REFUSED: tuple[Construct, ...] = (
    Construct("an operation without an ONNX counterpart (`TextVectorization`)", "no file", "named with its layer"),
    Construct("`stateful=True` of ConvLSTM or of a cell of your own", "no file", "the state would be lost"),
    Construct(
        "`keras.ops.argmax` (Keras 3)", "no file", "it casts bits; `keras.ops.top_k(x, k=1)` gives the same index"
    ),
    Construct("`gelu`, `bfloat16`", "no file", "tf2onnx has no Erfc, onnxruntime no such operators"),
    Construct("a stateful layer that is called with `initial_state`", "no file", "it would have two states"),
    Construct("float64 `LSTM` and `GRU` of tf-keras", "no file", "tf2onnx makes operators that onnxruntime cannot run"),
)


def coverage_page() -> str:
    """Returns the page of the documentation."""
    activations = ", ".join(f"{keras} (`{onnx}`)" for keras, onnx in ACTIVATIONS.items())
    tables = "\n\n".join(
        f"## {title}\n\n{text}\n\n{_table(rows)}"
        for title, text, rows in (
            ("Native", f"Without a `Loop`, exactly what Keras computes. Activations: {activations}.", NATIVE),
            (
                "Correct, through a Loop",
                "The stock conversion of tf2onnx; the audit names layer and reason, `--no-loop` refuses it.",
                FALLBACK,
            ),
            ("Refused, in one line", "Nothing is written.", REFUSED),
        )
    )
    head = f"# What is native in ONNX, and what is not\n\nWritten by `docs/generate.py` from `{__name__}`."
    return f"{head}\n\n{tables}\n\n{_cudnn()}\n"


def _cudnn() -> str:
    layers = "\n".join(f"| `{rule.option}` | {rule.wanted} |" for rule in REQUIREMENTS)
    masks = "\n".join(f"- {rule.wanted}" for rule in MASK_REQUIREMENTS)
    return (
        f"## On a GPU, by cuDNN\n\nAn `LSTM` or `GRU` layer with these options; no `SimpleRNN`, no `RNN` over a cell. "
        f"Source: {SOURCE}. `seqship inspect` names what stands in the way, `--require-cudnn` refuses it.\n\n"
        f"| option | has to be |\n|---|---|\n{layers}\n\nA mask has to be\n\n{masks}\n\n"
        "What breaks these two is no error: an exported SavedModel then runs the batch step by step."
    )


def _table(rows: tuple[Construct, ...]) -> str:
    lines = [f"| {row.name} | {row.becomes} | {row.note} |" for row in rows]
    return "\n".join(["| Keras | ONNX | |", "|---|---|---|", *lines])
