"""File descriptors: how many this process may have."""

import contextlib
import resource

WANTED = 65_536


def raise_descriptor_limit() -> int:
    """Raises the soft limit to 65,536, or as far as the hard one allows. Returns what holds now. Idempotent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
