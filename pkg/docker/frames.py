"""The engine's framing of output without a terminal, undone. Pure."""

import struct
from typing import NamedTuple

from pkg.docker.stamps import Stamps

_FRAME = struct.Struct(">BxxxI")  # stream, length


class Frame(NamedTuple):
    """One record of a container's log: when the engine got it, of which output (2: stderr), and what."""

    at_ns: int
    stream: int
    data: bytes


class FrameReader:
    """Cuts a log with timestamps into its records.

    Args:
        limit: of the bytes of a record.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = b""
        self._stamps = Stamps()

    def feed(self, chunk: bytes) -> list[Frame]:
        """The records that are complete with these bytes, which may be cut anywhere. Raises ValueError for others."""
        data, at, frames = self._pending + chunk, 0, []
        while at + _FRAME.size <= len(data):
            stream, length = _FRAME.unpack_from(data, at)
            if length > self._limit:
                raise ValueError(f"a record of {length} bytes")
            end = at + _FRAME.size + length
            if end > len(data):
                break
            at_ns, begin = self._stamps.parse(data, at + _FRAME.size)
            frames.append(Frame(at_ns, stream, data[begin:end]))
            at = end
        self._pending = data[at:]
        return frames


class Unframer:
    """Joins the output inside frames, both streams as they came, and keeps the last `limit` bytes of it.

    Source: Engine API, "Attach to a container", stream format.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._out = bytearray()
        self._is_cut = False

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes, cut anywhere."""
        self._pending += chunk
        at = 0
        while at + _FRAME.size <= len(self._pending):
            _, length = _FRAME.unpack_from(self._pending, at)
            if at + _FRAME.size + length > len(self._pending):
                break
            self._out += self._pending[at + _FRAME.size : at + _FRAME.size + length]
            at += _FRAME.size + length
        del self._pending[:at]
        self._trim()

    def output(self) -> bytes:
        """What came so far, a cut last frame as far as it goes; it begins with a whole line if there is one."""
        out = bytes(self._out + self._pending[_FRAME.size :])
        if self._is_cut:
            _, line_break, rest = out.partition(b"\n")
            return rest if line_break else out
        return out

    def _trim(self) -> None:
        if len(self._out) > self._limit:
            del self._out[: len(self._out) - self._limit]
            self._is_cut = True
        if len(self._pending) > self._limit + _FRAME.size:  # no frame of an engine is as long as that
            self._pending.clear()
            self._is_cut = True
