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
    """Cuts a log whose lines begin with their time into records: what is longer than 64 KiB into several. Pure."""

    def __init__(self) -> None:
        self._pending = b""
        self._stamps = Stamps()
        self._at_ns = 0
        self._is_inside = False  # of a line whose time is known

    def feed(self, chunk: bytes) -> list[LogRecord]:
        """The records that are complete with these bytes, which may be cut anywhere."""
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        records = [record for line in lines for record in self._pieces(line, is_end=True)]
        if len(self._pending) > MAX_RECORD_BYTES:
            records += self._pieces(self._pending, is_end=False)
            self._pending = b""
        return records

    def end(self) -> list[LogRecord]:
        """What a stream that ended left, without a newline."""
        pending, self._pending = self._pending, b""
        return self._pieces(pending, is_end=True) if pending else []

    def _pieces(self, line: bytes, *, is_end: bool) -> list[LogRecord]:
        begin = 0
        if not self._is_inside:
            with suppress(ValueError):  # what a node itself says of a log that it can't read
                self._at_ns, begin = self._stamps.parse(line)
        self._is_inside = not is_end
        cuts = range(begin, max(len(line), begin + 1), MAX_RECORD_BYTES)
        return [
            LogRecord(self._at_ns, False, line[at : at + MAX_RECORD_BYTES], is_partial=at != cuts[-1] or not is_end)
            for at in cuts
        ]
