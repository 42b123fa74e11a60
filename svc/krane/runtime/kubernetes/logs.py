"""What the containers of a Pod print, as nodes keep it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import UTC, datetime

from pkg.docker.stamps import Stamps
from pkg.errors import Unavailable
from svc.krane.runtime.kubernetes import objects
from svc.krane.runtime.kubernetes.api import UNAVAILABLE, ApiError, KubeApi
from svc.krane.runtime.kubernetes.wire import Pod
from svc.krane.runtime.port import MAX_RECORD_BYTES, LogRecord

_PIECE_BYTES = 16 << 10  # of a line, as containerd cuts it
_STAMP_BYTES = 36  # a time at most


class PodLogs:
    """See `Runtime.logs`. A node does not tell stdout from stderr."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def follow(self, pod: Pod, since_s: int) -> AsyncGenerator[list[LogRecord]]:
        """What the container before the present one printed, as far as the node has it, then the present one."""
        last_ns = -1
        # A node that waits before it starts a container again shows the one before it as the present one.
        if pod.container.restart_count and pod.container.state.running is not None:
            async with aclosing(self._records(pod, since_s, is_previous=True)) as chunks:
                async for records in chunks:
                    last_ns = max(last_ns, records[-1].at_ns)
                    yield records
        async with aclosing(self._records(pod, since_s, is_previous=False)) as chunks:
            async for records in chunks:
                if records := [record for record in records if record.at_ns > last_ns]:
                    yield records

    async def _records(self, pod: Pod, since_s: int, *, is_previous: bool) -> AsyncGenerator[list[LogRecord]]:
        since = datetime.fromtimestamp(since_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if since_s else ""
        meta = pod.metadata
        lines = LineReader()
        chunks = self._api.logs(meta.name, meta.namespace, objects.CONTAINER, since, is_previous=is_previous)
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    if records := lines.feed(chunk):
                        yield records
            if records := lines.end():
                yield records
        except ApiError as error:
            raise Unavailable(UNAVAILABLE, f"the log of {meta.name} can't be read: {error}") from error


class LineReader:
    """Cuts a log whose lines begin with their time into records: a long line into several. Pure.

    Nodes keep a long line in pieces, and before Kubernetes 1.21 write the time before each of them.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._stamps = Stamps()
        self._at_ns = 0
        self._is_inside = False  # of a line whose time is known

    def feed(self, chunk: bytes) -> list[LogRecord]:
        """The records that are complete with these bytes, which may be cut anywhere."""
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        pending, records = self._pending, []
        for line in lines:
            records += self._pieces(line, is_end=True)
        self._pending = pending
        if len(pending) > MAX_RECORD_BYTES:
            records += self._pieces(pending, is_end=False)
        return records

    def end(self) -> list[LogRecord]:
        """What a stream that ended left, without a newline."""
        return self._pieces(self._pending, is_end=True) if self._pending else []

    def _pieces(self, line: bytes, *, is_end: bool) -> list[LogRecord]:
        at = 0
        if not self._is_inside:
            with suppress(ValueError):  # what a node itself says of a log that it can't read
                self._at_ns, at = self._stamps.parse(line)
        pieces = []
        while len(line) - at > (_PIECE_BYTES if is_end else _PIECE_BYTES + _STAMP_BYTES):
            pieces.append(LogRecord(self._at_ns, False, line[at : at + _PIECE_BYTES], is_partial=True))
            at += _PIECE_BYTES
            with suppress(ValueError):
                _, at = self._stamps.parse(line, at)
        self._is_inside, self._pending = not is_end, b"" if is_end else line[at:]
        return [*pieces, LogRecord(self._at_ns, False, line[at:])] if is_end else pieces
