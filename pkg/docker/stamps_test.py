"""Times at the begin of log lines are read to the nanosecond, in every form that engines and nodes write."""

import pytest

from pkg.docker.stamps import Stamps

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("line", "nanoseconds"),
    [
        (b"1970-01-01T00:00:01.000000002Z text", SECOND_NS + 2),
        (b"1970-01-01T00:00:01.5Z text", SECOND_NS + SECOND_NS // 2),
        (b"1970-01-01T00:00:01Z text", SECOND_NS),
        (b"2026-11-29T02:00:00.123456789Z text", 1_795_917_600_123_456_789),
    ],
)
def test_every_form(line: bytes, nanoseconds: int) -> None:
    """A second without a fraction, with a short one and with nanoseconds, also after another second and in between."""
    stamps = Stamps()
    for _ in range(2):
        at_ns, begin = stamps.parse(b"__" + line, 2)
        assert (at_ns, (b"__" + line)[begin:]) == (nanoseconds, b"text")
        stamps.parse(b"1999-12-31T23:59:59.999999999Z x")


@pytest.mark.parametrize("line", [b"", b"failed to get the log", b"2026-11-29T02:00:00.123456789Z", b"\xff" * 40])
def test_what_is_no_time(line: bytes) -> None:
    """Promise: a line without a time is told apart."""
    with pytest.raises(ValueError, match=r"."):
        Stamps().parse(line)
