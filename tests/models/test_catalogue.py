"""The recipes, and that what they say of their models is true."""

from __future__ import annotations

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.models import build, cudnn_eligibility, recipes
from seqship.models.catalogue import recipe
from seqship.models.flavour import Flavour


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_tells_the_truth_about_its_model(flavour: Flavour, name: str) -> None:
    found = recipe(name)
    model = found.model(flavour)
    assert found.name == name
    assert model.count_params() == found.parameters
    assert all(row.eligible for row in cudnn_eligibility(model)) == found.cudnn_eligible


@pytest.mark.parametrize("name", [name for name, found in recipes().items() if found.cudnn_eligible])
def test_an_eligible_recipe_has_a_twin_that_cudnn_cannot_run(flavour: Flavour, name: str) -> None:
    model = recipe(name).model(flavour, cudnn=False)
    assert model.count_params() == recipe(name).parameters
    assert not any(row.eligible for row in cudnn_eligibility(model))


def test_the_heartbeat_model_is_that_of_the_seed_document(flavour: Flavour) -> None:
    model = build("ecg-gru", keras=flavour.version)
    assert model.count_params() == 5_205
    names = [layer.name for layer in model.layers if "Input" not in type(layer).__name__]
    assert names == ["masking", "gru_1", "gru_2", "dense", "dropout", "probabilities"]
    assert tuple(model.input_shape) == (None, None, 1)
    assert recipe("ecg-gru").classes == ("N", "S", "V", "F", "Q")
    field = recipe("ecg-gru").inputs[0]
    assert (field.name, field.pad_value, field.sampling_hz) == ("heartbeat", -1.0, 125.0)


def test_padding_does_not_change_the_answer(flavour: Flavour) -> None:
    model = build("ecg-gru", keras=flavour.version)
    beat = np.random.default_rng(0).random((1, 20, 1)).astype(np.float32)
    longer = np.concatenate([beat, np.full((1, 15, 1), -1, np.float32)], axis=1)
    assert np.allclose(model(beat), model(longer), atol=1e-6)
    assert not np.allclose(model(beat), model(np.where(longer < 0, 0, longer)), atol=1e-6)


def test_overrides_reach_the_builder(flavour: Flavour) -> None:
    model = build("ecg-gru", keras=flavour.version, units=3, dense=2)
    assert model.get_layer("gru_2").units == 3
    assert model.get_layer("dense").units == 2


def test_an_unknown_recipe_is_named() -> None:
    message = r"^no recipe is named 'ecg-grr'; did you mean ecg-gru.*\? seqship list shows all \d+$"
    with pytest.raises(ModelError, match=message):
        build("ecg-grr")


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        recipes()["mine"] = recipe("ecg-gru")  # pyright: ignore[reportIndexIssue]
