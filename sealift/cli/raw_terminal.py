"""The user's terminal while a program elsewhere has it: every key is sent, and nothing is changed on the way."""

import contextlib
import os
import termios
import tty
from collections.abc import Iterator


class RawTerminal:
    """Of one descriptor. `enter` and `leave` may be called in any order and number."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[object] | None = None

    def enter(self) -> None:
        """From now on keys come one by one, Ctrl-C among them, and are not shown."""
        if self._before is None:
            self._before = termios.tcgetattr(self._descriptor)
        tty.setraw(self._descriptor, termios.TCSADRAIN)

    def leave(self) -> None:
        """As it was before `enter`."""
        if self._before is not None:
            with contextlib.suppress(termios.error):  # it is gone
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]
            self._before = None


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[RawTerminal]:
    """The terminal is raw until the block ends, however it does."""
    terminal = RawTerminal(descriptor)
    try:
        terminal.enter()
        yield terminal
    finally:
        terminal.leave()


def size_of(descriptor: int) -> tuple[int, int] | None:
    """Columns and rows; None when it is no terminal, or does not know them."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return None
    return (size.columns, size.lines) if size.columns and size.lines else None
