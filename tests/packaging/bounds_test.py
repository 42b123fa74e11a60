"""Promise: what the CLI refuses before it packs is what the server would refuse after it was sent."""

from pkg.contexts import Limits
from sealift.client import bounds


def test_the_bounds_of_a_context_are_the_servers() -> None:
    limits = Limits()
    assert (limits.entries, limits.unpacked_bytes) == (bounds.MAX_ENTRIES, bounds.MAX_UNPACKED_BYTES)
    assert (limits.name_bytes, limits.name_parts) == (bounds.MAX_NAME_BYTES, bounds.MAX_NAME_PARTS)
    assert limits.ratio_free_bytes == bounds.MAX_HOLE_BYTES
