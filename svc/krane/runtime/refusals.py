"""What an engine means when it refuses to create or start a container: for ever, for now, or nobody knows. Pure.

The words are those of Docker 20.10 to 28 with runc and crun; status codes alone say little (a USER that does not exist
is a 500, a command that does not exist a 400 or a 500).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from svc.krane.runtime.port import ADDRESSES, DISK, NOT_STARTED, PendingError

MAX_SAID_CHARS = 400


class Kind(StrEnum):
    """Whether the same call may succeed later."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Refusal:
    """What a refusal means. `why` is for users: the cause and the next step, without the engine's own words."""

    kind: Kind
    code: str
    why: str


REFUSED = "instance.refused"

_USER = "; create it in the Dockerfile (RUN useradd ...), or use a number: USER 1000"
_TRANSIENT = (
    (r"session key[^\n]*disk quota exceeded", "the kernel has too many keys (kernel.keys.maxkeys and maxbytes)"),
    (r"no space left on device|disk quota exceeded", "the machine's disk is full"),
    (r"no available (ipv4 )?addresses|address already in use", "the region's network has no free address"),
    (r"too many open files|resource temporarily unavailable|cannot allocate memory", "the machine is short of it"),
    (r"cgroup", "the kernel did not take its limits"),
    (r"network \S* ?not found|endpoint with name|failed to set up container networking", "its network is not ready"),
    (r"context (deadline exceeded|canceled)|timed? ?out|timeout|try again", "the engine is too busy"),
    (r"device or resource busy|database is locked|already in progress|marked for removal", "the engine is busy"),
    (r"transport is closing|ttrpc|connection (refused|reset)|broken pipe|unexpected eof|: eof\b", "containerd is away"),
    (r"task [0-9a-f]{64}: already exists|id already in use", "an earlier engine was killed while it started it"),
    (r"input/output error", "the machine's disk does not answer"),
)
_PERMANENT = (
    (r"unable to find user (?P<it>[^:]*)", "instance.user_not_found",
     "USER {it!r} does not exist in the image" + _USER),
    (
        r"unable to find group (?P<it>[^:]*)",
        "instance.user_not_found",
        "the group {it!r} of USER does not exist in the image; create it in the Dockerfile (RUN groupadd ...), or use "
        "a number",
    ),
    (r"uids and gids must be", "instance.user_not_found", "USER is out of range; use a number up to 65535, or a name"),
    (r"no command specified", "instance.no_command", "the image has neither CMD nor ENTRYPOINT; add CMD to the "
     "Dockerfile, or set [run] command"),
    (r"argument list too long", "instance.command_too_long", "the command and the variables together are too long for "
     "the kernel (128 KiB each, 2 MiB in all); make them shorter"),
    (r"exec format error", "instance.wrong_platform", "the program is made for another processor, or is a script "
     "without a first line such as #!/bin/sh; build the image for {platform}"),
    (r"(cannot mkdir|mkdir [^:]*|chdir to cwd[^:]*|working directory)[^\n]*(not a directory|invalid|permission denied"
     r"|no such file)", "instance.bad_workdir", "its WORKDIR can't be used; it must be an absolute path of a directory "
     "that the USER may enter"),
    (r"invalid environment variable|environment variable [^\n]*null", "instance.bad_variable", "a variable's name or "
     "value can't be handed to a program; ENV of the Dockerfile and the environment's variables need names without ="),
    (r"exec[^\n]*(executable file|stat [^\n]*|[^\n]*): ?(not found|no such file)|executable file[^\n]*not found|"
     r"(open|stat) [^\n]*no such file or directory", "instance.command_not_found", "{command} is not in the image"),
    (r"(exec|open executable)[^\n]*(permission denied|is a directory|operation not permitted)",
     "instance.command_denied", "{command} may not be executed; make it an executable file (chmod +x)"),
    (r"read-only file system", "instance.read_only", "a file system that has to be written is read-only"),
)  # fmt: skip
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# What runc found wrong while it set up the container: the same next time.
_SETUP = re.compile(r"error during container init|container init caused|invalid (argument|spec|reference)")
_LOST = re.compile(r"task [0-9a-f]{64}: already exists|id already in use")
# Of the engine's own assignment, on a network of before; and of the kernel, whose bridges have 1,023 ports.
_FULL = re.compile(r"no available ip(v4)? addresses|to bridge .* failed: exchange full", re.IGNORECASE)
# The kernel says so of control groups and inotify, too, when there are too many of them.
_DISK_FULL = re.compile(r"^(?!.*(cgroup|inotify)).*no space left on device", re.IGNORECASE | re.DOTALL)


