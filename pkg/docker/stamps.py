"""Timestamps at the begin of log lines, as engines and nodes write them. Pure."""

from datetime import datetime

_NANOSECONDS = 9


class Stamps:
    """Parses RFC 3339 in UTC with up to nine digits of a second. Quick where many are of the same second."""

    def __init__(self) -> None:
        self._second = b""
        self._at_ns = 0

    def parse(self, data: bytes, begin: int = 0) -> tuple[int, int]:
        """Epoch nanoseconds of the timestamp at `begin`, and where the text after its space begins.

        Raises:
            ValueError: there is none.
        """
        second = data[begin : begin + 19]
        if second != self._second:
            self._at_ns = int(datetime.fromisoformat(second.decode("ascii") + "+00:00").timestamp()) * 1_000_000_000
            self._second = second
        space = data.find(b" ", begin + 19, begin + 36)
        if space < 0:
            raise ValueError("no timestamp")
        fraction = data[begin + 19 : space].rstrip(b"Z").lstrip(b".")
        if not fraction:
            return self._at_ns, space + 1
        return self._at_ns + int(fraction.ljust(_NANOSECONDS, b"0")), space + 1
