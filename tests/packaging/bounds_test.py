"""Promise: what the CLI refuses before it packs is what the server would refuse after it was sent."""

from pkg.contexts import Limits
from sealift.client import context_limits


def test_the_bounds_of_a_context_are_the_servers() -> None:
    limits = Limits()
    assert (limits.entries, limits.unpacked_bytes) == (context_limits.MAX_ENTRIES, context_limits.MAX_UNPACKED_BYTES)
    assert (limits.name_bytes, limits.name_parts) == (context_limits.MAX_NAME_BYTES, context_limits.MAX_NAME_PARTS)
    assert limits.ratio_free_bytes == context_limits.MAX_HOLE_BYTES
