"""What an engine says of a container that can't be started, where a new one could. Pure."""

import re

from svc.krane.runtime.port import ADDRESSES, DISK, NoRoomError

_LOST = re.compile(r"task [0-9a-f]{64}: already exists|id already in use")
# Of the engine's own assignment, on a network of before; and of the kernel, whose bridges have 1,023 ports.
_FULL = re.compile(r"no available ip(v4)? addresses|to bridge .* failed: exchange full", re.IGNORECASE)
# The kernel says so of control groups and inotify, too, when there are too many of them.
_DISK_FULL = re.compile(r"^(?!.*(cgroup|inotify)).*no space left on device", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


def is_lost_start(said: str) -> bool:
    """Whether a refused start means that the engine was killed while it started this very container.

    containerd has the task or the id, the engine does not know it, and every further start is refused likewise (seen
    with Docker 20.10, killed 40 to 240 ms into a start).
    """
    return _LOST.search(said) is not None


def is_address_taken(said: str) -> bool:
    """Whether another container has the address that this one was given (Docker 20.10 to 28 say it alike)."""
    return "address already in use" in said.lower() and "bind" not in said.lower()


def shortage(said: str) -> NoRoomError | None:
    """The error of a creation or start that has to wait until there is room: an address, or space on the disk."""
    if is_address_taken(said):
        return NoRoomError("", "its address was taken by another container; it gets another one")
    if _FULL.search(said):
        return NoRoomError(ADDRESSES, f"the network of the instances is full (engine: {said})")
    if _DISK_FULL.search(_QUOTED.sub("", said)):  # what stands in quotes comes from the user
        return NoRoomError(DISK, f"the machine's disk is full (engine: {said})")
    return None
