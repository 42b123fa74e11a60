"""Reads a deployment's log in both orders: by time up to some heads, and from a cursor to what is newest."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from heapq import merge

from pkg.desired.processes import WEB, process_of_instance
from pkg.telemetry import AppLine, LineKey, LogSource, LogTelemetry, SourceHead
from sealift.ctrl.v1 import log_pb2 as pb
from svc.api.logs.cursor import LogCursor

READ_AT_ONCE = 500
MESSAGE_CHARS = 256 << 10  # of the lines in one message
_AFTER_ALL = "\U0010ffff"  # sorts after every source

Filter = Callable[[str], bool]


class LogReader:
    """The log of one deployment, and which instances of it are wanted. Reads the store at each call.

    Args:
        instance_ids: none: all of them.
        process: only its instances, `WEB` for those that are of no process; "": of all.
    """

    def __init__(
        self, logs: LogTelemetry, deployment_id: str, instance_ids: Iterable[str] = (), process: str = ""
    ) -> None:
        self._logs = logs
        self._deployment_id = deployment_id
        self._instance_ids = frozenset(instance_ids)
        self._process = process
        self.sources: dict[str, LogSource] = {}

    async def heads(self) -> list[SourceHead]:
        """How much there is."""
        heads = await self._logs.heads(self._deployment_id)
        self.sources = {head.source.source_id: head.source for head in heads}
        return heads

    def wants(self, line: AppLine) -> bool:
        """Whether the line is of a wanted instance."""
        source = self.sources.get(line.source_id)
        return source is not None and self._is_wanted(source)

    async def newest(self, since: int, count: int, heads: Sequence[SourceHead]) -> list[AppLine]:
        """The last lines up to the heads, by time."""
        if not self._instance_ids and not self._process:
            found = await self._logs.read_newest(self._deployment_id, since, limit=count)
        else:
            of_each = [
                await self._logs.read_newest(self._deployment_id, since, source_id=head.source.source_id, limit=count)
                for head in heads
                if self._is_wanted(head.source)
            ]
            found = list(merge(*of_each, key=_key))[-count:]
        return [line for line in found if line.seq <= _known(heads).get(line.source_id, 0)]

    async def by_time(self, since: int, heads: Sequence[SourceHead]) -> AsyncGenerator[list[AppLine]]:
        """All lines since then up to the heads, by time."""
        known, after = _known(heads), LineKey(since - 1, _AFTER_ALL, 0)
        while lines := await self._logs.read_by_time(self._deployment_id, after, READ_AT_ONCE):
            after = _key(lines[-1])
            if found := [line for line in lines if line.seq <= known.get(line.source_id, 0) and self.wants(line)]:
                yield found

    async def news(self, cursor: LogCursor, heads: Sequence[SourceHead]) -> list[AppLine]:
        """The next lines after the cursor of every source that has some, about by time; the cursor passes them."""
        pages = []
        for head in heads:
            if not cursor.is_behind(head):
                continue
            if not self._is_wanted(head.source):
                cursor.pass_heads([head])
                continue
            source_id = head.source.source_id
            seq, at = cursor.positions.get(source_id, (0, cursor.since))
            page = await self._logs.read_source(self._deployment_id, source_id, at, seq, READ_AT_ONCE)
            if page:
                cursor.pass_line(page[-1])
            else:  # deleted meanwhile
                cursor.pass_heads([head])
            pages.append(page)
        return list(merge(*pages, key=_key))

    def _is_wanted(self, source: LogSource) -> bool:
        if self._process and (process_of_instance(source.instance_id) or WEB) != self._process:
            return False
        return not self._instance_ids or source.instance_id in self._instance_ids


def messages(
    lines: Sequence[AppLine], sources: Mapping[str, LogSource], cursor: LogCursor, *, line_cursors: bool
) -> list[pb.GetLogsResponse]:
    """The lines as they are sent, in messages of bounded size. The cursor, of before them, passes them."""
    found: list[pb.GetLogsResponse] = []
    left = 0
    for line in lines:
        if left <= 0:
            if found:
                found[-1].cursor = cursor.to_text()
            found.append(pb.GetLogsResponse())
            left = MESSAGE_CHARS
        cursor.pass_line(line)
        source = sources[line.source_id]
        text = cursor.to_text() if line_cursors else ""
        found[-1].lines.add(
            instance_id=source.instance_id,
            region=source.region,
            at=line.at,
            stream=pb.LogStream.ValueType(line.stream),
            text=line.text,
            is_partial=line.is_partial,
            cursor=text,
        )
        left -= 100 + len(line.text) + len(text)
    if found:
        found[-1].cursor = cursor.to_text()
    return found


def _key(line: AppLine) -> LineKey:
    return LineKey(line.at, line.source_id, line.seq)


def _known(heads: Sequence[SourceHead]) -> dict[str, int]:
    return {head.source.source_id: head.seq for head in heads}
