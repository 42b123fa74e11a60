"""The ways in which programs print a value: as it is, line by line, and encoded. Pure."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_from_bytes, quote_plus, unquote

MIN_SECRET_BYTES = 4  # shorter ones would blank ordinary text
MIN_SECRET_LINE_BYTES = 8
_MIN_ALIGNED_CHARS = 6
_UNSAFE_IN_SHELL = re.compile(r"([^A-Za-z0-9_@%+=:,./-])")
_SECRET_KEY = re.compile(r"(?i)key|secret|token|passw|pwd|credential|private|signature")
_MAX_LEAVES = 200
# What `base64`, `openssl base64` and `xxd -p` print of a value in one line.
_BASE64_COLUMNS = (76, 64)
_HEX_COLUMNS = 60
_MIN_PIECE_CHARS = 16
_MAX_WRAPPED_BYTES = 4096


def forms(secret: bytes) -> set[bytes]:
    """Every form in which `secret` is looked for as a whole; none when it is shorter than MIN_SECRET_BYTES.

    With and without surrounding white space, in base64 (also as a part of something longer), hex, URLs, JSON (also
    within JSON), shell quoting, Python and HTML; and what is secret inside it: the password of a URL, the secrets of a
    JSON document.
    """
    found: set[bytes] = set()
    for value in _values(secret):
        found |= {value, value.replace(b"\r\n", b"\n"), *_encoded(value)}
    return {form for form in found if len(form) >= MIN_SECRET_BYTES}


def lines(secret: bytes) -> set[bytes]:
    """What programs print of `secret` in one line: its own lines, if it has several, and those of encodings."""
    found: set[bytes] = set()
    for value in _values(secret):
        own = value.splitlines()
        if len(own) > 1:
            found |= {line.strip() for line in own if len(line.strip()) >= MIN_SECRET_LINE_BYTES}
        if len(value) <= _MAX_WRAPPED_BYTES:
            encoded = base64.b64encode(value)
            for columns in _BASE64_COLUMNS:
                found |= _pieces(encoded, columns)
            found |= _pieces(value.hex().encode(), _HEX_COLUMNS)
    return found


def _values(secret: bytes) -> set[bytes]:
    values = {secret, secret.strip(), *_inner(secret.strip())}
    return {value for value in values if len(value.strip()) >= MIN_SECRET_BYTES}


def _pieces(text: bytes, columns: int) -> set[bytes]:
    """The lines of a text that is broken after so many columns."""
    if len(text) <= columns:
        return set()
    pieces = (text[at : at + columns].rstrip(b"=") for at in range(0, len(text), columns))
    return {piece for piece in pieces if len(piece) >= _MIN_PIECE_CHARS}


def _encoded(value: bytes) -> Iterator[bytes]:
    yield from _base64(value)
    yield value.hex().encode()
    yield value.hex().upper().encode()
    yield quote_from_bytes(value, safe="").encode()
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    texts = {
        *escaped,
        *(json.dumps(once)[1:-1] for once in escaped),
        *(once.replace("/", "\\/") for once in escaped),
        quote(text, safe="/"),
        quote(text, safe="/:@"),
        quote_plus(text),
        repr(text)[1:-1],
        shlex.quote(text).strip("'"),
        text.replace("'", "'\\''"),
        _UNSAFE_IN_SHELL.sub(r"\\\1", text),
        html.escape(text),
        html.escape(text, quote=False),
    }
    yield from (one.encode(errors="replace") for one in texts)


def _base64(value: bytes) -> Iterator[bytes]:
    """At each of the three places that a value may have within what is encoded, such as "user:password"."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + value)
        first, last = (before * 8 + 5) // 6, (before + len(value)) * 8 // 6
        if last - first >= _MIN_ALIGNED_CHARS:
            aligned = encoded[first:last]
            yield aligned
            yield aligned.translate(bytes.maketrans(b"+/", b"-_"))
    yield base64.b64encode(value)


def _inner(value: bytes) -> Iterator[bytes]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    if "://" in text:
        yield from _password(text)
    if text[:1] in ("{", "["):
        yield from _leaves(text)


def _password(text: str) -> Iterator[bytes]:
    """The password of a URL, also of one whose password holds a "/" or "@" that should have been escaped."""
    after = text.partition("://")[2]
    for userinfo in {after.rpartition("@")[0], after.partition("/")[0].rpartition("@")[0]}:
        password = userinfo.partition(":")[2]
        if password:
            yield password.encode()
            yield unquote(password).encode(errors="replace")


def _leaves(text: str) -> Iterator[bytes]:
    """Strings of a JSON document under names that speak of secrets, at most 200."""
    try:
        pending = [("", json.loads(text))]
    except (ValueError, RecursionError):
        return
    left = _MAX_LEAVES
    while pending and left:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += value.items()
        elif isinstance(value, list):
            pending += ((name, one) for one in value)
        elif isinstance(value, str) and _SECRET_KEY.search(name):
            left -= 1
            yield value.encode(errors="replace")
