"""The rule for slugs of projects, environments and regions. Pure."""

import re

from pkg.errors import InvalidArgument

MAX_SLUG_CHARS = 40
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def check_slug(field: str, slug: str) -> str:
    """The slug itself. Raises InvalidArgument naming `field` when it can't be part of a hostname."""
    if not slug:
        raise InvalidArgument(field, "must not be empty")
    if len(slug) > MAX_SLUG_CHARS or _SLUG.fullmatch(slug) is None or "--" in slug:
        raise InvalidArgument(
            field,
            f"{slug[:80]!r} is not a slug: use 1 to {MAX_SLUG_CHARS} of a-z, 0-9 and single hyphens, "
            "beginning and ending with a letter or digit",
        )
    return slug
