"""The command that serves bundles behind TensorFlow Serving's API."""

from __future__ import annotations

import typer

PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
"""Every argument goes to the server, whose flags are those of `tensorflow_model_server`."""


def serve_command(context: typer.Context) -> None:
    """Serves bundles behind TensorFlow Serving's REST and gRPC API, on onnxruntime, without TensorFlow.

    Example:  seqship serve --model_name=ecg --model_base_path=models/ecg --rest_api_port=8501
    """
    from seqship.serving.server import serve

    raise typer.Exit(serve(context.args))
