"""File descriptors: how many this process may have."""

import contextlib
import resource

WANTED_DESCRIPTORS = 65_536


def raise_descriptor_limit() -> int:
    """Raises the soft limit to 65,536, or as far as the hard one allows. Returns what holds now. Idempotent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(WANTED_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
