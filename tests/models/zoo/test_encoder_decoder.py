"""The recipes `vec2seq` and `encoder-decoder`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.export import check_equivalence, to_onnx, to_saved_model
from seqship.export.cases import grid
from seqship.export.signature import model_signature
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions, RecipeData
from seqship.models.zoo import encoder_decoder as family
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.written_numbers import SYMBOLS, symbol_ids

SUMS, NUMBERS = family.ENCODER_DECODER, family.VEC2SEQ


@pytest.fixture(name="small")
def _small(flavour: Flavour) -> Any:
    """An encoder-decoder of few units, with weights that give no two symbols the same score."""
    model = SUMS.model(flavour, units=8)
    random = np.random.default_rng(2)
    model.set_weights([random.normal(0, 0.8, weight.shape) for weight in model.get_weights()])
    return model


def nothing() -> RecipeData:
    one = ArrayExamples({"problem": np.ones((1, 1))}, np.ones(1))
    return RecipeData(one, one, one)


def test_greedy_decoding_is_teacher_forcing_with_its_own_answer(flavour: Flavour, small: Any) -> None:
    greedy = SUMS.finish(small, flavour, nothing())
    problems = symbol_ids(["7+85", "12+3", "1+1"], length=5)
    answer, scores = (np.asarray(one) for one in greedy(problems))
    assert (answer.shape, scores.shape) == ((3, 3), (3, 3, len(SYMBOLS)))
    assert np.array_equal(answer, scores.argmax(axis=-1))
    before = np.concatenate([np.full((3, 1), family.START), answer[:, :-1]], axis=1).astype(np.int32)
    assert np.allclose(scores, small([problems, before]), atol=1e-5)
    # It has no weights of its own.
    assert greedy.count_params() == small.count_params()


def test_the_halves_do_what_the_whole_does(flavour: Flavour, small: Any) -> None:
    greedy = SUMS.finish(small, flavour, nothing())
    parts = SUMS.parts(greedy, flavour, nothing())
    assert [*parts] == ["encoder", "step"]
    problems = symbol_ids(["7+85", "12+3"], length=5)
    _, scores = greedy(problems)
    states = [np.asarray(state) for state in parts["encoder"].model(problems)]
    token = np.full((2, 1), family.START, np.int32)
    for step in range(family.WRITTEN):
        found, *states = (np.asarray(one) for one in parts["step"].model([token, *states]))
        assert np.allclose(found, scores[:, step], atol=1e-5)
        token = found.argmax(axis=-1)[:, None].astype(np.int32)
    for part in parts.values():
        signature = model_signature(part.model, inputs=part.inputs, outputs=part.outputs)
        made = part.model(
            [
                np.ones([1 if isinstance(size, str) else size for size in field.shape], field.dtype)
                for field in signature.inputs
            ]
            if len(signature.inputs) > 1
            else np.ones((1, 4), np.int32)
        )
        assert [one.shape[1:] for one in made] == [field.shape[1:] for field in signature.outputs]


def test_every_step_is_an_operator(flavour: Flavour, small: Any, tmp_path: Path) -> None:
    greedy = SUMS.finish(small, flavour, nothing())
    signature = model_signature(greedy, inputs=SUMS.inputs, outputs=SUMS.outputs)
    made = to_onnx(greedy, tmp_path / "model.onnx", signature=signature, allow_loop=False)
    assert made.operators["LSTM"] == 1 + family.WRITTEN
    assert "Loop" not in made.operators
    to_saved_model(greedy, tmp_path / "saved_model", signature=signature)
    proof = check_equivalence(
        greedy,
        saved_model=tmp_path / "saved_model",
        onnx=tmp_path / "model.onnx",
        cases=grid(signature.inputs, batches=(1, 3), times=(1, 5)),
        signature=signature,
    )
    assert proof, proof.failures[:2]


def test_the_held_out_sums_are_right_and_apart() -> None:
    data: Any = SUMS.load(LoadOptions(seed=1))
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 100 * 100
    assert isinstance(data.train, ArrayExamples)
    assert isinstance(data.test, ArrayExamples)
    seen = {row.tobytes() for row in data.train.inputs["problem"]}
    assert not seen & {row.tobytes() for row in data.test.inputs["problem"]}
    for examples in (data.train, data.test):
        for problem, answer in zip(examples.inputs["problem"][:50], examples.targets[:50], strict=True):
            one, other = family.joined(problem, SYMBOLS).split("+")
            assert int(one) + int(other) == int(family.joined(answer, SYMBOLS))
    before = data.train.inputs["before"]
    assert (before[:, 0] == family.START).all()
    assert np.array_equal(before[:, 1:], data.train.targets[:, :-1])


def test_the_numbers_are_split_once() -> None:
    data: Any = NUMBERS.load(LoadOptions(seed=1))
    assert (len(data.train), len(data.validation), len(data.test)) == (7_000, 1_000, 2_000)
    vectors = np.concatenate([part.inputs["number"] for part in (data.train, data.validation, data.test)])
    assert len(np.unique(vectors, axis=0)) == 10_000


def test_a_sequence_is_right_only_as_a_whole() -> None:
    data: Any = SUMS.load(LoadOptions())
    answers = data.test.targets.copy()
    answers[:3, 1] = (answers[:3, 1] + 1) % 10
    found = SUMS.evaluate(SUMS, data, {"answer": answers, "scores": np.zeros(1)}, 0)
    rows = len(data.test)
    assert found.metrics["exact_match"] == pytest.approx(1 - 3 / rows)
    assert found.metrics["symbol_accuracy"] == pytest.approx(1 - 3 / (3 * rows))
    assert found.figures[0].content["text"].count("right:") == 3
    numbers: Any = NUMBERS.load(LoadOptions())
    scores = np.eye(len(family.WORDS), dtype=np.float32)[numbers.test.targets]
    assert NUMBERS.evaluate(NUMBERS, numbers, {"words": scores}, 0).metrics["exact_match"] == 1


@pytest.mark.parametrize("recipe", family.RECIPES, ids=lambda recipe: recipe.name)
def test_it_reads_no_data(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"makes its own data and reads no .*; leave --data out$"):
        recipe.load(LoadOptions(tmp_path))
    assert replace(recipe).parameters == recipe.parameters
