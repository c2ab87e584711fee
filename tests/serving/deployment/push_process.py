"""Pushes in a process of its own: `python push_process.py END BUNDLE ROOT`.

END says how it ends: a number is the line of seqship's or shutil's code before which it kills itself, with SIGKILL, and
0 is none; "wait" tells on standard output that it waits for another push.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from seqship.serving.deployment import push
from seqship.wire.messages import POOL

assert POOL  # Imports are no moment of a push.
TRACED = (os.path.join("serving", "deployment"), "shutil.py")  # noqa: PTH118


class Lines:
    """Counts the lines that run, and kills the process before one of them."""

    def __init__(self, last: int) -> None:
        self.count = 0
        self.last = last

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not any(part in frame.f_code.co_filename for part in TRACED):
            return None
        if event == "line":
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace


def main() -> None:
    end, bundle, root = sys.argv[1:]

    def tell(what: str, done: int, total: int) -> None:
        if what.startswith("waiting"):
            print(what, flush=True)

    if end == "wait":
        print(push(bundle, root, progress=tell).version, flush=True)
        return
    lines = Lines(int(end))
    sys.settrace(lines.trace)
    push(bundle, root, keep=2, labels=["canary"])
    sys.settrace(None)
    print(lines.count)


if __name__ == "__main__":
    main()
