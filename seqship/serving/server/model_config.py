"""Which models are served: `ModelServerConfig`, and what may not stand in it."""

from __future__ import annotations

from pathlib import Path

from seqship.serving.server.status import Code, StatusError, invalid_argument
from seqship.wire.messages import ModelServerConfig, Proto

PLATFORMS = ("tensorflow", "onnx")
"""TensorFlow Serving knows the first alone; a version is served from what its directory holds, whichever is named."""

_TENSORFLOW = 1


def single_model_config(name: str, base_path: str) -> Proto:
    """Returns the configuration of one model, as --model_name and --model_base_path give it."""
    config = ModelServerConfig()
    # A relative path is allowed here and nowhere else: it is relative to where the server was started.
    config.model_config_list.config.add(
        name=name, base_path=str(Path(base_path).absolute()), model_platform=PLATFORMS[0]
    )
    return config


def validate_config(config: Proto, old: Proto | None) -> None:
    """Refuses a configuration that cannot be served, before anything of it is.

    Args:
        config: The new configuration.
        old: The one that it replaces; None at the start.

    Raises:
        StatusError: TensorFlow Serving's words.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise StatusError(
            Code.FAILED_PRECONDITION if old is not None else Code.INVALID_ARGUMENT,
            "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another."
            if old is not None
            else "ModelServer does not yet support custom model config.",
        )
    models = config.model_config_list.config
    names: set[str] = set()
    for model in models:
        if not model.name:
            raise invalid_argument("Illegal to list a model without a name in config list")
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in models:
        if not Path(model.base_path).is_absolute():
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        if (found := platform(model)) not in PLATFORMS:
            raise invalid_argument(f"Model {model.name} requests unsupported platform {found}")
    before = {} if old is None else {model.name: platform(model) for model in old.model_config_list.config}
    for model in models:
        if before.get(model.name, platform(model)) != platform(model):
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {model.name} platform was {before[model.name]} and "
                f"new platform requested is {platform(model)}"
            )


def platform(model: Proto) -> str:
    """Returns the platform of a model.

    Raises:
        StatusError: None is named, or both the old and the new field are.
    """
    if model.model_type and model.model_platform:
        raise invalid_argument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
        )
    if model.model_type == _TENSORFLOW:
        return PLATFORMS[0]
    if model.model_type:
        raise invalid_argument(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    if not model.model_platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    return str(model.model_platform)
