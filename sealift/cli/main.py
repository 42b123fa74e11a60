"""Entry point of `sealift`. Imports little, so that an interrupt is handled from the start."""

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its exit code.

    Exits with `os._exit`, because interpreter shutdown takes longer than `--help` itself. Commands close what they
    opened, and output is flushed here.
    """
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # false if the parent ignores SIGINT
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
    except OSError:  # the reader has exited
        code = code or 1
    os._exit(code)


def _leave(_: int, __: FrameType | None) -> NoReturn:
    """Handle an interrupt while modules are imported; nothing has been started."""
    if "--json" in sys.argv:
        _write(1, f'{{"event": "result", "status": "interrupted", "exit_code": {INTERRUPTED}}}\n')
    _write(2, "interrupted\n")
    os._exit(INTERRUPTED)


def _write(descriptor: int, text: str) -> None:
    with contextlib.suppress(OSError):  # closed, full, or the reader has exited
        os.write(descriptor, text.encode())


if __name__ == "__main__":
    main()
