"""Tenants' output made safe."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from svc.krane.backend.docker.text import MAX_LINE_CHARS, printable, printable_lines, unframe


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(payload)) + payload


def test_frames_are_joined_in_order() -> None:
    # Promise: both outputs are kept, a cut end does no harm.
    raw = frame(1, b"one\n") + frame(2, b"two\n") + frame(1, b"three")
    assert unframe(raw) == b"one\ntwo\nthree"
    assert unframe(raw[:-2]) == b"one\ntwo\nthr"
    assert unframe(raw + b"\x01\0\0") == b"one\ntwo\nthree"
    assert unframe(b"") == b""


def test_the_last_lines_are_kept() -> None:
    # Promise: at most so many lines, the last ones, empty ones left out.
    raw = b"".join(f"line {number}\r\n\n".encode() for number in range(100))
    assert printable_lines(raw, 3) == ["line 97", "line 98", "line 99"]


def test_terminal_escapes_and_binary_become_visible() -> None:
    # Promise: nothing in a log reaches the reader's terminal as a command.
    assert printable_lines(b"\x1b]0;pwn\x07 \xff\xfe ok\ttab", 5) == [r"\x1b]0;pwn\x07 \xff\xfe ok    tab"]


@given(st.binary(max_size=3000))
def test_whatever_comes_is_printable_and_bounded(raw: bytes) -> None:
    # Promise: bounded printable text for every input.
    for line in printable_lines(raw, 40):
        assert line.isprintable()
        assert len(line) <= MAX_LINE_CHARS
    unframe(raw)


@given(st.text(max_size=60), st.integers(4, 30))
def test_a_cut_is_marked(text: str, limit: int) -> None:
    # Promise: a shortened line says so.
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.endswith("…") or printable(text, 10_000) == shown
