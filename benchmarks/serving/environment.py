"""The environment of the peers, made once from a lock with hashes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_LOCK = Path(__file__).parent / "peers" / "requirements.lock"
_SHARED = "import sysconfig, sys; sys.exit(0 if sysconfig.get_config_var('Py_ENABLE_SHARED') else 1)"


def peers_python(folder: Path = Path(".venv-bench")) -> Path:
    """Returns the interpreter of the peers' environment, which is made where it is missing.

    PyTriton starts a program that links to the system's libpython, and takes the standard library of another build for
    its own: the system's interpreter comes first.

    Raises:
        RuntimeError: The packages cannot be installed.
    """
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists() and ready.stat().st_mtime >= _LOCK.stat().st_mtime:
        return python.absolute()
    installed = [Path(f"/usr/bin/python3.{minor}") for minor in (11, 12, 13)]
    candidates = [*(str(path) for path in installed if path.exists()), sys.executable]
    shared = [one for one in candidates if subprocess.run([one, "-c", _SHARED], check=False).returncode == 0]
    print(f"installing the servers that are compared into {folder}", file=sys.stderr)
    uv = [str(Path(sys.executable).parent / "uv")]
    made = [
        [*uv, "venv", "--quiet", "--clear", "--python", (shared or candidates)[0], str(folder)],
        [*uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(_LOCK)],
    ]
    for command in made:
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(f"the servers that are compared cannot be installed: {' '.join(command)} failed")
    ready.touch()
    return python.absolute()
