"""Cells: what each computes, and how well each remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models.flavour import Flavour, load_flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import cells

NATIVE, PEEPHOLE, RESIDUAL = cells.RECIPES
VALUES = np.random.default_rng(0).uniform(-1, 1, (3, 10, 1)).astype(np.float32)


def memory(model: Any, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(model.get_layer(name)(VALUES))


def test_every_answer_is_the_first_value() -> None:
    data = NATIVE.load(LoadOptions())
    test: Any = data.test
    assert test.targets.shape == (600, 6)
    assert np.array_equal(test.targets, np.repeat(test.inputs["values"][:, 0], 6, axis=1))


def test_each_cell_has_a_column_of_its_own(flavour: Flavour) -> None:
    flavour.keras.utils.set_random_seed(0)
    model = NATIVE.model(flavour)
    before = np.asarray(model(VALUES))
    assert before.shape == (3, 6)
    head = model.get_layer("gru_reset_before_answer")
    head.set_weights([weight * 0 + 1 for weight in head.get_weights()])
    changed = np.asarray(model(VALUES)) != before
    assert changed.any(axis=0).tolist() == [False, False, False, True, False, False]


def test_the_two_reset_forms_differ_in_their_biases(flavour: Flavour) -> None:
    model = NATIVE.model(flavour)
    assert model.get_layer("gru_reset_after").count_params() == 264
    assert model.get_layer("gru_reset_before").count_params() == 240


def test_both_peephole_cells_compute_the_same() -> None:
    old, new = (PEEPHOLE.model(load_flavour(version)) for version in (2, 3))
    generator = np.random.default_rng(1)
    kernel, recurrent = generator.normal(size=(1, 32)), generator.normal(size=(8, 32))
    bias, (i, f, o) = generator.normal(size=32), generator.normal(size=(3, 8))

    def ordered(weights: Any) -> Any:
        """The gates i f c o in the order of TensorFlow 1, i c f o."""
        one, two, three, four = np.split(weights, 4, axis=-1)
        return np.concatenate([one, three, two, four], axis=-1)

    new.get_layer("peephole").set_weights([kernel, recurrent, bias, np.stack([i, f, o])])
    old.get_layer("peephole").set_weights([ordered(np.concatenate([kernel, recurrent])), ordered(bias), f, i, o])
    np.testing.assert_allclose(memory(old, "peephole"), memory(new, "peephole"), atol=1e-5)


def test_a_residual_cell_adds_what_went_in(flavour: Flavour) -> None:
    flavour.keras.utils.set_random_seed(0)
    model = RESIDUAL.model(flavour)
    layers = flavour.keras.layers
    lstm, gru = (layers.RNN(cell(8), return_sequences=True) for cell in (layers.LSTMCell, layers.GRUCell))
    weights = model.get_layer("residual").get_weights()
    inner = lstm(VALUES)
    lstm.set_weights(weights[:3])
    inner = lstm(VALUES)
    gru(inner)
    gru.set_weights(weights[3:])
    wanted = np.asarray(gru(inner)) + np.asarray(inner)
    np.testing.assert_allclose(memory(model, "residual"), wanted[:, -1], atol=1e-6)


# tf-keras' own peephole cell cannot be loaded: its class has the name of another one.
@pytest.mark.parametrize(("found", "version"), [(PEEPHOLE, 3), (RESIDUAL, 2), (RESIDUAL, 3)])
def test_cells_of_our_own_can_be_saved(found: Any, version: Literal[2, 3], tmp_path: Path) -> None:
    flavour = load_flavour(version)
    model = found.model(flavour)
    model.save(str(tmp_path / "model.keras"))
    again = flavour.keras.models.load_model(str(tmp_path / "model.keras"))
    np.testing.assert_allclose(np.asarray(model(VALUES)), np.asarray(again(VALUES)), atol=1e-6)


def test_a_cell_that_forgets_is_named() -> None:
    data = NATIVE.load(LoadOptions())
    test: Any = data.test
    off = test.targets + np.array([0, 0, 0, 2, 0, 0.5], np.float32)
    found = NATIVE.evaluate(NATIVE, data, {"answers": off}, 0)
    assert found.metrics["mse"]["gru_reset_before"] == pytest.approx(4, rel=1e-4)
    assert found.metrics["mse"]["dropout"] == pytest.approx(0.25, rel=1e-4)
    assert found.metrics["mse"]["lstm"] == 0
    assert dict(found.lines)["mean"].endswith("NOT beaten by gru_reset_before")
    assert not found.metrics["beats_mean"]


def test_files_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match=r"^the cells recipes generate their data, met the file a; leave --data out$"):
        NATIVE.load(LoadOptions(Path("a")))
