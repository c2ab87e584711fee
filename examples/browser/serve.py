"""Serves the page and the files of one or two bundles, to this machine alone: `serve.py --heartbeat BUNDLE`.

Needs nothing but Python. Only the files that are named below are served; no part of a request becomes a path.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAGE = Path(__file__).parent
SHARED = PAGE.parent / "js"
RUNTIME = PAGE.parent / "node_modules/onnxruntime-web/dist"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",  # Browsers compile nothing else while it arrives.
    ".onnx": "application/octet-stream",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page may load and ask nothing but this server."""


class UsageError(Exception):
    """What the user can put right; its message is one line."""


def page_files() -> dict[str, Path]:
    """Returns the files of the page by their path in a URL.

    Raises:
        UsageError: onnxruntime-web is not installed.
    """
    files = {f"/{file.name}": file for file in PAGE.iterdir() if file.suffix in TYPES}
    files |= {f"/js/{file.name}": file for file in SHARED.iterdir() if file.suffix in TYPES}
    files |= {f"/ort/{name}": RUNTIME / name for name in RUNTIME_FILES}
    if missing := [file for file in files.values() if not file.is_file()]:
        raise UsageError(f"{missing[0]} is missing; run npm ci in {PAGE.parent}")
    return files | {"/": PAGE / "index.html"}


def bundle_files(name: str, bundle: Path) -> dict[str, Path]:
    """Returns the files of a bundle that the page reads, by their path in a URL.

    Raises:
        UsageError: The path is no bundle that the page can run.
    """
    try:
        manifest: Any = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        wanted = ["model.onnx"]
        if text := manifest.get("preprocessing", {}).get("text"):
            wanted.append(str(text["vocabulary"]))
        named = manifest["files"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"{bundle} is no bundle: it has no manifest.json that can be read") from None
    for file in wanted:
        path = (bundle / file).resolve()
        if file not in named or not path.is_relative_to(bundle.resolve()) or not path.is_file():
            raise UsageError(f"{bundle} has no {file}; export it with --formats saved_model,onnx")
    return {f"/bundles/{name}/{file}": bundle / file for file in ("manifest.json", *wanted)}


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the files that are known."""

    protocol_version = "HTTP/1.1"

    def __init__(self, files: Mapping[str, Path], texts: Mapping[str, bytes], *arguments: Any) -> None:
        self._files, self._texts = files, texts
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Sends a file."""
        path = urlsplit(self.path).path
        try:
            body = self._texts[path] if path in self._texts else self._files[path].read_bytes()
        except KeyError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        except OSError:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES[".html" if path == "/" else Path(path).suffix])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  (http.server's name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (http.server's name)
        """Says nothing: the page tells what goes wrong."""


def main() -> int:
    """Serves until it is interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(description="Serves the page and the bundles that it runs, to this machine alone.")
    parser.add_argument("--heartbeat", type=Path, metavar="BUNDLE", help="a bundle of the recipe ecg-gru")
    parser.add_argument("--review", type=Path, metavar="BUNDLE", help="a bundle of the recipe imdb-lstm")
    parser.add_argument("--port", type=int, default=8000, help="8000 if left out; 0 takes a free one")
    given = parser.parse_args()
    bundles: dict[str, Path] = {name: getattr(given, name) for name in ("heartbeat", "review") if getattr(given, name)}
    try:
        if not bundles:
            raise UsageError("give --heartbeat BUNDLE, --review BUNDLE, or both")
        files = page_files()
        for name, bundle in bundles.items():
            files |= bundle_files(name, bundle)
        texts = {"/bundles.json": json.dumps([*bundles]).encode()}
        try:
            server = ThreadingHTTPServer(("127.0.0.1", given.port), partial(Handler, files, texts))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"port {given.port} cannot be used: {reason.lower()}; give another with --port") from None
    except UsageError as mistake:
        print(f"serve.py: error: {mistake}", file=sys.stderr)
        return 2
    with server:
        print(f"http://localhost:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
