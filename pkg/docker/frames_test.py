"""Frames of the engine's log stream become output again, bounded."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.docker.frames import FrameReader, Unframer


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(payload)) + payload


def unframed(raw: bytes, limit: int = 1000, step: int = 7) -> bytes:
    unframer = Unframer(limit)
    for at in range(0, len(raw), step):
        unframer.feed(raw[at : at + step])
    return unframer.output()


def test_frames_are_joined_in_order() -> None:
    """Promise: both outputs are kept, wherever chunks end; a cut end does no harm."""
    raw = frame(1, b"one\n") + frame(2, b"two\n") + frame(1, b"three")
    assert unframed(raw) == b"one\ntwo\nthree"
    assert unframed(raw[:-2]) == b"one\ntwo\nthr"
    assert unframed(raw + b"\x01\0\0") == b"one\ntwo\nthree"
    assert unframed(b"") == b""


def test_the_end_of_a_long_output_is_kept_from_a_line_on() -> None:
    """Promise: of more than the limit, the last lines stay, and none is shown without its beginning."""
    raw = b"".join(frame(1, f"line {number}\n".encode()) for number in range(100))
    assert unframed(raw, 20) == b"line 98\nline 99\n"


@given(st.binary(max_size=500), st.integers(1, 60), st.integers(1, 50))
def test_whatever_comes_is_bounded(raw: bytes, limit: int, step: int) -> None:
    """Promise: no input makes it raise or keep more than twice the limit."""
    assert len(unframed(raw, limit, step)) <= 2 * limit + 8


def timed(text: bytes, stream: int = 1) -> bytes:
    return frame(stream, b"1970-01-01T00:00:01.000000002Z " + text)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_records_are_the_same_wherever_the_bytes_are_cut(size: int) -> None:
    """Promise: a log that arrives in any pieces gives the same records, binary ones and empty lines among them."""
    data = timed(b"one\n") + timed(b"\n", 2) + timed(b"\x00\xff\xfe no end") + timed("\N{SHIP}\n".encode())
    reader = FrameReader(1000)
    records = [record for at in range(0, len(data), size) for record in reader.feed(data[at : at + size])]
    assert [(one.stream, one.data) for one in records] == [
        (1, b"one\n"),
        (2, b"\n"),
        (1, b"\x00\xff\xfe no end"),
        (1, "\N{SHIP}\n".encode()),
    ]
    assert {one.at_ns for one in records} == {1_000_000_002}


def test_what_is_no_log_is_refused() -> None:
    """Promise: bytes of another kind end the stream and fill no memory."""
    with pytest.raises(ValueError, match=r"a record of \d+ bytes"):
        FrameReader(1000).feed(b"HTTP/1.1 400 Bad Request")
