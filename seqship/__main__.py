"""The command `seqship`: exit codes, and errors in one line."""

from __future__ import annotations

import os
import sys

from seqship.errors import SeqshipError

INTERRUPTED = 130
USER_ERROR = 2


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs the command line.

    Args:
        arguments: What stands behind `seqship`.

    Returns:
        The exit code: 0 done and proven, 1 the proof failed, 2 the user's mistake, 130 interrupted.
    """
    try:
        from typer.exceptions import TyperException

        from seqship.cli import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "seqship":
            raise
        return _fail(f"the command line needs {error.name}; run: pip install 'seqship[export]' (or seqship[serve])")
    try:
        code = app(args=arguments, prog_name="seqship", standalone_mode=False)
        sys.stdout.flush()
    except SeqshipError as error:
        return _fail(str(error), error.exit_code)
    except TyperException as error:
        return _fail(f"{error.format_message().rstrip('.')}; see seqship --help", USER_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "seqship":
            raise
        return _fail(f"this command needs {error.name}; run: pip install 'seqship[export]'")
    if code == INTERRUPTED:
        return _fail("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int = USER_ERROR) -> int:
    print(f"seqship: error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
