"""What must hold within one runtime: right ones pass, and each relation convicts a runtime that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export import Agreement, to_onnx
from seqship.export.cases import Case, make_feed
from seqship.export.oracle import make_oracle
from seqship.export.recording import RecordedCase, record_cases
from seqship.export.relations import CHUNKED, PADDED, PERMUTED, REPEATED, ROW_ALONE, check_relations, chosen_cases
from seqship.export.runners import Feed, Outputs, Runner, keras_runner, onnx_runner
from seqship.export.streaming import export_signature
from seqship.export.tolerance import FLOAT32
from seqship.models.flavour import Flavour
from seqship.models.reference import run_layer
from seqship.models.spec import GATES, Activation, Kind, RecurrentSpec
from seqship.pipelines.spec import BATCH, TIME, Field

SIGNAL = Field("signal", "float32", (BATCH, TIME, 2), pad_value=-1.0)
STATES = (Field("state/memory/h", "float32", (BATCH, 3)), Field("state/memory/c", "float32", (BATCH, 3)))
STEPS, LAST = Field("steps", "float32", (BATCH, TIME, 3)), Field("last", "float32", (BATCH, 3))
OUTPUTS = (STEPS, LAST, *(replace(state, name=f"{state.name}_out") for state in STATES))
INPUTS = (SIGNAL, *STATES)
CASES = (
    Case(3, 6, "holes", "zero"),
    Case(3, 6, "right", "random"),
    Case(2, 6, "left", "zero"),
    Case(3, 6, "full", "random"),
)


def lstm(seed: int, kind: Kind = "LSTM") -> RecurrentSpec:
    random = np.random.default_rng(seed)
    width = 3 * GATES[kind]

    def draw(*shape: int) -> NDArray[Any]:
        return random.normal(0, 0.5, shape).astype(np.float32)

    return RecurrentSpec(
        "memory",
        kind,
        3,
        2,
        draw(2, width),
        draw(3, width),
        draw(width),
        Activation("tanh"),
        Activation("sigmoid"),
        return_sequences=True,
    )


def numpy_runner(spec: RecurrentSpec) -> Runner:
    """A streaming LSTM on the NumPy reference: quick, and right in all relations."""

    def run(feed: Feed) -> Outputs:
        signal = feed["signal"]
        initial = [
            np.broadcast_to(feed.get(state.name, np.zeros((1, 3), np.float32)), (len(signal), 3)) for state in STATES
        ]
        mask = (signal != -1.0).any(axis=2)
        steps, (h, c) = run_layer(spec, signal, mask=mask, initial_state=initial)
        made = {"steps": steps, "last": h, "state/memory/h_out": h, "state/memory/c_out": c}
        return {name: value.astype(np.float32) for name, value in made.items()}

    return run


def recorded_of(runner: Runner, cases: tuple[Case, ...] = CASES) -> tuple[RecordedCase, ...]:
    return record_cases(cases, INPUTS, runner, None)


RIGHT = numpy_runner(lstm(0))


def broken(relation: str, found: tuple[Agreement, ...]) -> set[str]:
    return {one.output for one in found if not one.passed and one.case.startswith(f"relation={relation} ")}


def relations_of(found: tuple[Agreement, ...]) -> set[str]:
    return {one.case.split()[0].removeprefix("relation=") for one in found}


def test_a_right_runtime_has_all_relations() -> None:
    found = check_relations(RIGHT, INPUTS, OUTPUTS, recorded_of(RIGHT), name="numpy", reference=RIGHT, single=RIGHT)
    assert all(one.passed for one in found)
    assert relations_of(found) == {ROW_ALONE, PERMUTED, PADDED, CHUNKED, REPEATED}
    assert {one.runner for one in found} == {"numpy"}
    (one,) = [one for one in found if one.case == "relation=padded batch=3 time=6 mask=holes state=zero"][:1]
    assert one.output == "steps"
    # Every output, but a chunk begins from a state that was handed in.
    assert {one.output for one in found if "chunked" in one.case} == {output.name for output in OUTPUTS}
    assert {one.case.split("mask=")[1] for one in found if "chunked" in one.case} == {
        "right state=random",
        "full state=random",
    }


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), batch=st.integers(2, 5), time=st.integers(1, 9))
def test_relations_hold_for_any_weights(seed: int, batch: int, time: int) -> None:
    runner = numpy_runner(lstm(seed))
    cases = tuple(Case(batch, time, mask, "random") for mask in ("holes", "right", "left", "empty_row"))
    found = check_relations(runner, INPUTS, OUTPUTS, recorded_of(runner, cases), name="numpy", single=runner)
    assert [one.sentence() for one in found if not one.passed] == []


def changed(change: Callable[[Feed, Outputs], Outputs]) -> Runner:
    return lambda feed: change(feed, RIGHT(feed))


def mixes_rows(_: Feed, outputs: Outputs) -> Outputs:
    return outputs | {"last": outputs["last"] - outputs["last"].mean(axis=0)}


def knows_the_place(_: Feed, outputs: Outputs) -> Outputs:
    return outputs | {"last": outputs["last"] + 0.01 * np.arange(len(outputs["last"]))[:, None].astype(np.float32)}


def sees_padding(feed: Feed, outputs: Outputs) -> Outputs:
    return outputs | {"last": outputs["last"] * np.float32(feed["signal"].shape[1])}


def sees_padding_at_steps(feed: Feed, outputs: Outputs) -> Outputs:
    return outputs | {"steps": outputs["steps"] + np.float32(0.01 * feed["signal"].shape[1])}


def forgets_the_cell(_: Feed, outputs: Outputs) -> Outputs:
    return outputs | {"state/memory/c_out": np.zeros_like(outputs["state/memory/c_out"])}


def drops_a_row(_: Feed, outputs: Outputs) -> Outputs:
    return outputs | {"last": outputs["last"][:2]}


@pytest.mark.parametrize(
    ("change", "relation", "outputs"),
    [
        (mixes_rows, ROW_ALONE, {"last"}),
        (knows_the_place, PERMUTED, {"last"}),
        (knows_the_place, ROW_ALONE, {"last"}),
        (sees_padding, PADDED, {"last"}),
        (sees_padding_at_steps, PADDED, {"steps"}),
        (forgets_the_cell, CHUNKED, {"steps", "last", "state/memory/h_out"}),
    ],
)
def test_who_breaks_a_relation_is_convicted(change: Any, relation: str, outputs: set[str]) -> None:
    recorded = recorded_of(RIGHT)
    found = check_relations(changed(change), INPUTS, OUTPUTS, recorded, name="wrong", reference=RIGHT)
    assert broken(relation, found) == outputs
    # What the reference lacks as well is not demanded.
    theirs = check_relations(changed(change), INPUTS, OUTPUTS, recorded, name="wrong", reference=changed(change))
    assert broken(relation, theirs) == set()
    assert relations_of(theirs) >= {ROW_ALONE, PERMUTED, PADDED, CHUNKED} - {relation}


def test_a_wrong_shape_is_convicted_not_raised() -> None:
    found = check_relations(changed(drops_a_row), INPUTS, OUTPUTS, recorded_of(RIGHT), name="wrong", reference=RIGHT)
    (one, *_) = [one for one in found if not one.passed]
    assert one.output == "last"
    assert "has shape" in one.note


def test_other_bits_at_the_second_call_are_convicted() -> None:
    calls = iter(range(10_000))

    def noisy(feed: Feed) -> Outputs:
        outputs = RIGHT(feed)
        return outputs | {"last": np.nextafter(outputs["last"], np.float32(next(calls) % 2))}

    found = check_relations(RIGHT, INPUTS, OUTPUTS, recorded_of(RIGHT), name="noisy", single=noisy)
    assert broken(REPEATED, found) == {"last"}
    assert all(one.passed for one in found if f"relation={REPEATED} " not in one.case)


def test_the_limit_is_that_of_the_case() -> None:
    recorded = recorded_of(RIGHT)
    tiny = changed(lambda feed, made: made | {"last": made["last"] + np.float32(1e-6 * len(feed["signal"]))})
    assert not broken(ROW_ALONE, check_relations(tiny, INPUTS, OUTPUTS, recorded, name="tiny", reference=RIGHT))
    strict = [replace(case, limits={"last": 1e-7}) for case in recorded]
    assert broken(ROW_ALONE, check_relations(tiny, INPUTS, OUTPUTS, strict, name="tiny", reference=RIGHT)) == {"last"}


def test_padding_is_demanded_of_what_masks_alone() -> None:
    plain = replace(SIGNAL, pad_value=None)
    found = check_relations(RIGHT, (plain, *STATES), OUTPUTS, recorded_of(RIGHT), name="numpy")
    assert PADDED not in relations_of(found)
    fixed = (replace(SIGNAL, shape=(3, TIME, 2)), *STATES)
    assert relations_of(check_relations(RIGHT, fixed, OUTPUTS, recorded_of(RIGHT), name="numpy")) == {PADDED, CHUNKED}


def test_an_input_that_is_a_mask_tells_what_padding_is() -> None:
    mask = Field("mask", "bool", (BATCH, TIME))
    inputs = (replace(SIGNAL, pad_value=None), mask)

    def counts(feed: Feed) -> Outputs:
        return {"last": (feed["signal"] * feed["mask"][:, :, None]).sum(axis=1)}

    def forgets(feed: Feed) -> Outputs:
        return {"last": np.asarray(feed["mask"].shape[1] * feed["signal"].sum(axis=1))}

    outputs = (replace(LAST, shape=(BATCH, 2)),)
    cases = record_cases((Case(3, 6, "right"),), inputs, counts, None)
    assert all(one.passed for one in check_relations(counts, inputs, outputs, cases, name="right"))
    found = check_relations(forgets, inputs, outputs, cases, name="wrong", reference=counts)
    assert broken(PADDED, found) == {"last"}


def test_a_reference_that_takes_no_other_batch_demands_nothing() -> None:
    def only_three(feed: Feed) -> Outputs:
        if len(feed["signal"]) != 3:
            raise ModelError("the batch is 3")
        return RIGHT(feed)

    cases = recorded_of(RIGHT, (Case(3, 6, "full", "random"),))
    found = check_relations(changed(mixes_rows), INPUTS, OUTPUTS, cases, name="wrong", reference=only_three)
    assert ROW_ALONE not in relations_of(found)
    assert PERMUTED in relations_of(found)


def test_few_cases_are_taken() -> None:
    cases = tuple(
        Case(batch, time, mask, state, values)
        for batch in (1, 2, 7)
        for time in (1, 6, 24)
        for mask in ("full", "right", "left", "holes", "single")
        for state in ("zero", "random")
        for values in ("data", "zeros")
    )
    recorded = [RecordedCase(case.name, make_feed(case, INPUTS, seed=0), {}) for case in cases]
    chosen = [case.case for case in chosen_cases(recorded, INPUTS)]
    assert chosen == [
        *(f"batch=2 time=6 mask={mask} state=zero" for mask in ("holes", "right", "left", "full")),
        "batch=2 time=6 mask=full state=random",
    ]
    alone = [RecordedCase("a case of its own", {"signal": np.zeros((1, 1, 2), np.float32)}, {})]
    assert chosen_cases(alone, (SIGNAL,)) == tuple(alone)
    assert chosen_cases([], (SIGNAL,)) == ()


# --- Real models


def build(flavour: Flavour, *, stateful: bool, pool: bool = False) -> Any:
    layers = flavour.keras.layers
    source = layers.Input(batch_shape=(2 if stateful else None, None, 2), name="signal")
    tensor = layers.Masking(-1.0)(source)
    tensor = layers.GRU(4, return_sequences=True, stateful=stateful, name="first")(tensor)
    if pool:
        tensor = layers.Conv1D(3, 3, padding="same")(tensor)
        return flavour.keras.Model(source, layers.GlobalAveragePooling1D()(tensor))
    if not stateful:
        tensor = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(tensor)
    model = flavour.keras.Model(source, layers.Dense(2, name="scores")(tensor))
    random = np.random.default_rng(1)
    model.set_weights([random.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def one_thread(path: Path) -> Runner:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(names, dict(feed)), strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("stateful", [False, True], ids=["bidirectional", "stateful"])
def test_an_export_has_the_relations_of_keras(flavour: Flavour, stateful: bool, tmp_path: Path) -> None:
    model = build(flavour, stateful=stateful)
    signature = export_signature(model)
    path = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    reference = keras_runner(signature)
    states = ("zero", "random") if stateful else (None,)
    cases = tuple(Case(3, 7, mask, state) for mask in ("holes", "right", "left") for state in states)
    recorded = record_cases(cases, signature.inputs, reference, make_oracle(signature))
    found = check_relations(
        onnx_runner(path),
        signature.inputs,
        signature.outputs,
        recorded,
        name="onnx",
        reference=reference,
        single=one_thread(path),
    )
    assert [one.sentence() for one in found if not one.passed] == []
    # Of a backward layer nothing could be streamed; the rest holds in both.
    wanted = {ROW_ALONE, PERMUTED, PADDED, REPEATED} | ({CHUNKED} if stateful else set())
    assert relations_of(found) == wanted


def test_a_convolution_that_sees_padding_is_not_convicted(flavour: Flavour, tmp_path: Path) -> None:
    model = build(flavour, stateful=False, pool=True)
    signature = export_signature(model)
    path = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    reference = keras_runner(signature)
    recorded = record_cases((Case(3, 7, "holes"), Case(3, 7, "right")), signature.inputs, reference, None)
    found = check_relations(
        onnx_runner(path), signature.inputs, signature.outputs, recorded, name="onnx", reference=reference
    )
    assert relations_of(found) == {ROW_ALONE, PERMUTED}
    assert all(one.passed for one in found)


def test_an_export_that_forgets_its_lengths_is_convicted(flavour: Flavour, tmp_path: Path) -> None:
    """Without `sequence_lens` the backward direction begins in the padding."""
    model = build(flavour, stateful=False)
    signature = export_signature(model)
    path = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    proto = onnx.load(path)
    for node in proto.graph.node:
        if node.op_type == "LSTM":
            node.input[4] = ""
    onnx.save(proto, path)
    reference = keras_runner(signature)
    recorded = record_cases((Case(3, 7, "right"),), signature.inputs, reference, None)
    found = check_relations(
        onnx_runner(path), signature.inputs, signature.outputs, recorded, name="onnx", reference=reference
    )
    assert broken(PADDED, found) == {"scores"}
    (first, *_) = [one for one in found if not one.passed]
    assert first.sentence().startswith("onnx differs from itself at relation=padded batch=3 time=7 mask=right: scores[")
    assert first.severity > 100
    assert FLOAT32.atol < first.max_abs
