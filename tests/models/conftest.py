"""What the tests of the models share."""

from __future__ import annotations

import pytest

from seqship.models.flavour import Flavour, load_flavour


@pytest.fixture(scope="session", params=[2, 3], ids=["tf_keras", "keras"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Either Keras."""
    return load_flavour(request.param)
