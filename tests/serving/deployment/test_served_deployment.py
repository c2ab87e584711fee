"""What was pushed is served: by `seqship serve`, which polls while versions come and go, and as a SavedModel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seqship.export.bundle import Bundle, read_bundle
from seqship.serving import Predictor
from seqship.serving.deployment import label, push, rollback
from tests.serving.server.process import Served, served

DEADLINE = 60
BEAT = [[0.98], [1.0], [0.58], [0.13]]
BODY = {"instances": [BEAT]}


def until(condition: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)


def answering(server: Served, asked: str = "") -> int | None:
    """The version that answers; None where none does."""
    found = server.get(f"/v1/models/ecg{asked}/metadata")
    if found.status_code != 200 or server.post(f"/v1/models/ecg{asked}:predict", BODY).status_code != 200:
        return None
    return int(found.json()["model_spec"]["version"])


def configured(root: Path) -> list[str]:
    return [f"--model_config_file={root / 'models.config'}", "--model_config_file_poll_wait_seconds=1"]


def test_labels_follow_a_polling_server(bundle: Path, root: Path, tmp_path: Path) -> None:
    push(bundle, root, labels=["stable"])
    with served(tmp_path / "log", configured(root)) as server:
        assert (answering(server, "/labels/stable"), answering(server, "/labels/canary")) == (1, None)
        push(bundle, root, labels=["canary"])
        until(lambda: answering(server, "/labels/canary") == 2, server.log)
        assert (answering(server, "/labels/stable"), answering(server)) == (1, 2)
        # A label that is moved to a version which the server has not loaded yet.
        push(bundle, root, labels=["canary"])
        until(lambda: answering(server, "/labels/canary") == 3, server.log)
        assert (answering(server, "/labels/stable"), answering(server)) == (1, 3)
        assert rollback(root, to=1).moved == ("canary",)
        until(lambda: (answering(server, "/labels/canary"), answering(server)) == (1, 1), server.log)
        label(root, remove=["canary"])
        until(lambda: answering(server, "/labels/canary") is None, server.log)
        assert answering(server, "/labels/stable") == 1


def test_the_first_label_of_an_older_version(bundle: Path, root: Path, tmp_path: Path) -> None:
    """It is not loaded where there was no label before: TensorFlow Serving, too, takes that with this flag alone."""
    push(bundle, root)
    push(bundle, root)
    flag = "--allow_version_labels_for_unavailable_models=true"
    with served(tmp_path / "log", [*configured(root), flag]) as server:
        assert answering(server) == 2
        label(root, {"stable": 1})
        until(lambda: answering(server, "/labels/stable") == 1, server.log)
        assert answering(server) == 2


def test_no_request_fails_while_versions_come_and_go(bundle: Path, root: Path, tmp_path: Path) -> None:
    push(bundle, root)
    flags = ["--model_name=ecg", f"--model_base_path={root}"]
    with served(tmp_path / "log", flags) as server:
        ended, failed = threading.Event(), list[str]()

        def ask() -> None:
            while not ended.is_set():
                answer = server.post("/v1/models/ecg:predict", BODY)
                if answer.status_code != 200:
                    failed.append(answer.text)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for number in (2, 3):
                assert push(bundle, root, keep=1).removed == (number - 1,)
                until(lambda number=number: answering(server) == number, server.log)
            push(bundle, root)
            until(lambda: answering(server) == 4, server.log)
            rollback(root)
            until(lambda: answering(server) == 3, server.log)
        finally:
            ended.set()
            asking.join(DEADLINE)
        assert failed == []


def test_an_unproven_version_needs_the_servers_word(bundle: Path, root: Path, tmp_path: Path) -> None:
    import json
    import shutil

    copy = Path(shutil.copytree(bundle, tmp_path / "bad"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["equivalence"]["equivalent"] = False
    (copy / "manifest.json").write_text(json.dumps(manifest))
    push(bundle, root)
    assert not push(copy, root, force=True).proven
    flags = ["--model_name=ecg", f"--model_base_path={root}", "--max_num_load_retries=0"]
    with served(tmp_path / "log", [*flags, "--allow_unproven=true"]) as server:
        assert answering(server) == 2


def test_tensorflow_loads_the_version_itself(bundle: Path, root: Path) -> None:
    import tensorflow as tf

    from seqship.wire.prediction_log import WARMUP_FILE

    version = push(bundle, root).path
    found: Bundle = read_bundle(version)
    assert found.saved_model == version / "saved_model"
    assert (version / WARMUP_FILE).is_file()
    loaded: Any = tf.saved_model.load(str(version))
    signature = loaded.signatures["serving_default"]
    beat = np.array([BEAT], np.float32)
    answer = signature(**{found.inputs[0].name: tf.constant(beat)})[found.outputs[0].name].numpy()
    expected = Predictor(bundle).predict([beat[0]]).probabilities
    assert expected is not None
    np.testing.assert_allclose(answer, expected, atol=1e-5)
