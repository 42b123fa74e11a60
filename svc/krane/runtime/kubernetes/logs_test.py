"""Logs of nodes are cut into the same records wherever their bytes are cut, and long lines are bounded."""

import pytest

from svc.krane.runtime.kubernetes.logs import LineReader
from svc.krane.runtime.port import MAX_RECORD_BYTES

AT = b"1970-01-01T00:00:01.000000002Z "


@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
def test_lines_with_their_times(size: int) -> None:
    """Promise: each line is a record with its time; what a stream leaves without a newline comes at its end."""
    data = AT + b"one\n" + AT + b"\n" + AT + b"\xff two\n" + b"a node's own words\n" + AT + b"rest"
    reader = LineReader()
    records = [record for at in range(0, len(data), size) for record in reader.feed(data[at : at + size])]
    records += reader.end()
    assert [one.data for one in records] == [b"one", b"", b"\xff two", b"a node's own words", b"rest"]
    assert not any(one.is_partial for one in records)
    assert {one.at_ns for one in records} == {1_000_000_002}


@pytest.mark.parametrize("size", [1000, 70_000, 10_000_000])
def test_a_long_line(size: int) -> None:
    """Promise: a line of 3 MB comes in bounded records of its own time, in one piece with what follows it apart."""
    data = AT + b"x" * 3_000_000 + b"\n" + AT + b"next\n"
    reader = LineReader()
    records = [record for at in range(0, len(data), size) for record in reader.feed(data[at : at + size])]
    assert max(len(one.data) for one in records) <= MAX_RECORD_BYTES
    assert b"".join(one.data for one in records[:-1]) == b"x" * 3_000_000
    assert [one.is_partial for one in records[-2:]] == [False, False]
    assert all(one.is_partial for one in records[:-2])
    assert records[-1].data == b"next"


@pytest.mark.parametrize("size", [1000, 70_000, 10_000_000])
def test_times_inside_a_long_line(size: int) -> None:
    """Promise: the times that older nodes write before each piece of a line are no part of it."""
    pieces = [b"x" * 16384, b"y" * 16384, b"z" * 16384, b"z" * 16384, b"z" * 16384, b"end"]
    data = b"".join(AT + piece for piece in pieces) + b"\n" + AT + b"next\n"
    reader = LineReader()
    records = [record for at in range(0, len(data), size) for record in reader.feed(data[at : at + size])]
    assert b"".join(one.data for one in records[:-1]) == b"".join(pieces)
    assert (records[-1].data, records[-2].is_partial) == (b"next", False)
