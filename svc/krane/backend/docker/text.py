"""Output of tenants' programs made safe to show. Pure."""

import struct

MAX_LINE_CHARS = 1024
_TAB = "    "
_FRAME = struct.Struct(">BxxxI")  # stream, length: the engine's framing of output without a terminal


def unframe(raw: bytes) -> bytes:
    """The output inside the engine's log frames, both streams as they came; a cut last frame is kept as far as it goes.

    Source: Engine API, "Attach to a container", stream format.
    """
    out = bytearray()
    at = 0
    while at + _FRAME.size <= len(raw):
        _, length = _FRAME.unpack_from(raw, at)
        at += _FRAME.size
        out += raw[at : at + length]
        at += length
    return bytes(out)


def printable_lines(raw: bytes, lines: int) -> list[str]:
    """The last `lines` non-empty lines; what is not printable text is shown as backslash escapes."""
    text = raw.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    found = [printable(line) for line in text.split("\n") if line.strip()]
    return found[-lines:]


def printable(line: str, limit: int = MAX_LINE_CHARS) -> str:
    """One line without control characters, at most `limit` characters, cut with an ellipsis."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in line[: limit + 1].replace("\t", _TAB)
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
