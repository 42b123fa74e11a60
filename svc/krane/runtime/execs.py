"""Commands in instances, as `Runtime.exec` runs them.

What a command has started is known by a variable of its environment, `MARK`, which children inherit: by it a runtime
finds what is to be signalled and ended, also after another krane had begun it.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

MARK = "SEALIFT_EXEC_ID"
PIECE_BYTES = 64 << 10
END_WITHIN_S = 1.0  # after SIGHUP, until what is left is killed
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # exit codes, as shells have them


@dataclass(frozen=True)
class ExecSpec:
    """A command.

    Attributes:
        exec_id: of letters, digits and "_".
        command: the program and its arguments.
        stdin: it is given stdin; else it reads an end at once.
        tty: it gets a terminal, of the type `term` ("": not known) and this size (0: not known).
    """

    exec_id: str
    command: tuple[str, ...]
    stdin: bool = False
    tty: bool = False
    term: str = ""
    columns: int = 0
    rows: int = 0


class ExecOutput(NamedTuple):
    """Bytes that the command printed; on a terminal all are stdout."""

    is_stderr: bool
    data: bytes


class ExecEnd(NamedTuple):
    """How the command ended.

    Attributes:
        exit_code: 128 + n by signal n; None: unknown, as the instance has ended with it.
        code: of why it was not started, "exec.command_not_found" or "exec.command_not_executable"; "": it was.
        reason: the same in words.
    """

    exit_code: int | None
    code: str = ""
    reason: str = ""


class ExecProcess(Protocol):
    """A command that runs. Its methods may be called at the same time, `read` and `write` by one task each.

    All but `close` raise `Unavailable` when the runtime is away.
    """

    @property
    def notice(self) -> str:
        """What can't be kept for this command, for people; ""."""
        ...

    async def read(self) -> ExecOutput | ExecEnd:
        """The next output, at most 64 KiB; then, each time, how it ended. Little is read ahead of that."""
        ...

    async def write(self, data: bytes) -> None:
        """Hands bytes to stdin, and returns once they are taken. What nobody reads any more is dropped."""
        ...

    async def end_stdin(self) -> None:
        """The command reads the end of stdin. Not for a terminal, where a key means that."""
        ...

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal's size."""
        ...

    async def signal(self, number: int) -> None:
        """Signals the command and what it has started. Nothing, once it has ended."""
        ...

    async def close(self) -> None:
        """Ends the command and what it has started, if it still runs: SIGHUP, and SIGKILL a second later. Idempotent.

        Raises nothing. What could not be ended is ended when a runtime is opened the next time.
        """
        ...


def not_started(program: str, said: str) -> ExecEnd | None:
    """How a command ended that could not be executed, by the runtime's words; None: they say something else."""
    text = said.lower()
    if "permission denied" in text or "exec format error" in text:
        why = "permission denied" if "permission denied" in text else "exec format error"
        return ExecEnd(NOT_EXECUTABLE, "exec.command_not_executable", f"{program}: {why}")
    if "executable file not found" in text or "no such file or directory" in text:
        return ExecEnd(NOT_FOUND, "exec.command_not_found", f"{program}: not found in the instance")
    return None
