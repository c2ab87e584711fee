"""The recipe `chargen-gru`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.export.streaming import export_signature
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import chargen
from seqship.pipelines.characters import unigram_entropy

RECIPE = chargen.CHARGEN_GRU


def test_the_default_is_the_model_that_is_promised(flavour: Flavour) -> None:
    data: Any = RECIPE.load(LoadOptions())
    assert data.options == {"characters": chargen.EMBEDDED_CHARACTERS}
    assert RECIPE.model(flavour, **data.options).count_params() == RECIPE.parameters == 138_051
    assert data.inputs is not None
    assert data.inputs[0].classes == data.context.alphabet.characters


def test_the_text_is_split_in_its_order() -> None:
    data: Any = RECIPE.load(LoadOptions())
    alphabet = data.context.alphabet
    first, last = data.train.inputs["character"], data.test.inputs["character"]
    assert alphabet.text(first[0, 1:]) == alphabet.text(data.train.targets[0, :-1])
    assert len(first) > 7 * len(last)
    whole = chargen.synthetic_text(chargen.GENERATED)
    assert whole.startswith(alphabet.text(first.ravel()))
    assert whole[int(0.9 * len(whole)) :].startswith(alphabet.text(last.ravel()))


def test_finish_keeps_the_weights_and_asks_for_a_sample(flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chargen, "SAMPLE", 5)
    data: Any = RECIPE.load(LoadOptions())
    model = RECIPE.model(flavour, **data.options, units=6)
    streaming = RECIPE.finish(model, flavour, data)
    signature = export_signature(streaming, inputs=data.inputs, outputs=data.outputs)
    assert [field.name for field in signature.inputs] == ["character", "state/memory/h"]
    prompt, sample = data.context.sample
    assert (len(prompt), len(sample)) == (20, 5)
    for one, other in zip(model.get_weights(), streaming.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_bits_are_counted_against_single_characters() -> None:
    data: Any = RECIPE.load(LoadOptions())
    targets = data.test.targets
    size = len(data.context.alphabet)
    even = np.full((*targets.shape, size), 1 / size, np.float32)
    found = RECIPE.evaluate(RECIPE, data, {"next_character": even}, 0)
    assert found.metrics["bits_per_character"] == pytest.approx(np.log2(size), rel=1e-5)
    assert found.metrics["unigram_entropy"] == pytest.approx(unigram_entropy(targets.ravel()))
    assert not found.metrics["beats_unigram"]
    assert "NOT below" in found.lines[1][1]
    sure = np.where(np.arange(size) == targets[..., None], 0.5, 0.5 / (size - 1)).astype(np.float32)
    assert RECIPE.evaluate(RECIPE, data, {"next_character": sure}, 0).metrics["bits_per_character"] == pytest.approx(1)
    data.context.sample[:] = ["Once", " upon"]
    (figure,) = RECIPE.evaluate(RECIPE, data, {"next_character": sure}, 0).figures
    assert (figure.kind, figure.content["text"]) == ("text", " upon")
    assert "'Once'" in figure.title


def test_a_file_of_its_own_alphabet(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("ab" * 2_000 + "ac" * 500)
    data: Any = RECIPE.load(LoadOptions(path))
    # The alphabet is that of the part to train on; what is new in the others is unknown.
    assert data.context.alphabet.characters == ("\ufffd", "a", "b")
    assert 0 in data.test.inputs["character"]
    path.write_text("short")
    with pytest.raises(DataError, match=r"has 5 characters, 3,000 are needed; give a longer text$"):
        RECIPE.load(LoadOptions(path))