def classify(status_code: int | None, said: str, *, command: Sequence[str] = (), platform: str = "") -> Refusal:
    """What the engine's answer means.

    Args:
        status_code: of the HTTP answer.
        said: the engine's message.
        command: what would have run; named in the reason.
        platform: of the engine, e.g. "linux/amd64".
    """
    lowered = said.lower()
    words = {"command": shown(command), "platform": platform or "this machine's platform"}
    # What stands in quotes comes from the user: a program may be called "timeout".
    bare = _QUOTED.sub('""', lowered)
    for pattern, why in _TRANSIENT:
        if re.search(pattern, bare):
            return Refusal(Kind.TRANSIENT, NOT_STARTED, why)
    for pattern, code, why in _PERMANENT:
        found = re.search(pattern, lowered)
        if found:
            # the engine's own spelling of what the pattern caught
            it = said[found.start("it") : found.end("it")] if "it" in found.groupdict() else ""
            return Refusal(Kind.PERMANENT, code, why.format(it=it, **words))
    if status_code in (404, 409, 423, 425, 429):
        return Refusal(Kind.TRANSIENT, NOT_STARTED, "something it needs is not there right now")
    if (status_code is not None and 400 <= status_code < 500) or _SETUP.search(bare):
        return Refusal(Kind.PERMANENT, REFUSED, "what the image or its settings ask for is not possible here")
    return Refusal(Kind.UNKNOWN, NOT_STARTED, "the engine gave a reason that is not known")


def is_init_missing(said: str) -> bool:
    """Whether a start failed for want of the engine's own init program, which `HostConfig.Init` asks for."""
    lowered = said.lower()
    return "docker-init" in lowered and ("not found" in lowered or "no such file" in lowered)


def is_quota_refused(said: str) -> bool:
    """Whether a creation failed since the storage driver can't bound a container's layer.

    overlay2 can on xfs with project quotas alone, and with a kernel that has them.
    """
    return "storage-opt" in said.lower()


def is_lost_start(said: str) -> bool:
    """Whether a refused start means that the engine was killed while it started this very container.

    containerd has the task or the id, the engine does not know it, and every further start is refused likewise (seen
    with Docker 20.10, killed 40 to 240 ms into a start).
    """
    return _LOST.search(said) is not None


def is_address_taken(said: str) -> bool:
    """Whether another container has the address that this one was given (Docker 20.10 to 28 say it alike)."""
    return "address already in use" in said.lower() and "bind" not in said.lower()


def shortage(said: str) -> PendingError | None:
    """The error of a creation or start that has to wait until there is room: an address, or space on the disk."""
    if is_address_taken(said):
        return PendingError("", "its address was taken by another container; it gets another one")
    if _FULL.search(said):
        return PendingError(ADDRESSES, f"the network of the instances is full (engine: {said})")
    if _DISK_FULL.search(_QUOTED.sub("", said)):  # what stands in quotes comes from the user
        return PendingError(DISK, f"the machine's disk is full (engine: {said})")
    return None


def shown(command: Sequence[str]) -> str:
    """A command for a message: quoted, at most 200 characters."""
    text = " ".join(command)
    return repr(text if len(text) <= 200 else text[:199] + "…") if text else "the image's command"
