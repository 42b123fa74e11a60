"""Entry point of `sealift`. It loads little, so that an interrupt is answered from the first moment."""

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its verdict.

    The interpreter is not taken apart first, which would take longer than `--help` itself: a command closes what it
    opened, and output is flushed here.
    """
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so where the parent ignores it
    if is_ours:
        signal.signal(signal.SIGINT, _leave)
    from sealift.cli.app import invoke
    from sealift.cli.streams import guard

    guard()
    if is_ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = invoke(args)
    try:
        sys.stderr.flush()
    except OSError:  # nobody reads it any more
        code = code or 1
    os._exit(code)


def _leave(_: int, __: FrameType | None) -> NoReturn:
    """Answer an interrupt while modules are loaded: nothing was begun."""
    if "--json" in sys.argv:
        _write(1, f'{{"event": "result", "status": "interrupted", "exit_code": {INTERRUPTED}}}\n')
    _write(2, "interrupted\n")
    os._exit(INTERRUPTED)


def _write(descriptor: int, text: str) -> None:
    with contextlib.suppress(OSError):  # closed, full, or nobody reads it
        os.write(descriptor, text.encode())


if __name__ == "__main__":
    main()
