"""Which process is which: a pid alone is reused by the kernel, so a process is known by boot, pid and start time.

Pidfiles hold all three. `identify` and `is_alive` treat a zombie as gone: it serves nobody any more.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from svc.standalone.files import replace

# Fields of /proc/<pid>/stat after the command name, which may itself hold spaces and brackets: proc(5), fields 3 and
# 22.
_STATE = 0
_START_TIME = 19


@dataclass(frozen=True)
class Identity:
    """One process, for ever: no later process on this or another boot has the same."""

    pid: int
    started: int
    boot: str

    def __str__(self) -> str:
        return f"{self.pid} {self.started} {self.boot}"

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """From the three fields of a pidfile. Raises ValueError."""
        pid, started, boot = text.split()
        return cls(pid=int(pid), started=int(started), boot=boot)


def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """The identity of a running process; None when there is none, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[_STATE] in {"Z", "X"}:
        return None
    return Identity(pid=pid, started=int(fields[_START_TIME]), boot=boot_id())


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identify(identity.pid) == identity


def write_pidfile(path: Path, identity: Identity) -> None:
    """Replace the pidfile. Raises OSError, see `files.replace`."""
    replace(path, f"{identity}\n")


def read_pidfile(path: Path) -> Identity | None:
    """The process a pidfile names, if that very process still runs; None otherwise, also for an unreadable file."""
    try:
        identity = parse_pidfile(path)
    except (FileNotFoundError, ValueError):
        return None
    return identity if is_alive(identity) else None


def parse_pidfile(path: Path) -> Identity:
    """The process a pidfile names, running or not. Raises FileNotFoundError or ValueError."""
    return Identity.parse(path.read_text())


@contextlib.contextmanager
def _pidfd(identity: Identity) -> Iterator[int | None]:
    try:
        fd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield fd if is_alive(identity) else None
    finally:
        os.close(fd)


def _finish(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


async def wait_ended(identity: Identity) -> None:
    """Return when the process has ended; at once if it already has. Needs no parenthood. Does not reap."""
    with _pidfd(identity) as fd:
        if fd is None:
            return
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(fd, _finish, ended)
        try:
            await ended
        finally:
            loop.remove_reader(fd)


def send_signal(identity: Identity, number: signal.Signals) -> None:
    """Signal exactly this process; nothing happens if it has ended."""
    with _pidfd(identity) as fd:
        if fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)


async def end(identity: Identity, grace_s: float) -> bool:
    """Ask a process to end, and after `grace_s` seconds make it. True if it went when asked. Idempotent."""
    send_signal(identity, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace_s):
            await wait_ended(identity)
    except TimeoutError:
        send_signal(identity, signal.SIGKILL)
        await wait_ended(identity)
        return False
    return True
