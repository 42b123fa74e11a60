"""Pages: sizes, and tokens that say where the next one begins. Pure."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from pkg.errors import InvalidArgument

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

T = TypeVar("T")


def page_size(requested: int) -> int:
    """The size of the page; 0 means 50."""
    if requested > MAX_PAGE_SIZE:
        raise InvalidArgument("page_size", f"{requested} is outside 1..{MAX_PAGE_SIZE} (0 means {DEFAULT_PAGE_SIZE})")
    return requested or DEFAULT_PAGE_SIZE


def token_of(last: str) -> str:
    """The token of the page that begins after the item with this sort key."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def after(token: str) -> str:
    """The sort key in a token; "" at the first page."""
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise InvalidArgument("page_token", "was not made by this server: start again without it") from None


def cut(found: Sequence[T], size: int, key: Callable[[T], str]) -> tuple[Sequence[T], str]:
    """The page, and the token of the next one, from up to size + 1 items."""
    if len(found) <= size:
        return found, ""
    return found[:size], token_of(key(found[size - 1]))
