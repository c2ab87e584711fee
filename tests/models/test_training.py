"""Training that was interrupted ends where the uninterrupted one does, to the last bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.models import train
from seqship.models.catalogue import recipe
from seqship.models.checkpoint import STATE_FILE, load_checkpoint
from seqship.models.flavour import Flavour, load_flavour
from seqship.models.recipe import Recipe, RecipeData
from seqship.models.training import STEPS, Trained
from seqship.pipelines import stratified_split, synthetic_heartbeats
from seqship.pipelines.examples import SequenceExamples
from seqship.pipelines.sequences import Sequences
from seqship.progress import Progress, silent

EPOCHS = 4


def small_recipe() -> Recipe:
    """The heartbeat recipe with three units, which trains in a moment and has the same dropout."""
    found = recipe("ecg-gru")

    def build(flavour: Flavour, **overrides: Any) -> Any:
        return found.build(flavour, **{"units": 3, "dense": 4} | overrides)

    quick = replace(found.quick, epochs=EPOCHS, batch_size=36)  # No smaller batch is left over, to be traced anew.
    return replace(found, build=build, training=quick, quick=quick)


RECIPE = small_recipe()


def split(beats: Sequences) -> RecipeData:
    """What the recipe makes of its beats, in one bucket."""
    train, held_out = stratified_split(beats, fraction=0.1, seed=3)
    one, other = (SequenceExamples(side, "heartbeat", -1.0, (187,), 0.25) for side in (train, held_out))
    return RecipeData(one, other, other)


@pytest.fixture(scope="module")
def beats() -> RecipeData:
    found = synthetic_heartbeats(120, seed=1, proportions=(4, 2, 2, 2, 2))
    return split(replace(found, values=tuple(value[::4] for value in found.values)))


@pytest.fixture(scope="module")
def fast() -> Flavour:
    """The flavour that traces a training step fast, for what does not depend on it."""
    return load_flavour(3)


class PulledError(Exception):
    """The plug was pulled."""


def run(flavour: Flavour, beats: RecipeData, checkpoints: Path | None, progress: Progress = silent) -> Trained:
    return train(RECIPE, flavour, beats, seed=3, checkpoints=checkpoints, progress=progress)


def pull_in(epoch: int) -> Progress:
    """Stops the training after two batches of an epoch."""

    def progress(what: str, done: int, total: int) -> None:
        if what.startswith(f"epoch {epoch}/") and done == 2:
            raise PulledError

    return progress


@pytest.fixture(scope="module")
def uninterrupted(flavour: Flavour, beats: RecipeData) -> Trained:
    return run(flavour, beats, None)


@pytest.fixture(scope="module")
def interrupted(flavour: Flavour, beats: RecipeData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a training that stopped in the middle of its third epoch."""
    folder = tmp_path_factory.mktemp("interrupted") / "checkpoints"
    with pytest.raises(PulledError):
        run(flavour, beats, folder, pull_in(3))
    return folder


