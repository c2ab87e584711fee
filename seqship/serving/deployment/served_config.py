"""MODEL_ROOT/models.config: the model, its labels, and which versions are loaded for them.

A `ModelServerConfig` in protobuf's text format with one model. `seqship` owns its labels and its version policy and
leaves the rest as the user wrote it.

With labels the policy is `all`. A server takes a configuration only once every version that a label names is loaded,
and changes nothing at all before (`ServerCore::ReloadConfig` in `model_servers/server_core.cc` gives the labels before
it looks at the policy). Under `specific` a version that a label is moved to would be loaded by that same configuration
alone: it would be refused for ever. Under `all` every pushed version is loaded as soon as it is there, so that the
server takes the configuration at one of its next looks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format

from seqship.errors import DataError
from seqship.serving.deployment.model_root import temporary
from seqship.wire.config_text import read_text
from seqship.wire.messages import POOL, ModelServerConfig, Proto

CONFIG = "models.config"
_TENSORFLOW = "tensorflow"


@dataclass(frozen=True)
class StagedConfig:
    """A configuration that is on the disk under a temporary name: what is left to do takes no space.

    Attributes:
        path: Where it belongs.
        sibling: Where it is; None where it says what `path` says already.
    """

    path: Path
    sibling: Path | None

    def publish(self) -> None:
        """Gives it its name."""
        if self.sibling is not None:
            self.sibling.replace(self.path)


def read_config(root: Path) -> Proto:
    """Reads the configuration of a MODEL_ROOT; an empty one where there is none yet.

    Raises:
        DataError: It cannot be read, or is not that of one model.
    """
    path = root / CONFIG
    if not path.exists():
        return ModelServerConfig()
    config = read_text(path, ModelServerConfig)
    if config.WhichOneof("config") == "custom_model_config":
        raise DataError(f"{path} is a custom_model_config; move it elsewhere, seqship writes a model_config_list")
    names = [str(model.name) for model in config.model_config_list.config]
    if len(names) > 1:
        raise DataError(
            f"{path} names {len(names)} models ({', '.join(names)}), seqship keeps one; move it out of {root} and give "
            "the server that file, or one root for each model"
        )
    return config


def labels_of(config: Proto) -> Mapping[str, int]:
    """Returns the version of each label, by name."""
    models = config.model_config_list.config
    return {label: int(models[0].version_labels[label]) for label in sorted(models[0].version_labels)} if models else {}


def name_of(config: Proto, root: Path, name: str | None = None) -> str:
    """Returns the name that the model is served under: one that was asked for, the old one, or the root's."""
    models = config.model_config_list.config
    return name or (str(models[0].name) if models else "") or Path(os.path.abspath(root)).name or "model"  # noqa: PTH100


def stage_config(
    root: Path, labels: Mapping[str, int], *, name: str | None = None, served_path: str | None = None
) -> StagedConfig:
    """Writes the configuration anew under a temporary name, synced.

    Args:
        root: The MODEL_ROOT.
        labels: The version of each label.
        name: Name of the model; that of the file, or of the root, if left out.
        served_path: The root as the server sees it; that of the file, or the root's own path, if left out.

    Raises:
        DataError: The old one is not that of one model.
        OSError: The disk does not take it.
    """
    path, old, config = root / CONFIG, read_config(root), read_config(root)
    models = config.model_config_list.config
    model = models[0] if models else models.add()
    model.name = name_of(old, root, name)
    model.base_path = served_path or model.base_path or os.path.abspath(root)  # noqa: PTH100  (links stay as they are)
    if not model.model_platform and not model.model_type:
        model.model_platform = _TENSORFLOW
    model.version_labels.clear()
    model.version_labels.update(labels)
    if labels:
        model.model_version_policy.all.SetInParent()
    elif model.model_version_policy.WhichOneof("policy_choice") != "latest":
        model.model_version_policy.latest.num_versions = 1
    if config == old:
        return StagedConfig(path, None)
    sibling = temporary(root, CONFIG)
    with sibling.open("w", encoding="utf-8") as file:
        file.write(text_format.MessageToString(config, as_utf8=True, descriptor_pool=POOL))
        file.flush()
        os.fsync(file.fileno())
    return StagedConfig(path, sibling)


def check_labels(labels: Collection[str]) -> None:
    """Refuses what can be no label.

    Raises:
        DataError: One is empty, or cannot be printed.
    """
    for label in labels:
        if not label or not label.isprintable():
            raise DataError(f"a label is a name that can be printed, got {label!r}; try stable or canary")


def check_served_path(path: str | None) -> None:
    """Refuses a base path that no server takes.

    Raises:
        DataError: It is no absolute path and no URI.
    """
    if path is not None and not Path(path).is_absolute() and "://" not in path:
        raise DataError(
            f"--served-path is absolute, such as /models/ecg, got {path!r}: it is where the server finds it"
        )


def present(labels: Mapping[str, int], versions: Collection[int]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Splits labels into those that name a version that is there, and the names of the others."""
    kept = {label: version for label, version in labels.items() if version in versions}
    return kept, tuple(label for label in labels if label not in kept)
