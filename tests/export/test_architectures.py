"""Every named architecture, exported, equals its Keras for every length, batch and mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from seqship.export import to_onnx
from seqship.export.signature import parse_field
from seqship.models.flavour import Version, load_flavour
from seqship.pipelines import Field
from tests.export.architectures import ARCHITECTURES, TOKENS, Architecture

Array = NDArray[Any]
Arrays = dict[str, Array]

CASES: list[tuple[str, Version]] = [
    (name, version) for name, found in ARCHITECTURES.items() for version in (2, 3) if version in found.flavours
]
TIME = 6


def masks(masked: bool) -> Iterator[Array]:
    """(batch, time): batches of one and three, sequences of one step and more, and every kind of padding."""
    steps, lengths = np.arange(TIME), np.array([[6], [2], [4]])
    yield np.ones((3, TIME), bool)
    yield np.ones((1, TIME), bool)
    if not masked:
        yield np.ones((1, 1), bool)
        return
    yield lengths > steps
    yield (lengths > steps)[:, ::-1]
    yield np.random.default_rng(2).random((3, TIME)) > 0.4
    yield (lengths > steps) & np.array([[True], [False], [True]])
    yield np.array([[True], [False], [True]])


def value_of(field: Field, mask: Array, random: np.random.Generator) -> Array:
    """What is fed to an input, by its name."""
    batch, time = mask.shape
    free = {"batch": batch, "time": time}
    shape = [free.get(size, size) if isinstance(size, str) else size for size in field.shape]
    assert all(isinstance(size, int) for size in shape), shape
    kind = field.name.partition("_")[0]
    if kind == "mask":
        return mask
    if kind == "tokens":
        return np.where(mask, random.integers(1, TOKENS, mask.shape), 0).astype(np.int32)
    values = random.normal(0, 1, [int(size) for size in shape]).astype(np.float32)
    if kind == "signal" and values.shape[:2] == mask.shape:
        values[~mask] = -1
    return values


def feeds(architecture: Architecture, fields: tuple[Field, ...]) -> Iterator[Arrays]:
    sequences = [field for field in fields if len(field.shape) > 2 or field.name.startswith("tokens")]
    fixed = any(isinstance(field.shape[1], int) for field in sequences)
    for seed, mask in enumerate(masks(architecture.masked)):
        if mask.shape[1] == TIME or not fixed:
            yield {field.name: value_of(field, mask, np.random.default_rng(seed)) for field in fields}


def nonzero_weights(model: Any) -> None:
    """Draws every weight, the biases too: a bias of zero in the wrong place is no mistake that shows."""
    random = np.random.default_rng(3)
    model.set_weights([drawn(random, weight) for weight in model.get_weights()])


def drawn(random: np.random.Generator, weight: Array) -> Array:
    return random.normal(0, 0.4, weight.shape).astype(weight.dtype)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "version"), CASES, ids=[f"{name}-{version}" for name, version in CASES])
def test_an_architecture_equals_its_keras(name: str, version: Version, tmp_path: Path) -> None:
    import tensorflow as tf

    architecture = ARCHITECTURES[name]
    keras = load_flavour(version).keras
    keras.utils.set_random_seed(7)
    model = architecture.build(keras)
    signature = [parse_field(text) for text in architecture.signature] or None
    if signature is not None:
        model(np.zeros((1, 2, 3), np.float32))
    nonzero_weights(model)
    found = to_onnx(model, tmp_path / "model.onnx", input_signature=signature)

    wanted_operators = {operator: count for operator, count in sorted(architecture.operators.items()) if count}
    assert dict(sorted(found.operators.items())) == wanted_operators
    assert (found.loops > 0) == architecture.loops
    reasons = [reason for row in found.audit for reason in row.onnx_reasons]
    assert [architecture.reason] * architecture.loops == [reason[: len(architecture.reason)] for reason in reasons]

    session = onnxruntime.InferenceSession(str(found.path), providers=["CPUExecutionProvider"])
    names = [field.name for field in found.outputs]
    tried = 0
    for feed in feeds(architecture, found.inputs):
        tensors = {key: tf.constant(value) for key, value in feed.items()}
        given: Any = tensors if architecture.mapped else list(tensors.values())
        wanted = tf.nest.flatten(model(given if architecture.mapped or len(feed) > 1 else given[0], training=False))
        actual: list[Any] = list(session.run(names, feed))
        assert len(actual) == len(wanted)
        for output, got, want in zip(names, actual, wanted, strict=True):
            assert got.shape == tuple(want.shape), output
            np.testing.assert_allclose(got, want.numpy(), atol=1e-5, rtol=1e-5, err_msg=f"{output}, feed {tried}")
        tried += 1
    assert tried >= 2


def test_there_are_many_and_both_flavours_have_their_share() -> None:
    assert len(ARCHITECTURES) >= 60
    counts = [sum(version in found.flavours for found in ARCHITECTURES.values()) for version in (2, 3)]
    assert counts[0] >= 20
    assert counts[1] >= 60
