"""Where a falsified export goes wrong: layer, step and reason are those of the falsification."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from seqship.errors import ModelError
from seqship.export import to_onnx
from seqship.export.cases import Case, make_feed
from seqship.export.divergence import LayerReference, find_divergence, layer_reference
from seqship.export.runners import Feed
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.models.flavour import Flavour

ROWS, TIME = 3, 7


class Exported(NamedTuple):
    """What is known of a model's layers, and its ONNX file."""

    reference: LayerReference
    path: Path

    @property
    def signature(self) -> ModelSignature:
        return self.reference.signature


def given_weights(model: Any, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    weights = [random.normal(0, 0.5, weight.shape).astype(np.float32) for weight in model.get_weights()]
    kinds = [weight.name for weight in model.weights]
    # A variance is no negative number.
    pairs = zip(weights, kinds, strict=True)
    model.set_weights([np.abs(weight) if "variance" in kind else weight for weight, kind in pairs])
    return model


def export(model: Any, path: Path) -> Exported:
    signature = export_signature(model)
    to_onnx(model, path, signature=signature)
    return Exported(layer_reference(model, signature=signature), path)


def masked_model(flavour: Flavour) -> Any:
    """Two recurrent layers behind a mask, a Bidirectional between them, a Dense at every step and one at the end."""
    layers = flavour.keras.layers
    return given_weights(
        flavour.keras.Sequential(
            [
                layers.Input((None, 2), name="signal"),
                layers.Masking(-1.0, name="masking"),
                layers.GRU(4, return_sequences=True, name="first"),
                layers.Dense(3, activation="tanh", name="middle"),
                layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="turned"), name="both"),
                layers.GRU(3, name="second"),
                layers.Dense(3, activation="softmax", name="scores"),
            ],
            name="small",
        )
    )


@pytest.fixture(scope="module")
def exported(flavour: Flavour, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(masked_model(flavour), tmp_path_factory.mktemp("divergence") / "model.onnx")


def feed_of(signature: ModelSignature, mask: Any = "holes", state: Any = None) -> dict[str, NDArray[Any]]:
    return make_feed(Case(ROWS, TIME, mask, state), signature.inputs, seed=3)


def steps_of(feed: Feed) -> list[list[int]]:
    """The valid steps of every row."""
    return [np.flatnonzero(row).tolist() for row in (feed["signal"] != -1.0).any(axis=2)]


# --- Falsifications

Change = Callable[[Any], None]


def node_of(proto: Any, operator: str, position: int = 0) -> Any:
    return [node for node in proto.graph.node if node.op_type == operator][position]


def change_tensor(proto: Any, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    (tensor,) = [tensor for tensor in proto.graph.initializer if tensor.name == name]
    value = numpy_helper.to_array(tensor)
    changed = change(value.copy())
    assert not np.array_equal(changed, value)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed, value.dtype), name))


def weight(operator: str, position: int, place: int, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Change:
    return lambda proto: change_tensor(proto, node_of(proto, operator, position).input[place], change)


def times_two(value: NDArray[Any]) -> NDArray[Any]:
    return value * 2


def backward_times_two(value: NDArray[Any]) -> NDArray[Any]:
    value[1] *= 2
    return value


def swap_gates(value: NDArray[Any]) -> NDArray[Any]:
    gates = np.split(value, 3, axis=1)
    return np.concatenate([gates[1], gates[0], gates[2]], axis=1)


def drop(operator: str, position: int, place: int) -> Change:
    def change(proto: Any) -> None:
        node = node_of(proto, operator, position)
        assert node.input[place]
        node.input[place] = ""

    return change


def attribute(operator: str, position: int, name: str, value: Any) -> Change:
    def change(proto: Any) -> None:
        node = node_of(proto, operator, position)
        (found,) = [one for one in node.attribute if one.name == name]
        assert onnx.helper.get_attribute_value(found) != value
        node.attribute.remove(found)
        node.attribute.append(onnx.helper.make_attribute(name, value))

    return change


def no_permutation(proto: Any) -> None:
    """Lengths are right, but the valid steps stay where they are."""
    scatter = node_of(proto, "ScatterElements")
    for node in proto.graph.node:
        for place, name in enumerate(node.input):
            if name == scatter.output[0]:
                node.input[place] = scatter.input[0]


def not_restored(proto: Any) -> None:
    """Masked steps of the first layer are put back one step off."""
    node = [node for node in proto.graph.node if node.op_type == "GatherND" and node.name.startswith("first_")][-1]
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((ROWS, TIME, 1), np.int64), "nowhere"))
    node.input[1] = "nowhere"


