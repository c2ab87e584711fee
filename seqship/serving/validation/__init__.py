"""Asks a real server what a bundle's proof asked the runtimes, before the bundle is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.serving.validation.infra_check import Validation, validate

__all__ = ["Validation", "validate"]

__getattr__, __dir__ = lazy_exports(__name__, {"Validation": "infra_check", "validate": "infra_check"})
