"""Small build contexts and a sink that keeps everything, for tests.

The contexts need no registry: they carry Debian's static busybox (package busybox-static) for a `FROM scratch`.
"""

import asyncio
import io
import os
import secrets
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pkg.builders.port import SignContextUrl
from pkg.telemetry.events import BuildStep, LogStream

BUSYBOX = Path("/bin/busybox")
# what every Dockerfile here starts with
SHELL = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n"


def engine_socket() -> Path:
    """The engine that tests use: SEALIFT_ENGINE_SOCKET, else Docker's usual socket."""
    return Path(os.environ.get("SEALIFT_ENGINE_SOCKET", "/var/run/docker.sock"))


def context(files: Mapping[str, bytes | str], *, busybox: bool = True) -> bytes:
    """A tar.gz with these files, and with busybox by default."""
    everything: list[tuple[str, bytes, int]] = [
        (name, data if isinstance(data, bytes) else data.encode(), 0o644) for name, data in files.items()
    ]
    if busybox:
        if not BUSYBOX.exists():
            raise FileNotFoundError(f"{BUSYBOX}: install Debian's busybox-static, tests build images from it")
        everything.append(("busybox", BUSYBOX.read_bytes(), 0o755))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, data, mode in everything:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def context_at(url: str) -> SignContextUrl:
    """A context that is always at this URL."""
    return lambda *, with_etag: url


def nonce() -> str:
    """Something that no cache has seen."""
    return secrets.token_hex(8)


class MemorySink:
    """A `BuildSink` that keeps everything, and on which a test can wait for a text."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, LogStream, str]] = []
        self.steps: list[BuildStep] = []
        self._news = asyncio.Condition()

    async def line(self, step_id: str, stream: LogStream, text: str) -> None:
        """See `BuildSink.line`."""
        async with self._news:
            self.lines.append((step_id, stream, text))
            self._news.notify_all()

    async def step(self, step: BuildStep) -> None:
        """See `BuildSink.step`."""
        self.steps.append(step)

    async def saw(self, text: str, timeout_s: float = 30) -> None:
        """Waits until a line contains `text`."""
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(lambda: text in self.text)

    @property
    def text(self) -> str:
        """All output so far."""
        return "\n".join(line for _, _, line in self.lines)

    @property
    def last_steps(self) -> dict[str, BuildStep]:
        """The last report of each step, by name."""
        return {step.name: step for step in self.steps}

    def everything(self) -> str:
        """All text that went through the sink, to look for what must not be there."""
        parts: Iterable[str] = (f"{s.name} {s.error}" for s in self.steps)
        return "\n".join([self.text, *parts])
