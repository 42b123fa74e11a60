"""Spans of one process, without importing OpenTelemetry. They are off unless `trace_export.configure` turns them on.

W3C traceparent in (`span(..., traceparent=)`) and out (`traceparent()`), so that one trace follows a deploy through
every process. A service takes `current()` in its run.py and hands it on.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Protocol

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-[0-9a-f]{2}"
)


class Span(Protocol):
    """A piece of work that is under way."""

    def set(self, **attributes: object) -> None:
        """Add attributes. Text, numbers and booleans stay what they are; the rest becomes text."""

    def fail(self, message: str) -> None:
        """Mark the work as failed without an exception."""


class Tracing:
    """No tracing: the peer that does nothing. `OtlpTracing` is the one that exports."""

    enabled = False

    @contextlib.contextmanager
    def span(self, name: str, traceparent: str | None = None, **attributes: object) -> Iterator[Span]:
        """Everything inside belongs to a new span.

        Its parent is `traceparent` when that is a valid one, else the current span, else none. An exception marks the
        span as failed and is raised again; a cancellation is no failure.
        """
        del name, traceparent, attributes
        yield _NO_SPAN

    def traceparent(self) -> str:
        """The current span as a W3C traceparent; "" when there is none."""
        return ""

    def shutdown(self, timeout_s: float = 5.0) -> None:
        """Send what is left, for at most `timeout_s`. Blocks; idempotent. Spans after it are dropped."""


class _NoSpan:
    def set(self, **attributes: object) -> None:
        pass

    def fail(self, message: str) -> None:
        pass


_NO_SPAN = _NoSpan()
_current: Tracing = Tracing()


def install(tracing: Tracing) -> None:
    """Makes `tracing` the one that `current` returns. Called once, at the start of a process."""
    global _current  # noqa: PLW0603 - tracing is ambient like logging: one per process, set at its start
    _current = tracing


def current() -> Tracing:
    """What `install` was given; off before."""
    return _current


def is_traceparent(text: str) -> bool:
    """Whether `text`, from outside, is a valid W3C traceparent."""
    return len(text) == 55 and _TRACEPARENT.fullmatch(text) is not None