@pytest.fixture
def left(interrupted: Path, tmp_path: Path) -> Path:
    """A copy of the interrupted training's checkpoints."""
    shutil.copytree(interrupted, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def assert_same(one: Trained, other: Trained) -> None:
    assert one.history == other.history
    assert one.best_epoch == other.best_epoch
    for got, wanted in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        assert got.tobytes() == wanted.tobytes()


def identity(beats: RecipeData, flavour: Flavour) -> dict[str, Any]:
    """What the checkpoints of `run` say they are of."""
    from dataclasses import asdict

    return {
        "recipe": RECIPE.name,
        "keras": flavour.version,
        "seed": 3,
        "rows": len(beats.train),
        "training": asdict(RECIPE.training),
        "source": beats.train.source,
        "precision": "float32",
        "data": beats.train.digest(),
    }


def test_training_learns_and_tells_its_history(uninterrupted: Trained) -> None:
    assert set(uninterrupted.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == EPOCHS for values in uninterrupted.history.values())
    assert uninterrupted.history["loss"][-1] < uninterrupted.history["loss"][0]
    assert uninterrupted.best_epoch == 1 + int(np.argmin(uninterrupted.history["val_loss"]))
    assert (uninterrupted.train_rows, uninterrupted.validation_rows, uninterrupted.resumed_at) == (108, 12, 0)
    assert uninterrupted.seconds > 0


def test_an_interrupted_training_ends_the_same(
    flavour: Flavour, beats: RecipeData, uninterrupted: Trained, left: Path
) -> None:
    files = {"epoch-2.keras", "training.json"}
    assert files < {path.name for path in left.iterdir()}
    resumed = run(flavour, beats, left)
    assert resumed.resumed_at == 2
    assert_same(resumed, uninterrupted)
    # One whole checkpoint is left, that of the last epoch, and a finished training is not trained again.
    assert {path.name for path in left.iterdir()} == {f"epoch-{EPOCHS}.keras", f"best-{EPOCHS}.npz", STATE_FILE}
    told: list[str] = []
    again = run(flavour, beats, left, lambda what, _done, _total: told.append(what))
    assert again.resumed_at == EPOCHS
    assert told == []
    assert_same(again, uninterrupted)


def test_a_kill_between_two_files_resumes_from_the_older_checkpoint(
    flavour: Flavour, beats: RecipeData, uninterrupted: Trained, left: Path
) -> None:
    if flavour.version == 2:
        pytest.skip("the files are the same in both flavours, and tf-keras takes ten times as long")
    # Files of epoch 3, whole and half written, that no state names yet.
    shutil.copy(left / "epoch-2.keras", left / "epoch-3.keras")
    (left / ".epoch-3.keras").write_bytes(b"half")
    (left / ".best-3.npz").write_bytes(b"half")
    (left / ".training.json.0badcafe.tmp").write_bytes(b"{")
    resumed = run(flavour, beats, left)
    assert resumed.resumed_at == 2
    assert_same(resumed, uninterrupted)
    assert {path.name for path in left.iterdir()} >= {f"epoch-{EPOCHS}.keras", f"best-{EPOCHS}.npz", STATE_FILE}
    assert not list(left.glob("*-3.*"))
    assert not list(left.glob(".*-3.*"))


def test_the_directory_of_a_first_run_is_made(flavour: Flavour, tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none", {}, flavour) is None


def test_another_seed_trains_another_model(flavour: Flavour, beats: RecipeData, uninterrupted: Trained) -> None:
    if flavour.version == 2:
        pytest.skip("the seed is used alike in both flavours, and tf-keras takes long to trace")
    assert train(RECIPE, flavour, beats, seed=4).history["loss"] != uninterrupted.history["loss"]


# --- Checkpoints of something else


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": 9}, "seed is 3, now 9"),
        ({"recipe": "other"}, "recipe is 'ecg-gru', now 'other'"),
        ({"keras": 7}, "keras is {keras}, now 7"),
        ({"rows": 1}, "rows is 108, now 1"),
        ({"data": "0123"}, "data is '{data}', now '0123'"),
        ({"source": "elsewhere"}, "source is '{source}', now 'elsewhere'"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    flavour: Flavour, beats: RecipeData, left: Path, change: dict[str, Any], text: str
) -> None:
    import re

    text = re.escape(text.format(keras=flavour.version, source=beats.train.source, data=beats.train.digest()))
    message = rf"^the checkpoint in {left} is of another training \({text}\); "
    message += r"choose another directory or repeat its settings$"
    with pytest.raises(ModelError, match=message):
        load_checkpoint(left, identity(beats, flavour) | change, flavour)


def test_the_identity_is_that_of_the_training(flavour: Flavour, beats: RecipeData, left: Path) -> None:
    found = load_checkpoint(left, identity(beats, flavour), flavour)
    assert found is not None
    assert found.progression["history"]["loss"]
    other = load_flavour(3 if flavour.version == 2 else 2)
    with pytest.raises(ModelError, match=rf"keras is {flavour.version}, now {other.version}\)"):
        train(RECIPE, other, beats, seed=3, checkpoints=left)
    shorter = replace(RECIPE.training, epochs=2)
    with pytest.raises(ModelError, match=r"is of another training \(training is \{'epochs': 4, .*now \{'epochs': 2, "):
        train(RECIPE, flavour, beats, training=shorter, seed=3, checkpoints=left)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


DAMAGES: list[tuple[str, Callable[[bytes], bytes] | None]] = [
    ("training.json", half),
    ("training.json", lambda _: b"[]"),
    ("training.json", lambda _: b"{}"),
    ("training.json", lambda _: b'{"identity": 3}'),
    ("epoch-2.keras", half),
    ("epoch-2.keras", None),
    ("best-2.npz", half),
    ("best-2.npz", lambda _: b""),
    ("best-2.npz", None),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_checkpoint_is_refused(
    flavour: Flavour, beats: RecipeData, left: Path, name: str, damage: Callable[[bytes], bytes] | None
) -> None:
    if damage is None:
        (left / name).unlink()
    else:
        (left / name).write_bytes(damage((left / name).read_bytes()))
    message = rf"^the checkpoint in {left} cannot be read: .*; remove it to start anew$"
    with pytest.raises(ModelError, match=message) as raised:
        load_checkpoint(left, identity(beats, flavour), flavour)
    assert "\n" not in str(raised.value)


def test_a_state_without_its_progression_is_refused(flavour: Flavour, beats: RecipeData, left: Path) -> None:
    state = json.loads((left / STATE_FILE).read_text())
    del state["progression"]
    (left / STATE_FILE).write_text(json.dumps(state))
    with pytest.raises(ModelError, match=r"cannot be read: 'progression'; remove it to start anew$"):
        load_checkpoint(left, identity(beats, flavour), flavour)


# --- Early stopping


def test_training_stops_early_and_keeps_the_best_epoch(fast: Flavour, beats: RecipeData) -> None:
    # A learning rate that breaks the model: the validation loss grows from some epoch on.
    training = replace(RECIPE.training, epochs=12, learning_rate=1.0, patience=2)
    seen: list[tuple[float, Any]] = []
    model: list[Any] = []

    def build(flavour: Flavour, **_: Any) -> Any:
        model.append(RECIPE.model(flavour))
        return model[0]

    def progress(what: str, _done: int, _total: int) -> None:
        if "val_loss" in what:
            seen.append((0.0, model[0].get_weights()))

    trained = train(replace(RECIPE, build=build), fast, beats, training=training, seed=3, progress=progress)
    losses = trained.history["val_loss"]
    assert len(losses) < 12
    assert trained.best_epoch == 1 + int(np.argmin(losses)) == len(losses) - 2
    for got, wanted in zip(trained.model.get_weights(), seen[trained.best_epoch - 1][1], strict=True):
        assert np.array_equal(got, wanted)
    assert not np.array_equal(trained.model.get_weights()[0], seen[-1][1][0])


def test_another_order_of_the_same_sequences_is_other_data() -> None:
    beats = synthetic_heartbeats(20, seed=1)
    digest = SequenceExamples(beats, "heartbeat", -1.0).digest()
    assert digest == SequenceExamples(beats.take(range(20)), "heartbeat", -1.0).digest()
    assert digest != SequenceExamples(beats.take(range(19, -1, -1)), "heartbeat", -1.0).digest()


# --- Within an epoch


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training can resume after every step; there are three in an epoch."""
    monkeypatch.setattr("seqship.models.training.STEPS", 1)
    monkeypatch.setattr("seqship.models.training.SAVE_SECONDS", 0.0)


@pytest.mark.usefixtures("short")
def test_a_kill_within_an_epoch_resumes_at_the_very_step(flavour: Flavour, beats: RecipeData, tmp_path: Path) -> None:
    whole = run(flavour, beats, None)
    assert STEPS > 1

    def pull(what: str, done: int, total: int) -> None:
        if what.startswith("epoch 2/") and done == 3:
            raise PulledError

    with pytest.raises(PulledError):
        run(flavour, beats, tmp_path, pull)
    state = json.loads((tmp_path / STATE_FILE).read_text())
    assert state["model"] == "epoch-1-2.keras"
    assert state["progression"]["step"] == 2
    told: list[str] = []
    resumed = run(flavour, beats, tmp_path, lambda what, done, _: told.append(f"{what.partition('  ')[0]} {done}"))
    assert told[0] == "epoch 2/4 3"
    assert_same(resumed, whole)


# --- Options


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_gives_a_float32_model(
    fast: Flavour, beats: RecipeData, precision: Any, tmp_path: Path
) -> None:
    training = replace(RECIPE.training, epochs=1)
    trained = train(RECIPE, fast, beats, training=training, seed=3, precision=precision, checkpoints=tmp_path)
    assert {str(weight.dtype) for weight in trained.model.get_weights()} == {"float32"}
    assert {layer.dtype_policy.name for layer in trained.model.layers} == {"float32"}
    assert np.isfinite(trained.history["val_loss"]).all()
    assert fast.keras.mixed_precision.dtype_policy().name == "float32"
    plain = train(RECIPE, fast, beats, training=training, seed=3)
    assert plain.history["loss"] != trained.history["loss"]
    with pytest.raises(ModelError, match=rf"\(precision is '{precision}', now 'float32'\)"):
        train(RECIPE, fast, beats, training=training, seed=3, checkpoints=tmp_path)


def test_a_strategy_trains_to_about_the_same(fast: Flavour, beats: RecipeData) -> None:
    import tensorflow as tf

    training = replace(RECIPE.training, epochs=2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    mirrored = train(RECIPE, fast, beats, training=training, seed=3, strategy=strategy)
    plain = train(RECIPE, fast, beats, training=training, seed=3)
    assert mirrored.history["loss"] == pytest.approx(plain.history["loss"], rel=0.05)


def test_tensorboard_reads_the_history(fast: Flavour, beats: RecipeData, tmp_path: Path) -> None:
    import tensorflow as tf

    training = replace(RECIPE.training, epochs=2)
    trained = train(RECIPE, fast, beats, training=training, seed=3, tensorboard=tmp_path)
    found: dict[str, list[float]] = {}
    for side in ("train", "validation"):
        for file in sorted((tmp_path / side).glob("events*")):
            for event in tf.compat.v1.train.summary_iterator(str(file)):
                for value in event.summary.value:
                    found.setdefault(f"{side} {value.tag}", []).append(float(tf.make_ndarray(value.tensor)))
    assert found["train epoch_loss"] == pytest.approx(trained.history["loss"])
    assert found["validation epoch_accuracy"] == pytest.approx(trained.history["val_accuracy"])


def test_a_recipe_without_training_is_built_and_no_more(fast: Flavour, beats: RecipeData) -> None:
    trained = train(RECIPE, fast, beats, training=replace(RECIPE.training, epochs=0), seed=3)
    assert (trained.history, trained.best_epoch, trained.train_rows) == ({}, 0, 108)
