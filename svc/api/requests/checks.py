"""Checks of single inputs, shared by all validations. Pure; each raises InvalidArgument naming the field."""

import re

from pkg.errors import InvalidArgument
from pkg.ids import is_id

MAX_NAME_CHARS = 120
MAX_IDEMPOTENCY_KEY_CHARS = 128
_SHOWN_CHARS = 80
_ID_WORDS = {
    "proj": "a project id",
    "env": "an environment id",
    "dep": "a deployment id",
    "bld": "a build id",
    "op": "an operation id",
    "key": "a key id",
    "drain": "a drain id",
    "dom": "a domain id",
    "del": "a deletion id",
    "job": "a job id",
}


def shown(text: str) -> str:
    """The value at fault, as it may stand in a message: quoted, escaped, not endless."""
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


def check_id(field: str, prefix: str, text: str) -> str:
    """The id itself, which has the form of one."""
    if not text:
        raise InvalidArgument(field, f"is required: {_ID_WORDS[prefix]} ({prefix}_…)")
    if not is_id(prefix, text):
        raise InvalidArgument(field, f"{shown(text)} is not {_ID_WORDS[prefix]}: those look like {prefix}_06b7k3…")
    return text


def check_text(field: str, text: str, *, min_chars: int = 0, max_chars: int, one_line: bool = True) -> str:
    """The text itself: of that length in characters, without control characters (line breaks, unless `one_line`)."""
    if not min_chars <= len(text) <= max_chars:
        raise InvalidArgument(field, f"must have {min_chars} to {max_chars} characters, this has {len(text)}")
    for character in text:
        if (ord(character) < 32 or ord(character) == 127) and (one_line or character not in "\t\n\r"):
            raise InvalidArgument(field, f"must not hold control characters such as {character!r}")
    return text


def check_no_nul(field: str, text: str) -> str:
    """The text itself, of which nothing but a NUL is refused: PostgreSQL can't even compare with one."""
    if "\0" in text:
        raise InvalidArgument(field, "must not hold a NUL character")
    return text


def check_name(field: str, name: str) -> str:
    """A name for people."""
    if not name.strip():
        raise InvalidArgument(field, "must not be empty: leave it out, or give 1 to 120 characters")
    return check_text(field, name, min_chars=1, max_chars=MAX_NAME_CHARS)


def check_idempotency_key(key: str) -> str:
    """The key itself, 1 to 128 printable characters."""
    return check_text("idempotency_key", key, min_chars=1, max_chars=MAX_IDEMPOTENCY_KEY_CHARS)


def check_range(field: str, value: int, low: int, high: int, unit: str = "") -> int:
    """The number itself, within low..high."""
    if not low <= value <= high:
        raise InvalidArgument(field, f"{value} is outside {low}..{high}{' ' if unit else ''}{unit}")
    return value


def check_form(field: str, text: str, form: re.Pattern[str], allowed: str) -> str:
    """Returns the text, which matches the form; `allowed` describes the form for the user.

    Names have no "=": what follows one is a value that slipped in with its name, perhaps a secret, and is not repeated.
    """
    if form.fullmatch(text) is None:
        name, equals, _ = text.partition("=")
        raise InvalidArgument(field, f"{shown(name + equals + '…' if equals else text)} is not allowed: {allowed}")
    return text
