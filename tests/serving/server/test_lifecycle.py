"""Versions come and go as their directories do, and no request notices."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import BundleError
from seqship.export.bundle import MANIFEST
from seqship.serving.server.layout import find_versions
from seqship.serving.server.lifecycle import ServedModels
from seqship.serving.server.loading import Loader
from seqship.serving.server.metrics import Metrics
from seqship.serving.server.model_config import single_model_config
from seqship.serving.server.servable import LoadSettings, Servable, call
from seqship.serving.server.status import Code, StatusError
from seqship.serving.server.version_policy import aspired_versions
from seqship.serving.server.versions import LifecycleSettings
from seqship.wire.config_text import parse_text
from seqship.wire.messages import ModelServerConfig, ModelSpec
from seqship.wire.prediction_log import WARMUP_FILE, predict_log, write_warmup

POLICY = ModelServerConfig().model_config_list.config.add().model_version_policy.__class__


def config(*entries: str) -> Any:
    text = "".join(f'config {{ model_platform: "tensorflow" {entry} }}' for entry in entries)
    return parse_text(f"model_config_list {{ {text} }}", ModelServerConfig)


def spec(name: str = "m", version: int | None = None, label: str = "") -> Any:
    made = ModelSpec(name=name)
    if version is not None:
        made.version.value = version
    if label:
        made.version_label = label
    return made


class Fakes:
    """Loads versions that hold nothing; some fail, some take their time."""

    def __init__(self) -> None:
        self.broken: set[int] = set()
        self.loads: list[int] = []
        self.closed: list[int] = []
        self.hold: dict[int, threading.Event] = {}

    def load(self, name: str, version: int, path: Path) -> Servable:
        self.loads.append(version)
        if version in self.hold:
            assert self.hold[version].wait(60)
        if version in self.broken:
            raise BundleError(f"{path.name} is broken")
        return Servable(path, "fake", {}, None, None, lambda: self.closed.append(version))


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    return folder


def push(base: Path, version: int) -> Path:
    """A version that looks like a model."""
    folder = base / f"{version}"
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    return folder


@pytest.fixture
def served(fakes: Fakes) -> Generator[Callable[..., ServedModels]]:
    """Makes models that are looked at when a test asks for it."""
    made: list[ServedModels] = []

    def make(first: Any, **settings: Any) -> ServedModels:
        options: dict[str, Any] = {
            "poll_seconds": 0,
            "max_num_load_retries": 0,
            "load_retry_interval_seconds": 0,
        } | settings
        models = ServedModels(fakes.load, LifecycleSettings(**options))
        made.append(models)
        models.start(first)
        return models

    yield make
    for event in fakes.hold.values():
        event.set()
    for models in made:
        models.stop()


def states(models: ServedModels, name: str = "m") -> dict[int, str]:
    return {one.version: one.state.name for one in models.statuses(spec(name))}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def answering(models: ServedModels, asked: Any) -> int:
    with models.acquire(asked) as (_, version, _):
        return version


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", (30,)),
        ("latest { num_versions: 2 }", (30, 4)),
        ("latest { num_versions: 0 }", (30,)),
        ("all {}", (30, 4, 1)),
        ("specific { versions: 1 versions: 30 versions: 7 }", (30, 1)),
        ("specific {}", ()),
    ],
)
def test_policies(policy: str, expected: tuple[int, ...]) -> None:
    assert aspired_versions(parse_text(policy, POLICY), [4, 30, 1]) == expected


def test_only_whole_versions_are_found(base: Path) -> None:
    push(base, 1)
    push(base, 20)
    for name in ("latest", ".3", "-4", "5.tmp", "1e3", "٦", "99999999999999999999"):
        (base / name).mkdir()
        (base / name / "saved_model.pb").touch()
    (base / "7").mkdir()  # Nothing in it yet.
    (base / "8").touch()  # A file.
    (base / "9" / "saved_model").mkdir(parents=True)
    (base / "9" / "model.onnx").touch()  # A bundle whose manifest is still to come.
    push(base, 10).joinpath(".lock").touch()  # Its writer is at work.
    assert dict(find_versions(base)) == {1: base / "1", 20: base / "20"}


def test_what_has_no_manifest_is_whole_once_it_rests(base: Path) -> None:
    push(base, 1)
    assert not find_versions(base, settle_seconds=3600)
    assert list(find_versions(base, settle_seconds=1e-9)) == [1]
    (base / "1" / MANIFEST).touch()
    assert list(find_versions(base, settle_seconds=3600)) == [1]


def test_a_base_path_that_is_itself_a_model(base: Path, served: Callable[..., ServedModels]) -> None:
    (base / MANIFEST).touch()
    with pytest.raises(BundleError) as caught:
        served(single_model_config("m", str(base)))
    assert str(caught.value) == (
        f"{base} is itself a model; the base path is the directory above its versions: move it to {base}/1, or copy it "
        "to ROOT/1 and give ROOT"
    )


def test_the_newest_version_answers(base: Path, fakes: Fakes, served: Callable[..., ServedModels]) -> None:
    push(base, 1)
    models = served(single_model_config("m", str(base)))
    assert (answering(models, spec()), states(models)) == (1, {1: "AVAILABLE"})
    push(base, 3)
    models.poll()
    until(lambda: states(models) == {3: "AVAILABLE", 1: "END"})
    assert (answering(models, spec()), fakes.closed) == (3, [1])
    with pytest.raises(StatusError, match=r"NOT_FOUND: Servable not found for request: Specific\(m, 1\)"):
        answering(models, spec(version=1))
    shutil.rmtree(base / "3")
    models.poll()
    until(lambda: states(models) == {3: "END", 1: "AVAILABLE"})  # Back to what is left.
    shutil.rmtree(base / "1")
    models.poll()
    until(lambda: states(models) == {3: "END", 1: "END"})
    with pytest.raises(StatusError, match=r"Servable not found for request: Latest\(m\)"):
        answering(models, spec())
    assert models.unready() == ["m"]


def test_the_old_one_serves_while_the_new_one_loads(
    base: Path, fakes: Fakes, served: Callable[..., ServedModels]
) -> None:
    push(base, 1)
    models = served(single_model_config("m", str(base)))
    fakes.hold[2] = threading.Event()
    push(base, 2)
    models.poll()
    until(lambda: states(models) == {2: "LOADING", 1: "AVAILABLE"})
    assert answering(models, spec()) == 1
    fakes.hold[2].set()
    until(lambda: states(models) == {2: "AVAILABLE", 1: "END"})


def test_a_version_that_fails_leaves_the_old_one(base: Path, fakes: Fakes, served: Callable[..., ServedModels]) -> None:
    push(base, 1)
    models = served(single_model_config("m", str(base)), max_num_load_retries=2)
    fakes.broken.add(2)
    push(base, 2)
    models.poll()
    until(lambda: states(models) == {2: "END", 1: "AVAILABLE"})
    assert fakes.loads == [1, 2, 2, 2]
    error = models.statuses(spec(version=2))[0].error
    assert error is not None
    assert (error.code, error.message) == (Code.FAILED_PRECONDITION, "2 is broken")
    models.poll()
    assert fakes.loads == [1, 2, 2, 2]  # It is not tried for ever.
    fakes.broken.clear()
    (base / "2" / "saved_model.pb").write_bytes(b"whole now")
    models.poll()
    until(lambda: states(models) == {2: "AVAILABLE", 1: "END"})


def test_requests_under_way_end_on_the_old_version(
    base: Path, fakes: Fakes, served: Callable[..., ServedModels]
) -> None:
    push(base, 1)
    models = served(single_model_config("m", str(base)))
    with models.acquire(spec()) as (_, version, _):
        push(base, 2)
        models.poll()
        until(lambda: states(models) == {2: "AVAILABLE", 1: "UNLOADING"})
        assert (version, answering(models, spec()), fakes.closed) == (1, 2, [])
    until(lambda: states(models)[1] == "END")
    assert fakes.closed == [1]


def test_several_versions_by_policy(base: Path, served: Callable[..., ServedModels]) -> None:
    for version in (1, 2, 3):
        push(base, version)
    models = served(config(f'name: "m" base_path: "{base}" model_version_policy {{ latest {{ num_versions: 2 }} }}'))
    until(lambda: states(models) == {3: "AVAILABLE", 2: "AVAILABLE"})
    assert answering(models, spec(version=2)) == 2


def test_a_model_that_cannot_be_loaded_at_the_start(
    base: Path, fakes: Fakes, served: Callable[..., ServedModels]
) -> None:
    fakes.broken.add(4)
    push(base, 4)
    with pytest.raises(StatusError) as caught:
        served(single_model_config("m", str(base)))
    assert str(caught.value) == (
        "UNKNOWN: 1 model(s) did not become available: {{{name: m version: 4} due to error: FAILED_PRECONDITION: 4 is "
        "broken}}"
    )


def test_a_base_path_without_a_version_is_waited_for(base: Path, fakes: Fakes) -> None:
    models = ServedModels(fakes.load, LifecycleSettings(poll_seconds=0.01, settle_seconds=0))
    thread = threading.Thread(target=models.start, args=(single_model_config("m", str(base)),))
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    push(base, 1)
    thread.join(30)
    assert states(models) == {1: "AVAILABLE"}
    models.stop()


def test_without_polling_it_is_an_error(base: Path, served: Callable[..., ServedModels]) -> None:
    with pytest.raises(StatusError, match="NOT_FOUND: Unable to find a numerical version path for servable m"):
        served(single_model_config("m", str(base)))


def test_a_base_path_that_is_away_takes_nothing_with_it(base: Path, served: Callable[..., ServedModels]) -> None:
    push(base, 1)
    models = served(single_model_config("m", str(base)))
    base.rename(base.with_name("away"))
    models.poll()
    assert states(models) == {1: "AVAILABLE"}


def test_another_configuration(base: Path, fakes: Fakes, served: Callable[..., ServedModels]) -> None:
    push(base, 1)
    models = served(config(f'name: "a" base_path: "{base}"'))
    models.reload(config(f'name: "b" base_path: "{base}"'))
    assert states(models, "b") == {1: "AVAILABLE"}
    until(lambda: states(models, "a") == {1: "END"})
    assert (models.unready(), fakes.closed) == ([], [1])
    models.reload(config(f'name: "a" base_path: "{base}"', f'name: "b" base_path: "{base}"'))
    assert states(models, "a") == states(models, "b") == {1: "AVAILABLE"}


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (['name: "m" base_path: "/x"'] * 2, "Illegal to list model m multiple times in config list"),
        (['name: "m" base_path: "x"'], "Expected model m to have an absolute path or URI; got base_path()=x"),
        (['base_path: "/x"'], "Illegal to list a model without a name in config list"),
        (
            ['name: "m" base_path: "/x" model_type: TENSORFLOW'],
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform.",
        ),
    ],
)
def test_configurations_that_are_wrong(
    entries: list[str], text: str, base: Path, served: Callable[..., ServedModels]
) -> None:
    push(base, 1)
    models = served(config(f'name: "m" base_path: "{base}"'))
    with pytest.raises(StatusError) as caught:
        models.reload(config(*entries))
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, text)
    assert states(models) == {1: "AVAILABLE"}


def test_platforms(base: Path, served: Callable[..., ServedModels]) -> None:
    push(base, 1)

    def of(platform: str) -> Any:
        text = f'config {{ name: "m" base_path: "{base}" {platform} }}'
        return parse_text(f"model_config_list {{ {text} }}", ModelServerConfig)

    models = served(of("model_type: TENSORFLOW"))
    models.reload(of('model_platform: "tensorflow"'))
    for platform, text in (
        ('model_platform: "onnx"', "Illegal to change a model's platform. For model m platform was tensorflow and"),
        ('model_platform: "x"', "Model m requests unsupported platform x"),
        ("model_type: OTHER", "ModelServerConfig::model_type choice 2 not supported."),
        ("", "Illegal setting neither ModelServerConfig::model_type (deprecated) nor"),
    ):
        with pytest.raises(StatusError) as caught:
            models.reload(of(platform))
        assert caught.value.message.startswith(text)


def labelled(base: Path, *labels: tuple[str, int], versions: int = 1) -> Any:
    given = " ".join(f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels)
    policy = f"model_version_policy {{ latest {{ num_versions: {versions} }} }}"
    return config(f'name: "m" base_path: "{base}" {policy} {given}')


def test_labels(base: Path, served: Callable[..., ServedModels]) -> None:
    push(base, 1)
    push(base, 2)
    models = served(labelled(base, ("stable", 1), ("canary", 2), versions=2))
    assert (answering(models, spec(label="stable")), answering(models, spec(label="canary"))) == (1, 2)
    with pytest.raises(StatusError, match="INVALID_ARGUMENT: Unrecognized servable version label: x"):
        answering(models, spec(label="x"))
    models.reload(labelled(base, ("stable", 2), versions=2))
    assert answering(models, spec(label="stable")) == 2
    with pytest.raises(StatusError) as caught:
        models.reload(labelled(base, ("stable", 3), versions=2))
    assert str(caught.value) == (
        "FAILED_PRECONDITION: Request to assign label to version 3 of model m, which is not currently available for "
        "inference"
    )
    assert answering(models, spec(label="stable")) == 2


def test_labels_of_what_is_to_come(base: Path, served: Callable[..., ServedModels]) -> None:
    push(base, 1)
    models = served(labelled(base, ("stable", 1)), allow_labels_for_unavailable=True)
    models.reload(labelled(base, ("stable", 1), ("next", 2)))
    with pytest.raises(StatusError, match=r"Servable not found for request: Specific\(m, 2\)"):
        answering(models, spec(label="next"))
    with pytest.raises(StatusError, match="not currently available for inference"):
        models.reload(labelled(base, ("stable", 2), ("next", 2)))  # A label that is in use does not go nowhere.


@pytest.fixture
def real() -> Generator[ServedModels]:
    """Models that are loaded as a server loads them."""
    loader = Loader(LoadSettings(), Metrics())
    models = ServedModels(
        loader.load,
        LifecycleSettings(poll_seconds=0.02, max_num_load_retries=0, load_retry_interval_seconds=0, settle_seconds=1),
    )
    yield models
    models.stop()


def test_hot_swaps_under_load(base: Path, bundles: Mapping[str, Path], tmp_path: Path, real: ServedModels) -> None:
    """Requests without a pause, while versions come, go, and are broken: each is answered, by a version that exists."""
    shutil.copytree(bundles["classifier"], base / "1")
    real.start(single_model_config("m", str(base)))
    random = np.random.default_rng(0)
    feeds = [random.normal(0, 1, (1, length, 2)).astype(np.float32) for length in (3, 9, 30)]
    with real.acquire(spec()) as (_, _, servable):
        expected = [call(servable.signatures["serving_default"], {"signal": feed})["scores"] for feed in feeds]
    done, wrong, versions, answered = threading.Event(), list[str](), set[int](), [0, 0, 0]

    def ask(place: int) -> None:
        while not done.is_set():
            try:
                with real.acquire(spec()) as (_, version, one):
                    made = call(one.signatures["serving_default"], {"signal": feeds[place]})["scores"]
            except Exception as error:
                wrong.append(repr(error))
                return
            versions.add(version)
            answered[place] += 1
            if not np.array_equal(made, expected[place]):
                wrong.append(f"version {version} answers {made}")

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    try:
        for version in range(2, 8):
            pushed = tmp_path / "pushed"
            shutil.copytree(bundles["classifier"], pushed)
            if version % 2:  # A byte of the model is another.
                data = bytearray((pushed / "model.onnx").read_bytes())
                data[len(data) // 2] ^= 1
                (pushed / "model.onnx").write_bytes(data)
            pushed.rename(base / str(version))
            until(lambda version=version: version in states(real) and states(real)[version] in ("AVAILABLE", "END"))
            assert (states(real)[version] == "END") == bool(version % 2)
            if version % 2:
                shutil.rmtree(base / str(version))
            before = list(answered)
            until(lambda before=before: bool(wrong) or all(map(int.__gt__, answered, before)))
    finally:
        done.set()
        for thread in threads:
            thread.join(30)
    assert wrong == []
    assert versions == {1, 2, 4, 6}
    until(lambda: states(real) == {version: "AVAILABLE" if version == 6 else "END" for version in range(7, 0, -1)})


def test_a_push_that_is_cut_off_is_invisible(base: Path, bundles: Mapping[str, Path], real: ServedModels) -> None:
    shutil.copytree(bundles["unmasked"], base / "1")
    real.start(single_model_config("m", str(base)))
    partial = base / "2"
    partial.mkdir()
    files = (path for path in bundles["unmasked"].rglob("*") if path.is_file())
    names = sorted(files, key=lambda path: (path.name == MANIFEST, path.name != "model.onnx"))
    assert (names[0].name, names[-1].name) == ("model.onnx", MANIFEST)  # The writer of a bundle writes it last.
    for file in names[:-1]:
        target = partial / file.relative_to(bundles["unmasked"])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        real.poll()
        assert states(real) == {1: "AVAILABLE"}  # The ONNX file, alone for a moment, is no version of its own.
    shutil.copy(names[-1], partial)
    until(lambda: states(real) == {2: "AVAILABLE", 1: "END"})


def test_a_warm_up_that_fails_fails_the_load(base: Path, bundles: Mapping[str, Path], real: ServedModels) -> None:
    onnx_alone = base / "1"
    onnx_alone.mkdir()
    shutil.copy(bundles["classifier"] / "model.onnx", onnx_alone)
    (onnx_alone / WARMUP_FILE).parent.mkdir()
    good = predict_log({"signal": np.zeros((1, 2, 2), np.float32)}, model="other", signature="serving_default")
    bad = predict_log({"signal": np.zeros((1, 2, 5), np.float32)}, model="other", signature="serving_default")
    write_warmup(onnx_alone / WARMUP_FILE, [good, bad])
    with pytest.raises(StatusError) as caught:
        real.start(single_model_config("m", str(base)))
    assert "warm-up request 1 failed: Input signal must have shape [-1,-1,2], it has [1,2,5]." in str(caught.value)
    shutil.copytree(onnx_alone, base / "2")
    write_warmup(base / "2" / WARMUP_FILE, [good])
    until(lambda: states(real) == {2: "AVAILABLE", 1: "END"})


def test_a_bundle_that_is_not_proven_is_refused(base: Path, bundles: Mapping[str, Path], real: ServedModels) -> None:
    import json

    folder = base / "1"
    shutil.copytree(bundles["classifier"], folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["equivalence"]["equivalent"] = False
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StatusError, match="1 is not proven equivalent; see its report"):
        real.start(single_model_config("m", str(base)))
    unproven = Loader(LoadSettings(allow_unproven=True), Metrics()).load("m", 1, folder)
    assert "serving_default" in unproven.signatures


def test_an_onnx_file_of_others_is_refused(base: Path, real: ServedModels) -> None:
    import onnx

    graph = onnx.helper.make_graph([], "empty", [], [])
    folder = base / "1"
    folder.mkdir()
    onnx.save(onnx.helper.make_model(graph), folder / "model.onnx")
    with pytest.raises(StatusError, match=r"carries no contract|cannot be opened"):
        real.start(single_model_config("m", str(base)))
