"""Ctrl-C holds, even where a library swallows the exception."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal
from seqship import interrupt
interrupt.watch()
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    pass  # as some libraries do
try:
    interrupt.check()
except KeyboardInterrupt:
    print("stopped")
interrupt.check()
print("once")
"""


def test_a_swallowed_interrupt_is_raised_at_the_next_step() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["stopped", "once"]
