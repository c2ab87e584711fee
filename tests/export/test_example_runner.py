"""The signature of tf.Example is a runtime of the proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.export import to_saved_model
from seqship.export.example_runner import PartialRunner, example_runner
from seqship.export.runners import load_saved_model, saved_model_runner, saved_model_runners
from seqship.export.signature import ModelSignature, model_signature, with_classes
from seqship.models.flavour import load_flavour
from seqship.pipelines.spec import Field

NAME = "saved_model:tf_example"
RANDOM = np.random.default_rng(0)
SIGNAL = RANDOM.standard_normal((5, 4, 2)).astype(np.float32)
SIGNAL[1, 2:] = -1.0


def masked(*heads: tuple[str, int, str]) -> Any:
    """A masked model with named outputs."""
    k = load_flavour(3).keras
    source = k.layers.Input((None, 2), name="signal")
    state = k.layers.GRU(3)(k.layers.Masking(-1.0)(source))
    made = [k.layers.Dense(size, activation=activation, name=name)(state) for name, size, activation in heads]
    return k.Model(source, made[0] if len(made) == 1 else made)


def runners(model: Any, signature: ModelSignature, folder: Path) -> Any:
    path = to_saved_model(model, folder / "saved", signature=signature).path
    return saved_model_runners(path, signature.inputs, signature.outputs)


@pytest.mark.parametrize(
    ("heads", "classes", "gives"),
    [
        ((("score", 1, "sigmoid"),), ("bad", "good"), {"score"}),
        ((("scores", 3, "softmax"),), ("a", "b", "c"), {"scores"}),
        ((("next", 1, "linear"),), (), {"next"}),
        ((("next", 2, "linear"),), (), {"next"}),
        ((("scores", 3, "softmax"), ("other", 2, "linear")), ("a", "b", "c"), {"scores"}),
    ],
)
def test_it_gives_the_outputs_of_the_model(heads: Any, classes: Any, gives: set[str], tmp_path: Path) -> None:
    model = masked(*heads)
    signature = model_signature(model)
    if classes:
        signature = with_classes(signature, classes)
    both = runners(model, signature, tmp_path)
    assert list(both) == ["saved_model", NAME]
    partial = both[NAME]
    assert isinstance(partial, PartialRunner)
    assert partial.gives == gives
    made, expected = partial({"signal": SIGNAL}), both["saved_model"]({"signal": SIGNAL})
    for name in gives:
        np.testing.assert_allclose(made[name], expected[name], rtol=0, atol=1e-7)
    assert partial.takes({"signal": SIGNAL})
    assert not partial.takes({"text": np.array([b"x"])})
    assert not partial.takes({"signal": SIGNAL, "state/gru/h": np.zeros((5, 3))})


def test_other_names_of_classes_are_wrong(tmp_path: Path) -> None:
    model = masked(("scores", 3, "softmax"))
    signature = with_classes(model_signature(model), ("a", "b", "c"))
    loaded = load_saved_model(to_saved_model(model, tmp_path / "saved", signature=signature).path)
    renamed = with_classes(model_signature(model), ("a", "c", "b"))
    with pytest.raises(
        ModelError, match=r"^the signature tf_example names the classes \[b'a', b'b', b'c'\], expected \["
    ):
        example_runner(loaded, renamed.inputs, renamed.outputs)({"signal": SIGNAL})


def test_the_signature_is_to_put_the_padding_there(tmp_path: Path) -> None:
    """A message has no padding behind it, so that a signature which pads with another value gives another result."""
    model = masked(("next", 1, "linear"))
    signature = model_signature(model)
    (right,) = signature.inputs
    for pad, alike in ((-1.0, True), (0.0, False)):
        padded = replace(signature, inputs=(replace(right, pad_value=pad),))
        loaded = load_saved_model(to_saved_model(model, tmp_path / f"{pad}", signature=padded).path)
        made = example_runner(loaded, signature.inputs, signature.outputs)({"signal": SIGNAL})["next"]
        expected = saved_model_runner(tmp_path / f"{pad}")({"signal": SIGNAL})["next"]
        assert np.allclose(made[1], expected[1], rtol=0, atol=1e-6) == alike
        np.testing.assert_allclose(made[[0, 2, 3, 4]], expected[[0, 2, 3, 4]], rtol=0, atol=1e-7)


def test_what_a_message_cannot_hold_has_no_such_runtime(tmp_path: Path) -> None:
    model = masked(("next", 1, "linear"))
    path = to_saved_model(model, tmp_path / "saved").path
    double = Field("signal", "float64", ("batch", "time", 2))
    assert list(saved_model_runners(path, [double], model_signature(model).outputs)) == ["saved_model"]
