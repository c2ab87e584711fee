"""Labels, and the configuration that carries them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from seqship.errors import DataError
from seqship.serving.deployment import label, push, rollback, versions
from seqship.serving.server.model_config import validate_config
from seqship.wire.config_text import read_text
from seqship.wire.messages import ModelServerConfig
from tests.serving.deployment.plain_bundle import names


@pytest.fixture
def two(plain: Path, root: Path) -> Path:
    push(plain, root)
    push(plain, root)
    return root


def config(root: Path) -> Any:
    whole = read_text(root / "models.config", ModelServerConfig)
    validate_config(whole, None)
    return whole.model_config_list.config[0]


def labels(root: Path) -> Mapping[str, int]:
    return dict(config(root).version_labels)


def test_without_labels_the_newest_is_served(two: Path) -> None:
    found = config(two)
    assert (found.name, found.base_path, found.model_platform) == ("ecg", str(two), "tensorflow")
    assert found.model_version_policy.latest.num_versions == 1
    assert labels(two) == {}


def test_labels_come_move_and_go(two: Path) -> None:
    assert label(two, {"stable": 1, "canary": 2}).labels == {"canary": 2, "stable": 1}
    assert labels(two) == {"stable": 1, "canary": 2}
    # A server takes labels of loaded versions alone: every one is loaded, the one a label moves to among them.
    assert config(two).model_version_policy.WhichOneof("policy_choice") == "all"
    made = label(two, {"stable": 2}, remove=["canary"])
    assert (made.labels, made.removed, made.model) == ({"stable": 2}, ("canary",), "ecg")
    assert {one.number: one.labels for one in versions(two)} == {2: ("stable",), 1: ()}
    label(two, remove=["stable"])
    assert config(two).model_version_policy.latest.num_versions == 1


def test_a_push_moves_its_labels(plain: Path, two: Path) -> None:
    label(two, {"canary": 2, "stable": 1})
    assert push(plain, two, labels=["canary", "next", "canary"]).labels == ("canary", "next")
    assert labels(two) == {"stable": 1, "canary": 3, "next": 3}


@pytest.mark.parametrize(
    ("assign", "remove", "message"),
    [
        ({}, (), "no label is given; name some as NAME=VERSION, or --remove NAME"),
        ({"a": 7}, (), "{root} has no version 7; the versions there are: 1, 2"),
        ({"": 1}, (), "a label is a name that can be printed, got ''; try stable or canary"),
        ({"a": 1}, ("a",), "label a is both given and removed; choose one"),
        ({}, ("b",), "{root} has no label b; the labels there are: canary, stable"),
        ({"a": 1}, ("b",), "{root} has no label b; the labels there are: canary, stable"),
    ],
)
def test_refused_labels(assign: dict[str, int], remove: tuple[str, ...], message: str, two: Path) -> None:
    label(two, {"stable": 1, "canary": 2})
    before = (two / "models.config").read_bytes()
    with pytest.raises(DataError) as raised:
        label(two, assign, remove=remove)
    assert str(raised.value) == message.format(root=two)
    assert (two / "models.config").read_bytes() == before


def test_names_and_paths(plain: Path, root: Path) -> None:
    push(plain, root, name="heart", served_path="/models/heart")
    push(plain, root)
    assert (config(root).name, config(root).base_path) == ("heart", "/models/heart")
    assert push(plain, root, name="beat", served_path="/srv/beat").model == "beat"
    assert (config(root).name, config(root).base_path) == ("beat", "/srv/beat")
    push(plain, root, served_path="gs://bucket/beat")
    assert "gs://bucket/beat" in (root / "models.config").read_text()


EXTENDED = """
# Mine.
model_config_list {
  config {
    name: "mine" base_path: "/models/mine" model_platform: "onnx"
    logging_config { sampling_config { sampling_rate: 0.5 } }
    model_version_policy { latest { num_versions: 2 } }
  }
}
"""


def test_what_the_user_wrote_stays(plain: Path, root: Path) -> None:
    root.mkdir(parents=True)
    (root / "models.config").write_text(EXTENDED)
    assert push(plain, root).model == "mine"
    assert (root / "models.config").read_text() == EXTENDED  # Nothing was to be changed.
    label(root, {"stable": 1})
    found = config(root)
    assert (found.name, found.base_path, found.model_platform) == ("mine", "/models/mine", "onnx")
    assert found.logging_config.sampling_config.sampling_rate == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config {", r"{file} is no ModelServerConfig: .*"),
        ("new_field: 1", r'{file} is no ModelServerConfig: 1:1 : Message type .* has no field named "new_field".*'),
        ("\xff", r"{file} is not UTF-8 text: .*"),
        ("custom_model_config {}", r"{file} is a custom_model_config; move it elsewhere, .*"),
        (
            'model_config_list { config { name: "a" } config { name: "b" } }',
            r"{file} names 2 models \(a, b\), seqship keeps one; move it out of {root} and give the server that "
            "file, or one root for each model",
        ),
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_ours_to_change(text: str, message: str, plain: Path, two: Path) -> None:
    file = two / "models.config"
    file.write_bytes(text.encode("latin-1"))
    pattern = f"^{message.replace('{file}', str(file)).replace('{root}', str(two))}$"
    for attempt in (
        lambda: push(plain, two),
        lambda: rollback(two),
        lambda: label(two, {"stable": 1}),
        lambda: versions(two),
    ):
        with pytest.raises(DataError, match=pattern):
            attempt()
    assert file.read_bytes() == text.encode("latin-1")
    assert names(two) == ["1", "2", "models.config"]


def test_a_directory_in_the_place_of_the_configuration(plain: Path, root: Path) -> None:
    (root / "models.config").mkdir(parents=True)
    with pytest.raises(DataError, match=f"^cannot read {root}/models.config: is a directory$"):
        push(plain, root)


def test_labels_of_versions_that_somebody_removed_are_dropped(plain: Path, two: Path) -> None:
    label(two, {"stable": 1, "canary": 2})
    (two / "1").rename(two / "mine")
    made = label(two, {"next": 2})
    assert (made.labels, made.dropped) == ({"canary": 2, "next": 2}, ("stable",))
    (two / "2").rename(two / "mine too")
    assert push(plain, two, labels=["next"]).dropped == ("canary",)
