"""Whether Apache Beam is installed."""

from __future__ import annotations

from importlib.util import find_spec

from seqship.errors import DependencyError


def require_beam() -> None:
    """Does nothing where Apache Beam is installed.

    Raises:
        DependencyError: It is not.
    """
    if find_spec("apache_beam") is None:
        raise DependencyError("seqship score needs apache_beam; run: pip install 'seqship[beam]'")
