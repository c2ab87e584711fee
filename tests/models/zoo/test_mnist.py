"""The recipe `mnist-rows`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import mnist
from seqship.pipelines.synthetic_digits import synthetic_digits

RECIPE = mnist.MNIST_ROWS


def test_the_model_is_that_of_the_seed_document(flavour: Flavour) -> None:
    model = RECIPE.model(flavour)
    assert [layer.count_params() for layer in model.layers if layer.count_params()] == [720, 170]
    assert tuple(model.input_shape) == (None, 28, 28)
    assert tuple(model.output_shape) == (None, 10)
    assert model.layers[-3].activation.__name__ == "relu"
    assert (RECIPE.training.optimizer, RECIPE.training.clip_norm) == ("rmsprop", 1.0)


def test_copies_are_of_what_is_trained_on_alone(tmp_path: Path) -> None:
    images, labels = synthetic_digits(130, seed=0)
    np.savez(
        tmp_path / "digits.npz", x_train=images[:110], y_train=labels[:110], x_test=images[110:], y_test=labels[110:]
    )
    data: Any = RECIPE.load(LoadOptions(tmp_path / "digits.npz"))
    assert len(data.validation) == 11
    assert len(data.train) == 99 * (mnist.COPIES + 1)
    assert len(data.test) == 20
    assert data.train.sequences.values[0].dtype == np.float32
    trained = {value.tobytes() for value in data.train.sequences.values[:99]}
    assert not trained & {value.tobytes() for value in data.validation.sequences.values}


def test_faults_of_the_file_come_through(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.npz does not exist; give an \.npz file"):
        RECIPE.load(LoadOptions(tmp_path / "no.npz"))
