"""Lines of a program's output as text that is safe to show. Pure."""

import re

MAX_LINE_CHARS = 1024
_TAB = "    "
# ECMA-48: control sequences (colours, cursor), operating system commands (titles, links), single escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]"
)


def without_escapes(text: str) -> str:
    """`text` without terminal escape codes; of a line that was written over (a progress bar), its last state."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(_last_state(line) for line in text.split("\n"))
    return text


def printable_lines(text: str) -> list[str]:
    """The lines that are not empty, each printable."""
    return [printable(line.rstrip()) for line in text.split("\n") if line.strip()]


def printable(line: str, limit: int = MAX_LINE_CHARS) -> str:
    """One line without control characters, at most `limit` characters, cut with an ellipsis."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in line[: limit + 1].replace("\t", _TAB)
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _last_state(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")
