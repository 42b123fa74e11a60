"""Steps that were ended at a bound, told by who ends them to who builds, in a file of the machine that both run on.

The reason also stands in the step's own output (`pkg.builds.bounds`). But a step that meets a bound often prints more
than a daemon passes on: that line may be lost (docs/limits.md), and the file is not.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from pkg.builds.report_file import replace

MAX_STEPS = 100  # in the file, the latest
MAX_COMMAND_CHARS = 500  # names of steps are cut, too


class EndedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was ended.

    Attributes:
        ended_at_ms: since the epoch.
        command: what its first process runs: the text of a RUN, or the words of an exec form. May be cut.
        line: `BoundHit.line`.
    """

    ended_at_ms: int
    command: str
    line: str


def command_of(words: Sequence[str]) -> str:
    """The command of a process with these arguments, as a step's name has it: a shell's text, else all words."""
    if len(words) == 3 and words[1] == "-c":
        return words[2][:MAX_COMMAND_CHARS]
    return " ".join(words)[:MAX_COMMAND_CHARS]


def add(path: Path, step: EndedStep) -> None:
    """Keep one more. One process writes; readers see the file before or after. Raises OSError."""
    replace(path, [*read(path), step][-MAX_STEPS:])


def read(path: Path) -> list[EndedStep]:
    """Those that are kept, oldest first; none without a readable file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[EndedStep])
    except (OSError, msgspec.DecodeError):
        return []


def choose(steps: Iterable[EndedStep], since_ms: int, step_name: str) -> str:
    """Why the step of that name was ended after `since_ms`: the line, or "" if that is not known. Pure.

    A step counts by its command only: another one that failed meanwhile, for want of memory say, was not ended.
    """
    found = [step for step in steps if step.ended_at_ms >= since_ms and step.command and step.command in step_name]
    return found[-1].line if found else ""


def watch(path: Path | None, now_ms: int) -> Callable[[str], str]:
    """`choose` for a build that begins now, by the name of its failed step; "" in every case without a file."""
    return lambda step_name: choose(read(path), now_ms, step_name) if path else ""
