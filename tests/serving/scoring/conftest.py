"""What the tests of the scoring share: the bundles that the server's tests ship."""

from __future__ import annotations

from tests.serving.server.conftest import bundles

__all__ = ["bundles"]