def dense_weights(position: int, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Change:
    return lambda proto: change_tensor(proto, node_of(proto, "MatMul", position).input[1], change)


def dense_bias(proto: Any) -> None:
    node = [node for node in proto.graph.node if node.op_type == "Add" and "/scores" in node.name][-1]
    change_tensor(proto, next(name for name in node.input if "scores" in name and "MatMul:" not in name), times_two)


def dense_activation(proto: Any) -> None:
    (node,) = [node for node in proto.graph.node if node.op_type == "Tanh" and "/middle" in node.name]
    node.op_type = "Sigmoid"


class Wanted(NamedTuple):
    """What is to be told: `step` picks of the valid steps of a row, None where there are none."""

    change: Change
    layer: str
    kind: str
    reason: str
    detail: str
    step: Callable[[list[int]], int] | None


def earliest(steps: list[int]) -> int:
    return steps[0]


def second_valid(steps: list[int]) -> int:
    return steps[1]


def latest(steps: list[int]) -> int:
    return steps[-1]


R = "its recurrent weights R are not those of the Keras layer"
WRONG: Mapping[str, Wanted] = {
    "W": Wanted(weight("GRU", 0, 1, times_two), "first", "GRU", "weights", "its weights W are not", earliest),
    # The state is zero before the first step: R shows at the second.
    "R": Wanted(weight("GRU", 0, 2, times_two), "first", "GRU", "weights", R, second_valid),
    "B": Wanted(weight("GRU", 0, 3, times_two), "first", "GRU", "bias", "its bias B is not that of", earliest),
    "no bias": Wanted(drop("GRU", 0, 3), "first", "GRU", "bias", "it has no bias B", earliest),
    "gates": Wanted(
        weight("GRU", 0, 1, swap_gates), "first", "GRU", "order of gates", "the gates of its weights W are", earliest
    ),
    "reset": Wanted(
        attribute("GRU", 0, "linear_before_reset", 0),
        "first",
        "GRU",
        "reset",
        "its attribute linear_before_reset is 0, that of the Keras layer 1",
        earliest,
    ),
    "activation": Wanted(
        attribute("GRU", 0, "activations", ["Sigmoid", "Softsign"]),
        "first",
        "GRU",
        "activation",
        "its attribute activations is Sigmoid Softsign, that of the Keras layer Sigmoid Tanh",
        earliest,
    ),
    "direction": Wanted(
        attribute("GRU", 0, "direction", "reverse"),
        "first",
        "GRU",
        "direction",
        "its attribute direction is reverse, that of the Keras layer forward",
        earliest,
    ),
    "permutation": Wanted(
        no_permutation, "first", "GRU", "mask", "the steps that it runs over are not those that its mask has", None
    ),
    "not restored": Wanted(not_restored, "first", "GRU", "mask", "its steps are not put back", None),
    "Dense at every step": Wanted(
        dense_weights(0, times_two), "middle", "Dense", "weights", "its kernel is nowhere in the ONNX graph", earliest
    ),
    "Dense transposed": Wanted(
        dense_weights(1, np.transpose), "scores", "Dense", "weights", "its kernel is there with rows for columns", None
    ),
    "activation of a Dense": Wanted(
        dense_activation, "middle", "Dense", "activation", "its activation is not tanh", earliest
    ),
    "both forward": Wanted(weight("LSTM", 0, 1, times_two), "both", "Bidirectional LSTM", "weights", "W", earliest),
    "both backward": Wanted(
        weight("LSTM", 0, 1, backward_times_two),
        "both",
        "Bidirectional LSTM",
        "weights",
        "its weights W are not those of the Keras layer (backward direction)",
        latest,
    ),
    "lengths of both": Wanted(
        drop("LSTM", 0, 4), "both", "Bidirectional LSTM", "mask", "it has no sequence_lens", latest
    ),
    "second R": Wanted(weight("GRU", 1, 2, times_two), "second", "GRU", "weights", R, second_valid),
    "second lengths": Wanted(drop("GRU", 1, 4), "second", "GRU", "mask", "it has no sequence_lens", latest),
    "scores": Wanted(
        dense_weights(1, times_two), "scores", "Dense", "weights", "its kernel is nowhere in the ONNX graph", None
    ),
    "scores bias": Wanted(dense_bias, "scores", "Dense", "bias", "its bias is nowhere in the ONNX graph", None),
}


def falsified(exported: Exported, change: Change, path: Path) -> Path:
    proto = onnx.load(exported.path)
    change(proto)
    onnx.save(proto, path)
    return path


def test_a_right_export_diverges_nowhere(exported: Exported) -> None:
    for mask in ("holes", "left", "right", "full", "empty_row", "all_empty"):
        feed = feed_of(exported.signature, mask)
        assert find_divergence(exported.reference, exported.path, feed) is None


@pytest.mark.parametrize("wrong", WRONG)
def test_layer_step_and_reason_are_told(wrong: str, exported: Exported, tmp_path: Path) -> None:
    wanted = WRONG[wrong]
    feed = feed_of(exported.signature)
    path = falsified(exported, wanted.change, tmp_path / "wrong.onnx")
    found = find_divergence(exported.reference, path, feed)
    assert found is not None
    assert (found.layer, found.kind, found.reason, found.unseen) == (wanted.layer, wanted.kind, wanted.reason, ())
    assert wanted.detail in found.detail
    if wanted.step is not None:
        assert found.step == wanted.step(steps_of(feed)[found.row])
    if wanted.layer == "scores":
        assert found.step is None
    assert found.times > 1
    assert "\n" not in found.sentence()


def test_the_sentence_names_node_row_step_and_reason(exported: Exported, tmp_path: Path) -> None:
    path = falsified(exported, WRONG["R"].change, tmp_path / "wrong.onnx")
    found = find_divergence(exported.reference, path, feed_of(exported.signature))
    assert found is not None
    node = node_of(onnx.load(path), "GRU").name
    assert found.sentence() == (
        f"first differs in layer first (GRU, ONNX GRU node {node}), row {found.row}, step {found.step}: "
        f"{found.actual:.6g} instead of {found.expected:.6g}, {found.times:.3g} times what rounding explains; {R}"
    )
    document = found.to_json()
    json.dumps(document, allow_nan=False)
    assert document["reason"] == "weights"
    assert document["unseen"] == []
    assert json.dumps(replace(found, times=float("inf"), actual=float("nan")).to_json(), allow_nan=False)


# --- Other models


def build_shared(k: Any) -> Any:
    """One layer called twice, behind each other."""
    source = k.layers.Input((None, 3), name="signal")
    shared = k.layers.GRU(3, return_sequences=True, name="shared")
    return k.Model(source, k.layers.Dense(2, name="scores")(shared(shared(source))))


def build_nested(k: Any) -> Any:
    inner_source = k.layers.Input((None, 3))
    inner = k.Model(inner_source, k.layers.LSTM(4, go_backwards=True, name="backwards")(inner_source), name="inner")
    source = k.layers.Input((None, 3), name="signal")
    return k.Model(source, k.layers.Dense(2, name="scores")(inner(source)))


def build_stacked(k: Any) -> Any:
    source = k.layers.Input((None, 3), name="signal")
    cells = [k.layers.LSTMCell(4, name="low"), k.layers.GRUCell(3, name="high")]
    return k.Model(source, k.layers.RNN(cells, return_sequences=True, name="cells")(source))


def build_loop(k: Any) -> Any:
    """A layer without an operator, and a convolution that nothing masks."""
    source = k.layers.Input((None, 3), name="signal")
    odd = k.layers.SimpleRNN(3, activation="swish", return_sequences=True, name="odd")(source)
    return k.Model(source, k.layers.Dense(2, name="scores")(k.layers.Conv1D(3, 2, padding="same", name="conv")(odd)))


def build_merged(k: Any) -> Any:
    """tf2onnx makes one convolution of a convolution and what normalizes it."""
    source = k.layers.Input((None, 3), name="signal")
    conv = k.layers.Conv1D(4, 2, padding="causal", name="conv")(source)
    normal = k.layers.BatchNormalization(name="normal")(conv)
    return k.Model(source, k.layers.GRU(3, name="after")(k.layers.Activation("relu", name="cut")(normal)))


def stateful(k: Any) -> Any:
    source = k.layers.Input(batch_shape=(ROWS, None, 3), name="signal")
    return k.Model(source, k.layers.LSTM(4, stateful=True, return_sequences=True, name="memory")(source))


@pytest.mark.parametrize(
    ("build", "operator", "layer", "kind"),
    [
        (build_shared, "GRU", "shared", "GRU"),
        (build_nested, "LSTM", "backwards", "LSTM"),
        (build_stacked, "LSTM", "cells", "RNN"),
        (build_merged, "GRU", "after", "GRU"),
        (build_loop, "", "", ""),
    ],
)
def test_other_models(build: Any, operator: str, layer: str, kind: str, flavour: Flavour, tmp_path: Path) -> None:
    exported = export(given_weights(build(flavour.keras)), tmp_path / "model.onnx")
    feed = feed_of(exported.signature, "full")
    assert find_divergence(exported.reference, exported.path, feed) is None
    if operator:
        path = falsified(exported, weight(operator, 0, 2, times_two), tmp_path / "wrong.onnx")
        found = find_divergence(exported.reference, path, feed)
        assert found is not None
        assert (found.layer, found.kind, found.reason, found.detail) == (layer, kind, "weights", R)
        backwards = layer == "backwards"
        assert found.step == (TIME - 2 if backwards else 1)


def test_what_a_loop_does_is_told_of_its_layer(flavour: Flavour, tmp_path: Path) -> None:
    exported = export(given_weights(build_loop(flavour.keras)), tmp_path / "model.onnx")
    proto = onnx.load(exported.path)
    (loop,) = [node for node in proto.graph.node if node.op_type in ("Loop", "Scan")]
    (step,) = [one.g for one in loop.attribute if one.name == "body"]
    sigmoid = next(node for node in step.node if node.op_type == "Sigmoid")
    sigmoid.op_type = "Tanh"
    onnx.save(proto, tmp_path / "wrong.onnx")
    found = find_divergence(exported.reference, tmp_path / "wrong.onnx", feed_of(exported.signature, "full"))
    assert found is not None
    assert found.layer == "odd" or "odd" in found.unseen


def test_a_state_that_is_left_out_is_told(flavour: Flavour, tmp_path: Path) -> None:
    exported = export(given_weights(stateful(flavour.keras)), tmp_path / "model.onnx")
    for state in ("random", "zero"):
        feed = feed_of(exported.signature, "full", state)
        assert find_divergence(exported.reference, exported.path, feed) is None
    path = falsified(exported, drop("LSTM", 0, 5), tmp_path / "wrong.onnx")
    found = find_divergence(exported.reference, path, feed_of(exported.signature, "full", "random"))
    assert found is not None
    assert (found.layer, found.reason, found.detail, found.step) == ("memory", "state", "it has no initial_h", 0)
    assert find_divergence(exported.reference, path, feed_of(exported.signature, "full", "zero")) is None


def test_the_model_is_as_it_was_before(flavour: Flavour, exported: Exported) -> None:
    """Nothing is recorded outside of a trace, and the layers are not changed."""
    before = len(exported.reference.taps.calls)
    fresh = masked_model(flavour)
    assert fresh(np.zeros((1, 3, 2), np.float32)).shape == (1, 3)
    assert len(exported.reference.taps.calls) == before
    assert all("call" not in vars(layer) for layer in fresh.layers)


def test_a_file_that_is_no_onnx_is_named(exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "none.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=rf"^{path} is refused by onnxruntime: ") as raised:
        find_divergence(exported.reference, path, feed_of(exported.signature))
    assert "\n" not in str(raised.value)
