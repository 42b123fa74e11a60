"""Formats text and numbers for people, and removes terminal escapes from foreign text."""

import os
import re
import shutil
import sys
import textwrap
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sealift.cli.exit_codes import ExitCode
from sealift.client.context import Context, size_text

if TYPE_CHECKING:
    from sealift.cli.recorded import Recorded

CACHE_IS_USED = "the server is an older version and ignores --no-cache: the build uses the cache"

# ECMA-48: CSI, strings up to their terminator (OSC, DCS, SOS, PM, APC), other two-byte escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
    r"|\x1b"
)
# Control characters except the tab, and characters that reorder text.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """One line of foreign text without terminal escapes; of overwritten text (carriage returns), the last version."""
    text = _ESCAPES.sub("", text.rstrip("\r\n"))
    text = text.rsplit("\r", 1)[-1]
    return _CONTROLS.sub("", text)


def clean_block(text: str) -> str:
    """Foreign text of several lines, each cleaned."""
    return "\n".join(clean(line) for line in text.split("\n"))


def queued_text(reason: str) -> str:
    """Why a deployment or operation has not started, from the server."""
    return f"queued: {clean(reason)}"


def repeated_text(key: str, made: "Recorded", created_at: int) -> str:
    """The warning that an idempotency key belongs to an earlier deployment or build, created at that time."""
    again = "deploy" if made.noun == "deployment" else "build"
    return (
        f"no new {made.noun}: the idempotency key {key!r} was used {ago(created_at)} ago for {made.id}, whose outcome "
        f"follows. Use another key to {again} again"
    )


def seconds(duration_ms: float) -> str:
    """A duration, e.g. "0.4 s", "2 min 05 s"."""
    whole = max(0.0, duration_ms) / 1000
    if whole < 99.95:
        return f"{whole:.1f} s"
    minutes, rest = divmod(round(whole), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def ago(at_ms: int, now_ms: float | None = None) -> str:
    """The time since `at_ms`, e.g. "5 min"."""
    if not at_ms:
        return "-"
    passed = max(0.0, (time.time() * 1000 if now_ms is None else now_ms) - at_ms) / 1000
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{int(passed // length)} {unit}"
    return f"{int(passed)} s"


def until(at_ms: int, now_ms: float | None = None) -> str:
    """When `at_ms` will be, e.g. "in 5.0 s", "now" if it is over, the day if that is more than two days away."""
    left_ms = at_ms - (time.time() * 1000 if now_ms is None else now_ms)
    if left_ms <= 0:
        return "now"
    return f"in {seconds(left_ms)}" if left_ms < 48 * 3_600_000 else day(at_ms)


def day(at_ms: int) -> str:
    """E.g. "2027-02-26", in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Text wrapped to `width` between words; text without blanks (URLs) is not broken."""
    lines: list[str] = []
    for line in text.split("\n"):
        own = indent + line[: len(line) - len(line.lstrip(" "))]
        lines += textwrap.wrap(
            line, max(20, width), initial_indent=indent, subsequent_indent=own, break_long_words=False,
            break_on_hyphens=False,
        ) or [""]  # fmt: skip
    return lines


def prose(text: str) -> str:
    """Text for stderr: wrapped on a terminal, else unchanged."""
    if not sys.stderr.isatty():
        return text
    return "\n".join(wrapped(text, shutil.get_terminal_size().columns))


def confirm_or_exit(question: str, *, default: bool) -> None:
    """Ask for confirmation at the terminal.

    Raises:
        click.exceptions.Exit: the user declined; a message says that nothing was done.
    """
    import click

    if not click.confirm(prose(question), default=default, err=True):
        click.echo("nothing was done", err=True)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED)


def context_text(context: Context) -> str:
    """A scanned build context in one line."""
    count = len(context.files)
    files = "1 file" if count == 1 else f"{count} files"
    return f"context: {files}, {size_text(context.size_bytes)}; {context.rule}"


def is_interactive() -> bool:
    """Whether stderr is an interactive terminal."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
