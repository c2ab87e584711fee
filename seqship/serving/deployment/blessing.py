"""The blessing of a bundle: who validated it against a baseline says so in `validation.json`.

The manifest does not name that file, since it is written later; it names the manifest instead, by its digest. Whatever
writes the manifest anew, as `seqship verify` does, makes a blessing void.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.atomic import write_file
from seqship.errors import BundleError, DataError, ProofError
from seqship.export.bundle import MANIFEST, VALIDATION_FILE, Bundle, sha256


@dataclass(frozen=True, eq=False)
class Blessing:
    """What a validation found.

    Attributes:
        blessed: Whether the bundle may be deployed.
        manifest_sha256: Digest of the manifest that was validated.
        document: All that the file holds.
    """

    blessed: bool
    manifest_sha256: str
    document: Mapping[str, Any]


def read_blessing(bundle: Bundle | str | os.PathLike[str]) -> Blessing | None:
    """Reads the blessing of a bundle, None where it carries none; whether it still holds, `refuse_unblessed` tells.

    Raises:
        BundleError: The file cannot be read.
    """
    file = _directory(bundle) / VALIDATION_FILE
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None
    return parse_blessing(data, source=file)


def parse_blessing(data: bytes, *, source: Path) -> Blessing:
    """Returns the blessing that a file holds.

    Args:
        data: Content of the file.
        source: The file, for errors.

    Raises:
        BundleError: It holds none.
    """
    try:
        document: Any = json.loads(data)
        blessed, digest = document["blessed"], document["manifest_sha256"]
    except (ValueError, TypeError, KeyError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{source} is no blessing: {reason}") from None
    if not isinstance(blessed, bool) or not isinstance(digest, str):
        raise BundleError(f"{source} is no blessing: blessed must be true or false, and manifest_sha256 a text")
    return Blessing(blessed, digest, document)


def refuse_unblessed(path: Path, blessing: Blessing | None, manifest_sha256: str) -> None:
    """Refuses a bundle that was not validated as it is now.

    Args:
        path: The bundle, for errors.
        blessing: What it carries.
        manifest_sha256: Digest of its manifest.

    Raises:
        ProofError: It carries no blessing, its validation failed, or another manifest was blessed.
    """
    if blessing is None:
        raise ProofError(f"{path} carries no blessing ({VALIDATION_FILE}); validate it, or drop --require-blessing")
    if not blessing.blessed:
        raise ProofError(f"{path} was validated and not blessed; see its {VALIDATION_FILE}")
    if blessing.manifest_sha256 != manifest_sha256:
        raise ProofError(
            f"{path} carries the blessing of another manifest (sha256 {blessing.manifest_sha256[:12]}, its own is "
            f"{manifest_sha256[:12]}); validate it again"
        )


def write_blessing(bundle_path: str | os.PathLike[str], document: Mapping[str, Any]) -> Blessing:
    """Writes what a validation found into a bundle, at once and synced.

    Args:
        bundle_path: The bundle.
        document: Holds `blessed`, and what else is worth knowing. `manifest_sha256` is the digest of the manifest that
            was validated; where it is left out, that of the manifest as it is now.

    Raises:
        BundleError: The path is no bundle.
        DataError: `blessed` is missing or no truth value, or the document is no JSON.
        OutputError: The disk does not take it.
    """
    directory = Path(bundle_path)
    manifest = directory / MANIFEST
    if not manifest.is_file():
        raise BundleError(f"{directory} is no bundle: it has no {MANIFEST}; make one with seqship ship")
    whole = {"manifest_sha256": sha256(manifest), **document}
    if not isinstance(whole.get("blessed"), bool):
        raise DataError(f"a blessing needs blessed: true or false, got {whole.get('blessed')!r}")
    try:
        data = (json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"the blessing of {directory} cannot be written as JSON: {error}") from None
    write_file(directory / VALIDATION_FILE, data)
    return parse_blessing(data, source=directory / VALIDATION_FILE)


def manifest_digest(data: bytes) -> str:
    """Returns the SHA-256 of what a manifest holds, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _directory(bundle: Bundle | str | os.PathLike[str]) -> Path:
    return bundle.path if isinstance(bundle, Bundle) else Path(bundle)
