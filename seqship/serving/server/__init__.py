"""TensorFlow Serving's REST and gRPC API on onnxruntime, without TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.serving.server.main import run_server, serve
    from seqship.serving.server.options import ServerOptions

__all__ = ["ServerOptions", "run_server", "serve"]

__getattr__, __dir__ = lazy_exports(__name__, {"ServerOptions": "options", "run_server": "main", "serve": "main"})
