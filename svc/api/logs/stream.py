"""The stream of a deployment's log: history, then what comes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from pkg.desired.processes import WEB, name_problem
from pkg.errors import InvalidArgument
from pkg.telemetry import AppLine, LogTelemetry, SourceHead
from sealift.ctrl.v1 import log_pb2 as pb
from svc.api.logs.cursor import LogCursor
from svc.api.logs.reading import LogReader, messages
from svc.api.logs.sharing import RECHECK_S, IsOver, SharedLines, SharedLog, SharedLogs
from svc.api.requests.checks import check_no_nul, check_range

MAX_TAIL = 1000
MAX_INSTANCES = 100
_MAX_TIME = 2**53


@dataclass(frozen=True)
class LogQuery:
    """What is asked for, checked. `after` is None at the begin."""

    deployment_id: str
    follow: bool
    since: int
    tail: int
    after: LogCursor | None
    instance_ids: tuple[str, ...]
    line_cursors: bool
    until_replaced: bool
    process: str = ""

    @property
    def wants_all(self) -> bool:
        """Whether it gets what others get."""
        return not self.instance_ids and not self.process and not self.line_cursors


def log_query(request: pb.GetLogsRequest) -> LogQuery:
    """The request. Raises InvalidArgument."""
    since = check_range("since", request.since, 0, _MAX_TIME)
    tail = check_range("tail", request.tail, 0, MAX_TAIL)
    check_range("instance_ids", len(request.instance_ids), 0, MAX_INSTANCES)
    for instance_id in request.instance_ids:
        check_no_nul("instance_ids", instance_id)
    if request.process and request.instance_ids:
        raise InvalidArgument("process", "it chooses the instances: instance_ids must be absent")
    if request.process not in ("", WEB) and (problem := name_problem(request.process)):
        raise InvalidArgument("process", problem)
    if request.after and (since or tail):
        raise InvalidArgument("after", "it says where to begin: since and tail must be absent")
    return LogQuery(
        deployment_id=request.deployment_id,
        follow=request.follow,
        since=since,
        tail=tail,
        after=LogCursor.parse(request.after) if request.after else None,
        instance_ids=tuple(request.instance_ids),
        line_cursors=request.line_cursors,
        until_replaced=request.follow and request.until_replaced,
        process=request.process,
    )


async def until(responses: AsyncGenerator[pb.GetLogsResponse], is_ended: IsOver) -> AsyncGenerator[pb.GetLogsResponse]:
    """The responses until they end or `is_ended` says so, which is asked every `RECHECK_S`, by each follower.

    The caller closes `responses`.
    """
    clock = asyncio.get_running_loop().time
    due = clock() + RECHECK_S
    upcoming = asyncio.ensure_future(anext(responses, None))
    try:
        while True:
            await asyncio.wait({upcoming}, timeout=max(0.0, due - clock()))
            if upcoming.done():
                response = upcoming.result()
                if response is None:
                    return
                yield response
                upcoming = asyncio.ensure_future(anext(responses, None))
            if clock() >= due:
                if await is_ended():
                    return
                due = clock() + RECHECK_S
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)


async def stream(
    logs: LogTelemetry, shared: SharedLogs, query: LogQuery, is_over: IsOver
) -> AsyncGenerator[pb.GetLogsResponse]:
    """Each line once, those of an instance in their order. With `follow` until `is_over`."""
    reader = LogReader(logs, query.deployment_id, query.instance_ids, query.process)
    heads = await reader.heads()
    if query.after is None:
        cursor = LogCursor(query.since)
        async with aclosing(_history(reader, query, cursor, heads)) as history:
            async for message in history:
                yield message
        cursor.pass_heads(heads)
    else:
        cursor = query.after
    if not query.follow:
        async with aclosing(_catch_up(reader, query, cursor, heads)) as rest:
            async for message in rest:
                yield message
        return
    yield pb.GetLogsResponse(cursor=cursor.to_text())  # so that who sees no line for long can resume
    async with (
        shared.following(query.deployment_id) as log,
        aclosing(_follow(reader, log, query, cursor, is_over)) as news,
    ):
        async for message in news:
            yield message


async def _history(
    reader: LogReader, query: LogQuery, cursor: LogCursor, heads: Sequence[SourceHead]
) -> AsyncGenerator[pb.GetLogsResponse]:
    if query.tail:
        lines = await reader.newest(query.since, query.tail, heads)
        cursor.pass_heads(heads)
        for line in reversed(lines):  # a cursor on the way is before all lines that are yet to come
            cursor.positions[line.source_id] = (line.seq - 1, line.at)
        for message in messages(lines, reader.sources, cursor, line_cursors=query.line_cursors):
            yield message
        return
    async with aclosing(reader.by_time(query.since, heads)) as pages:
        async for lines in pages:
            for message in messages(lines, reader.sources, cursor, line_cursors=query.line_cursors):
                yield message


async def _catch_up(
    reader: LogReader, query: LogQuery, cursor: LogCursor, heads: Sequence[SourceHead]
) -> AsyncGenerator[pb.GetLogsResponse]:
    """What there is after the cursor, up to the heads at least."""
    before = cursor.copy()
    while any(cursor.is_behind(head) for head in heads):
        lines = [line for line in await reader.news(cursor, heads) if line.at >= query.since]
        for message in messages(lines, reader.sources, before, line_cursors=query.line_cursors):
            yield message
        before = cursor.copy()


async def _follow(
    reader: LogReader, log: SharedLog, query: LogQuery, cursor: LogCursor, is_over: IsOver
) -> AsyncGenerator[pb.GetLogsResponse]:
    while True:
        number = await log.begin()
        async with aclosing(_catch_up(reader, query, cursor, await reader.heads())) as rest:
            async for message in rest:
                yield message
        try:
            while (new := await log.next(number, is_over)) is not None:
                for message in await _of(new, reader, query, cursor):
                    yield message
                number += 1
            return
        except LookupError:
            continue  # it was too slow: from the store again


async def _of(new: SharedLines, reader: LogReader, query: LogQuery, cursor: LogCursor) -> list[pb.GetLogsResponse]:
    """What a follower gets of new lines; its cursor passes them."""
    lines: list[AppLine] = [line for line in new.lines if cursor.is_before(line)]
    if query.wants_all and len(lines) == len(new.lines) and all(line.at >= query.since for line in lines):
        for line in lines:
            cursor.pass_line(line)
        return new.messages
    if any(line.source_id not in reader.sources for line in lines):
        await reader.heads()
    before = cursor.copy()
    for line in lines:
        cursor.pass_line(line)
    return messages(
        [line for line in lines if reader.wants(line) and line.at >= query.since],
        reader.sources,
        before,
        line_cursors=query.line_cursors,
    )
