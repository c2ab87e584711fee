"""The command `seqship`: exit codes, and errors in one line."""

from __future__ import annotations

import os
import sys
from typing import Any

from seqship import interrupt
from seqship.errors import SeqshipError

INTERRUPTED = 130
USER_ERROR = 2


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    _open_standard_streams()
    interrupt.watch()
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
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    code: object = 0
    try:
        code = app(args=arguments, prog_name="seqship", standalone_mode=False)
        sys.stdout.flush()
    except SeqshipError as error:
        if interrupt.asked():
            return _fail("interrupted", INTERRUPTED)
        return _fail(str(error), error.exit_code)
    except TyperException as error:
        return _fail(_usage_text(error))
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except (BrokenPipeError, SystemExit):
        _drop_output()  # Whoever read the output has gone (Typer ends the process then); the verdict still stands.
    except OSError as error:
        _drop_output()
        place = error.filename or "to read or write"
        return _fail(f"the system refused {place}: {(error.strerror or str(error)).lower()}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "seqship":
            raise
        return _fail(f"this command needs {error.name}; run: pip install 'seqship[export]'")
    except Exception:
        if interrupt.asked():  # Keras and TensorFlow turn the KeyboardInterrupt into errors of their own.
            return _fail("interrupted", INTERRUPTED)
        raise
    if code == INTERRUPTED:
        return _fail("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _usage_text(error: Any) -> str:
    """Says what Typer found wrong with the arguments, and which help explains them."""
    text = error.format_message().rstrip(".").replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    return f"{text[:1].lower()}{text[1:]} (see {context.command_path if context else 'seqship'} --help)"


def _open_standard_streams() -> None:
    """Opens those that the caller closed: the next file would get a closed one's number, and what is said with it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _drop_output() -> None:
    """Sends what is still to be printed nowhere; Python would complain once more when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int = USER_ERROR) -> int:
    print(f"seqship: error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
