"""Every runtime calls a model with the names its author gave; what Keras made up gets a plain name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.export.signature import ModelSignature, model_signature, parse_field
from seqship.models.flavour import Flavour
from seqship.pipelines.spec import TOKEN_ID, Field


def names(signature: ModelSignature) -> tuple[list[str], list[str]]:
    return [field.name for field in signature.inputs], [field.name for field in signature.outputs]


def call(signature: ModelSignature, *arrays: Any) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in signature.function(*arrays).items()}


def ones(*shape: int) -> Any:
    import tensorflow as tf

    return tf.ones(shape)


def test_an_authors_names_are_kept(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2), name="signal"), layers.GRU(3, name="scores")])
    signature = model_signature(model)
    assert signature.inputs == (Field("signal", "float32", ("batch", "time", 2)),)
    assert signature.outputs == (Field("scores", "float32", ("batch", 3)),)
    assert np.array_equal(call(signature, ones(2, 4, 2))["scores"], np.asarray(model(ones(2, 4, 2))))


def test_made_up_names_become_inputs(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    sequential = flavour.keras.Sequential([layers.Input((None, 2)), layers.GRU(3)])
    assert names(model_signature(sequential))[0] == ["inputs"]
    one, two, three = layers.Input((2,)), layers.Input((2,), name="mine"), layers.Input((2,))
    model = flavour.keras.Model([one, two, three], layers.Add(name="sum")([one, two, three]))
    assert names(model_signature(model)) == (["inputs", "mine", "inputs_3"], ["sum"])


def test_a_sequential_model_built_by_its_first_call(flavour: Flavour) -> None:
    model = flavour.keras.Sequential([flavour.keras.layers.Dense(3, name="scores")])
    model(ones(2, 4))
    signature = model_signature(model)
    assert names(signature) == (["inputs"], ["scores"])
    assert signature.inputs[0].shape[-1] == 4


def test_several_inputs_and_outputs_keep_their_order(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    zeta, alpha = layers.Input((2,), name="zeta"), layers.Input((3,), name="alpha")
    model = flavour.keras.Model([zeta, alpha], [layers.Dense(4, name="y")(zeta), layers.Dense(5, name="x")(alpha)])
    signature = model_signature(model)
    assert names(signature) == (["zeta", "alpha"], ["y", "x"])
    got = call(signature, ones(1, 2), ones(1, 3))
    wanted = model([ones(1, 2), ones(1, 3)])
    assert np.array_equal(got["y"], wanted[0])
    assert np.array_equal(got["x"], wanted[1])


def test_dicts_of_inputs_and_outputs(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    zeta, alpha = layers.Input((2,), name="zeta"), layers.Input((3,), name="alpha")
    outputs = {"y": layers.Dense(4)(zeta), "x/1": layers.Dense(5)(alpha)}
    model = flavour.keras.Model({"zeta": zeta, "alpha": alpha}, outputs)
    signature = model_signature(model)
    assert names(signature) == (["alpha", "zeta"], ["x_1", "y"])
    assert [field.shape for field in signature.inputs] == [("batch", 3), ("batch", 2)]
    got = call(signature, ones(1, 3), ones(1, 2))
    wanted = model({"zeta": ones(1, 2), "alpha": ones(1, 3)})
    assert np.array_equal(got["y"], wanted["y"])
    assert np.array_equal(got["x_1"], wanted["x/1"])


def test_names_that_clash_are_numbered(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    one, two = layers.Input((2,), name="a.b"), layers.Input((2,), name="a_b")
    shared = layers.Dense(2, name="head")
    model = flavour.keras.Model([one, two], [shared(one), shared(two)])
    assert names(model_signature(model)) == (["a_b", "a_b_2"], ["head", "head_2"])


def test_an_author_may_use_the_plain_name(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    one, two = layers.Input((2,)), layers.Input((2,), name="inputs")
    model = flavour.keras.Model([one, two], layers.Add(name="sum")([one, two]))
    assert names(model_signature(model))[0] == ["inputs_1", "inputs"]


def test_an_output_is_not_named_like_an_input(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    one = layers.Input((2,))
    assert names(model_signature(flavour.keras.Model(one, layers.Dense(2, name="inputs")(one)))) == (
        ["inputs"],
        ["inputs_2"],
    )
    one = layers.Input((2,), name="signal")
    model = flavour.keras.Model(one, [one, layers.Dense(2, name="scores")(one)])
    assert names(model_signature(model))[1] == ["signal_2", "scores"]


def test_contracts_replace_what_the_model_says(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2)), layers.GRU(2)])
    given = Field("beat", "float32", ("batch", "time", 2), pad_value=-1.0)
    scores = Field("scores", "float32", ("batch", 2), classes=("a", "b"))
    signature = model_signature(model, inputs=[given], outputs=[scores])
    assert (signature.inputs, signature.outputs) == ((given,), (scores,))
    with pytest.raises(ModelError, match=rf"^model '{model.name}' takes 1 inputs, the signature names 2$"):
        model_signature(model, inputs=[given, given])
    with pytest.raises(ModelError, match=rf"^model '{model.name}' has 1 outputs, the contract names 2$"):
        model_signature(model, outputs=[scores, scores])
    own = r"^the inputs and outputs of a signature need names of their own, got beat, beat$"
    with pytest.raises(ModelError, match=own):
        model_signature(model, inputs=[given], outputs=[Field("beat", "float32", ("batch", 2))])


def subclassed(flavour: Flavour) -> Any:
    keras = flavour.keras

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.memory = keras.layers.GRU(3)

        def call(self, inputs: Any) -> Any:
            return self.memory(inputs)

    return Own()


def test_a_subclassed_model_needs_a_signature(flavour: Flavour) -> None:
    message = (
        r"^model 'own' does not say what it takes \(subclassed or never called\); "
        r"name its inputs: --signature name=\?,\?,1:float32$"
    )
    with pytest.raises(ModelError, match=message):
        model_signature(subclassed(flavour))
    signature = model_signature(subclassed(flavour), inputs=[parse_field("signal=?,?,2")])
    assert names(signature) == (["signal"], ["outputs"])
    assert signature.outputs[0].shape == ("batch", 3)


def test_a_sequential_model_that_was_never_called_needs_a_signature(flavour: Flavour) -> None:
    model = flavour.keras.Sequential([flavour.keras.layers.GRU(3, name="memory")], name="fresh")
    with pytest.raises(ModelError, match=r"^model 'fresh' does not say what it takes "):
        model_signature(model)


def test_a_subclassed_model_with_several_or_named_outputs(flavour: Flavour) -> None:
    keras = flavour.keras

    class Several(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs[0] + inputs[1], inputs[0]

    class Named(keras.Model):
        def call(self, inputs: Any) -> Any:
            return {"sum": inputs + 1, "other": inputs}

    fields = [parse_field("a=?,2"), parse_field("b=?,2")]
    assert names(model_signature(Several(), inputs=fields))[1] == ["outputs", "outputs_2"]
    assert names(model_signature(Named(), inputs=fields[:1]))[1] == ["other", "sum"]


def test_a_signature_that_does_not_fit_is_named(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2), name="signal"), layers.GRU(2)], name="small")
    message = r"^model 'small' cannot be called with signal=batch,time,5:float32: "
    with pytest.raises(ModelError, match=message) as raised:
        model_signature(model, inputs=[parse_field("signal=?,?,5")])
    assert "\n" not in str(raised.value)


def test_an_output_without_a_rank_is_refused(flavour: Flavour) -> None:
    import tensorflow as tf

    class Ragged(flavour.keras.Model):
        def call(self, inputs: Any) -> Any:
            return tf.numpy_function(np.abs, [inputs], tf.float32)

    message = r"^output 'outputs' has an unknown number of axes; give it a shape with tf\.ensure_shape$"
    with pytest.raises(ModelError, match=message):
        model_signature(Ragged(), inputs=[parse_field("a=?,2")])


def test_dropout_is_off(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((50,), name="x"), layers.Dropout(0.5, name="y")])
    assert np.array_equal(call(model_signature(model), ones(2, 50))["y"], np.ones((2, 50)))


# --- What the first layer says of padding and bounds


def test_the_pad_value_is_that_of_masking(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2)), layers.Masking(-9.5), layers.GRU(2)])
    assert model_signature(model).inputs[0].pad_value == -9.5
    model = flavour.keras.Sequential([layers.Input((None, 2)), layers.GRU(2)])
    assert model_signature(model).inputs[0].pad_value is None


@pytest.mark.parametrize(("mask_zero", "pad", "lowest"), [(True, 0.0, 1.0), (False, None, 0.0)])
def test_an_embedding_gives_bounds(flavour: Flavour, mask_zero: bool, pad: float | None, lowest: float) -> None:
    layers = flavour.keras.layers
    embedding = layers.Embedding(7, 2, mask_zero=mask_zero)
    model = flavour.keras.Sequential([layers.Input((None,), dtype="int32", name="tokens"), embedding, layers.GRU(2)])
    field = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, pad, lowest, 6.0)
    assert model_signature(model).inputs == (field,)


def test_each_input_has_its_own_reader(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    signal, tokens = layers.Input((None, 2), name="signal"), layers.Input((None,), dtype="int32", name="tokens")
    one = layers.GRU(2)(layers.Masking(-1.0)(signal))
    two = layers.GRU(2)(layers.Embedding(5, 2)(tokens))
    inner = flavour.keras.Model([signal, tokens], layers.Add(name="sum")([one, two]))
    fields = {field.name: field for field in model_signature(inner).inputs}
    assert (fields["signal"].pad_value, fields["signal"].maximum) == (-1.0, None)
    assert (fields["tokens"].pad_value, fields["tokens"].maximum) == (None, 4.0)


# --- parse_field


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("beat=?,?,1:float32", Field("beat", "float32", ("batch", "time", 1))),
        ("beat=?,187,1", Field("beat", "float32", ("batch", 187, 1))),
        (" tokens=?, ?:int64 ", Field("tokens", "int64", ("batch", "time"))),
        ("x=1,2,?,3:bool", Field("x", "bool", (1, 2, "axis_2", 3))),
    ],
)
def test_a_field_is_parsed(text: str, field: Field) -> None:
    assert parse_field(text) == field


@pytest.mark.parametrize("text", ["beat", "beat=", "=?,1", "1beat=?", "beat=?:complex64", "beat=?;1", "a b=?", ""])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ModelError) as raised:
        parse_field(text)
    assert str(raised.value) == f"a signature is name=shape:dtype, such as beat=?,?,1:float32, got {text!r}"


@pytest.mark.parametrize("sizes", ["?,,1", "??,1", "1 2", "?,"])
def test_sizes_are_numbers_or_question_marks(sizes: str) -> None:
    with pytest.raises(ModelError) as raised:
        parse_field(f"beat={sizes}")
    assert str(raised.value) == f"the sizes of a shape are numbers or ?, got {sizes!r} in 'beat={sizes}'"


# --- Models that do not declare their inputs, but have been called.


def recurrent(flavour: Flavour, *, embeds: bool = False) -> Any:
    keras = flavour.keras

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.below = keras.layers.Embedding(10, 4) if embeds else keras.layers.Dense(4)
            self.memory = keras.layers.GRU(3)

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.memory(self.below(inputs))

    return Subclassed()


def test_a_subclassed_model_that_was_called_needs_no_signature(flavour: Flavour) -> None:
    model = recurrent(flavour)
    model(ones(2, 5, 3))
    (field,) = model_signature(model).inputs
    assert (field.name, field.dtype, field.shape) == ("inputs", "float32", ("batch", "time", 3))
    tokens = recurrent(flavour, embeds=True)
    tokens(np.ones((2, 5), np.int32))
    (field,) = model_signature(tokens).inputs
    # Keras 3 keeps the shape of its first call alone, and not the dtype.
    assert (field.dtype, field.shape) == ({2: "int32", 3: "float32"}[flavour.version], ("batch", "time"))


def test_features_are_not_taken_for_steps(flavour: Flavour) -> None:
    keras = flavour.keras
    model = keras.Sequential([keras.layers.Dense(2)])
    model(ones(4, 3))
    assert model_signature(model).inputs[0].shape == ("batch", 3)


def test_a_length_that_is_bound_stays_bound(flavour: Flavour) -> None:
    keras = flavour.keras
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model(ones(4, 5, 3))
    for _ in range(2):  # tf-keras shows other sizes after each call.
        assert model_signature(model).inputs[0].shape == ("batch", 5, 3)


def test_a_dict_is_called_as_it_was(flavour: Flavour) -> None:
    keras = flavour.keras

    class Two(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.memory = keras.layers.GRU(2)

        def call(self, inputs: Any) -> Any:
            return self.memory(inputs["b"]) - self.memory(inputs["a"])

    model = Two()
    feed = {"b": ones(2, 5, 3) * 2, "a": ones(2, 4, 3)}
    wanted = np.asarray(model(feed))
    signature = model_signature(model)
    assert names(signature)[0] == ["a", "b"]
    assert np.allclose(call(signature, feed["a"], feed["b"])["outputs"], wanted, atol=1e-6)
    given = [parse_field("b=?,?,3"), parse_field("a=?,?,3")]
    assert names(model_signature(model, inputs=given))[0] == ["a", "b"]
