"""Selects the lines of a long output that show why a program failed: the first errors, and the end. Pure."""

import re
from collections.abc import Sequence

CONTEXT_LINES = 2  # kept before the line where the trouble begins
# Tracebacks and panics of the common languages, and lines that a logger or a tool marks as an error. Java and Node name
# the class first ("java.lang.IllegalStateException: ..."), most others a level.
_TROUBLE = re.compile(
    r"Traceback \(most recent call last\)|^(?:thread '.*' )?panic(?:ked at|:)|^fatal error:|^Exception in thread"
    r"|^Unhandled |^Uncaught |\b(?:[A-Z]\w*)?(?:Error|Exception)\b(?::|$)|^(?:npm )?ERR!|^error\b[:\[]|^Caused by:"
    r"|^\W{0,8}(?:\S+ ){0,4}\W{0,8}(?:ERROR|FATAL|CRITICAL|SEVERE|PANIC|EMERG)\b"
    r"|\"level\": ?\"(?:error|fatal|critical)\"",
    re.MULTILINE,
)


def excerpt(lines: Sequence[str], max_lines: int, max_chars: int) -> list[str]:
    """At most `max_lines` lines and `max_chars` characters (with line breaks) of an output, in order.

    All of it when it fits; else its last lines when they hold the first error, and otherwise the lines from the first
    error on, a mark, and the last ones. A line that is too long for its part is cut.
    """
    if len(lines) <= max_lines and _chars(lines) <= max_chars:
        return list(lines)
    last = _newest(lines, max_lines, max_chars)
    trouble = next((number for number, line in enumerate(lines) if _TROUBLE.search(line)), None)
    if trouble is None or trouble >= len(lines) - len(last):
        return last
    begin = max(0, trouble - CONTEXT_LINES)
    room = max_lines - 1
    head = _oldest(lines[begin:], room - room // 2, max_chars // 2)
    rest = lines[begin + len(head) :]
    tail = _newest(rest, room // 2, max_chars - _chars(head) - 40)
    left_out = len(rest) - len(tail)
    return [*head, *([f"… {left_out} lines left out …"] if left_out else []), *tail]


def _chars(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _oldest(lines: Sequence[str], max_lines: int, max_chars: int) -> list[str]:
    kept: list[str] = []
    left = max_chars
    for line in lines[:max_lines]:
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return kept or [_cut(line, max_chars) for line in lines[:1]]


def _newest(lines: Sequence[str], max_lines: int, max_chars: int) -> list[str]:
    if max_lines <= 0 or max_chars <= 0:
        return []
    kept: list[str] = []
    left = max_chars
    for line in reversed(lines[-max_lines:]):
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return kept[::-1] or [_cut(line, max_chars) for line in lines[-1:]]


def _cut(line: str, max_chars: int) -> str:
    return line[: max(0, max_chars - 2)] + "…"
