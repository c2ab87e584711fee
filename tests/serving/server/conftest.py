"""What the tests of the server share: bundles made by `ship`, and a server of them all."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from seqship.models.flavour import load_flavour
from tests.few_cases import few_cases
from tests.serving.server.models import MODELS, weighted
from tests.serving.server.process import Served, served


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A bundle of each model, proven; copy one before you change it."""
    from seqship.export import ship

    folder, made = tmp_path_factory.mktemp("bundles"), dict[str, Path]()
    with few_cases((2,), (5,)):
        for name, (make, options) in MODELS.items():
            layers = make()
            model = load_flavour(3).keras.Sequential(layers) if isinstance(layers, list) else layers
            assert ship(weighted(model), folder / name, name=name, **options).equivalent
            made[name] = folder / name
    return made


@pytest.fixture(scope="session")
def root(bundles: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base paths of all models: version 1 of each, and the configuration that names them."""
    folder = tmp_path_factory.mktemp("root")
    entries: list[str] = []
    for name, bundle in bundles.items():
        (folder / name).mkdir()
        shutil.copytree(bundle, folder / name / "1")
        label = 'version_labels { key: "stable" value: 1 }' if name == "classifier" else ""
        entries.append(f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" {label} }}')
    (folder / "models.config").write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n")
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }\n")
    return folder


@pytest.fixture(scope="session")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """A server of all models."""
    arguments = [
        f"--model_config_file={root / 'models.config'}",
        "--monitoring_config_file",
        str(root / "monitoring.config"),
        "--enable_grpc_healthcheck_service=true",
    ]
    with served(tmp_path_factory.mktemp("log") / "server.log", arguments) as one:
        yield one
