"""What an engine says of a container that an earlier engine was killed over. Pure."""

import re

_LOST = re.compile(r"task [0-9a-f]{64}: already exists|id already in use")


def is_lost_start(said: str) -> bool:
    """Whether a refused start means that the engine was killed while it started this very container.

    containerd has the task or the id, the engine does not know it, and every further start is refused likewise (seen
    with Docker 20.10, killed 40 to 240 ms into a start).
    """
    return _LOST.search(said) is not None
