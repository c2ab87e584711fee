"""The graphs that say how far rounded activations take an int8 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from seqship.export.quantization_noise import noisy_graph, rounded_graph
from seqship.export.quantized_weights import read_weights
from seqship.export.runners import onnx_runner
from seqship.models.flavour import load_flavour
from tests.export.int8_models import TOKENS, Int8Model, quantized_model, reader

Graphs = tuple[Int8Model, onnx.ModelProto, onnx.ModelProto, onnx.ModelProto]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    """A model, its rounded graph, and that with noise for each step and for all steps."""
    made = quantized_model(reader(load_flavour(3)), tmp_path_factory.mktemp("int8"), [TOKENS])
    plain = onnx.load(made.plain.path)
    weights = {key: one.actual.astype(np.float32) for key, one in read_weights(plain, made.proto).items()}  # pyright: ignore[reportOptionalMemberAccess]
    rounded = rounded_graph(plain, weights)
    return made, rounded, *(noisy_graph(rounded, weights, steady=steady) for steady in (False, True))


def run(proto: onnx.ModelProto, folder: Path, feed: Any) -> Any:
    onnx.save(proto, folder / "graph.onnx")
    return onnx_runner(folder / "graph.onnx")(feed)["scores"]


def test_the_rounded_graph_is_near_the_model_and_not_the_model(graphs: Graphs, tmp_path: Path) -> None:
    made, rounded, *_ = graphs
    made_of = ((run(rounded, tmp_path, case.feed), case.expected["scores"]) for case in made.recorded)
    differences = [np.abs(one - other).max() for one, other in made_of]
    assert 1e-4 < max(differences) < 0.2


def test_without_its_noise_the_noisy_graph_is_the_rounded_one(graphs: Graphs, tmp_path: Path) -> None:
    made, rounded, *noisy = graphs
    for graph in noisy:
        silent = onnx.ModelProto()
        silent.CopyFrom(graph)
        sources = [node for node in silent.graph.node if node.op_type == "RandomUniformLike"]
        # Of two LSTMs what comes in and the state, of one matrix what comes in.
        assert len(sources) == 5
        for node in sources:
            for one in node.attribute:
                if one.name in ("low", "high"):
                    one.f = 0.0
        for case in made.recorded:
            wanted = run(rounded, tmp_path, case.feed)
            np.testing.assert_allclose(run(silent, tmp_path, case.feed), wanted, rtol=0, atol=2e-6)


def test_noise_on_the_state_is_noise_on_the_state(tmp_path: Path) -> None:
    """What the noise adds to the gates in the first step is what a state of that size adds."""
    random = np.random.default_rng(0)
    kernel, recurrent = (random.normal(size=(1, 16, size)).astype(np.float32) for size in (3, 4))
    plain = lstm_graph({"W": kernel, "R": recurrent})
    noisy = noisy_graph(plain, {("lstm", 1): kernel, ("lstm", 2): recurrent}, steady=False)
    node = next(node for node in noisy.graph.node if node.name == "lstm")
    noisy.graph.output.append(onnx.ValueInfoProto(name=node.input[0]))
    onnx.save(noisy, tmp_path / "noisy.onnx")
    feed = {"x": random.normal(size=(1, 2, 3)).astype(np.float32)}
    made = onnx_runner(tmp_path / "noisy.onnx")(feed)
    both = made[node.input[0]]
    given, state = both[..., :3], both[..., 3:]
    assert np.abs(state).max() > 0
    onnx.save(lstm_graph({"W": kernel, "R": recurrent, "h": state.copy()}), tmp_path / "begun.onnx")
    wanted = onnx_runner(tmp_path / "begun.onnx")({"x": given.copy()})["y"]
    np.testing.assert_allclose(made["y"], wanted, rtol=0, atol=1e-6)


def lstm_graph(constants: dict[str, Any]) -> onnx.ModelProto:
    """An LSTM over two rows of one step, which may begin with a state h."""
    inputs = ["x", "W", "R", "", "", "h"] if "h" in constants else ["x", "W", "R"]
    node = onnx.helper.make_node("LSTM", inputs, ["y"], "lstm", hidden_size=4)
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "graph",
        [onnx.helper.make_tensor_value_info("x", floats, [1, 2, 3])],
        [onnx.helper.make_tensor_value_info("y", floats, [1, 1, 2, 4])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


def test_noise_is_another_at_each_run_and_the_same_in_each_session(graphs: Graphs, tmp_path: Path) -> None:
    made, _, *noisy = graphs
    feed = next(case.feed for case in made.recorded if "time=24 mask=full" in case.case)
    for number, graph in enumerate(noisy):
        onnx.save(graph, tmp_path / f"{number}.onnx")
        one, two = (onnx_runner(tmp_path / f"{number}.onnx") for _ in range(2))
        first, second = one(feed)["scores"], one(feed)["scores"]
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(first, two(feed)["scores"])


@pytest.mark.parametrize("steady", [False, True])
def test_noise_is_up_to_half_a_step_of_the_grid(graphs: Graphs, steady: bool, tmp_path: Path) -> None:
    """On what goes into the first LSTM, and on its state."""
    made, _, each_step, all_steps = graphs
    graph = all_steps if steady else each_step
    adds = {node.output[0]: node for node in graph.graph.node if node.op_type == "Add"}
    first = next(node for node in graph.graph.node if node.op_type == "LSTM" and not node.name.endswith("/exact"))
    joined = next(node for node in graph.graph.node if node.output[0] == first.input[0])
    added = adds[joined.input[0]]
    shown = onnx.ModelProto()
    shown.CopyFrom(graph)
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in (*added.input, joined.input[1]))
    onnx.save(shown, tmp_path / "shown.onnx")
    feed = next(case.feed for case in made.recorded if "batch=9 time=24 mask=full" in case.case)
    values = onnx_runner(tmp_path / "shown.onnx")(feed)
    value, noise, state = (values[name] for name in (*added.input, joined.input[1]))
    step = (max(value.max(), 0) - min(value.min(), 0)) / 255
    assert 0.4 * step < np.abs(noise).max() <= 0.5 * step * (1 + 1e-6)
    # The state of an LSTM is between -1 and 1; there are as many features of its noise as it has units.
    assert state.shape == (24, 9, 12)
    assert 0 < np.abs(state).max() <= 1 / 255
    assert noise.shape == ((1, 9, 16) if steady else (24, 9, 16))
    assert np.ptp(state, axis=0).max() == 0 if steady else np.ptp(state, axis=0).max() > 0
