"""The stream of a build's steps and lines."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from sqlalchemy import Connection

from pkg.builds.model import Build
from pkg.db import Database
from pkg.telemetry import BuildEvent, BuildLine, Telemetry
from sealift.ctrl.v1 import build_pb2 as pb
from svc.api.requests.checks import check_range
from svc.api.services.builds.render import render, render_event

READ_AT_ONCE = 500
BATCH_CHARS = 256 << 10  # of the lines in one message; a client takes messages of 4 MiB
_EVENT_CHARS = 200  # of the rest of an event, about
MAX_SEQ = 2**63 - 1  # what a store can compare with
RELOAD_EVERY_S = 10.0  # without any change: a safety net


async def stream(
    db: Database,
    telemetry: Telemetry,
    load: Callable[[Connection], Build],
    *,
    after_seq: int,
    follow: bool,
    steps_only: bool = False,
    is_batched: bool = False,
) -> AsyncGenerator[pb.GetBuildLogsResponse, None]:
    """Everything after `after_seq`; with `follow` until the build has ended, and then the ended build.

    No line is missed: the builder stores lines before it ends the build, and what is stored is read once more after the
    end was seen.
    """
    seq = check_range("after_seq", after_seq, 0, MAX_SEQ)
    while True:
        position, token = db.commits.position, await telemetry.changes.changed(0, 0)
        build = await db.read(load)
        while events := await telemetry.builds.read(build.id, seq, READ_AT_ONCE):
            wanted = [event for event in events if not (steps_only and isinstance(event.event, BuildLine))]
            for message in _messages(wanted, BATCH_CHARS if is_batched else 0):
                yield message
            seq = events[-1].seq
        if not follow:
            return
        if build.status.is_terminal:
            yield pb.GetBuildLogsResponse(seq=seq, attempt=build.attempt, at=build.ended_at or 0, end=render(build))
            return
        await _changed(db, position, telemetry, token)


def _messages(events: Sequence[BuildEvent], batch_chars: int) -> Iterator[pb.GetBuildLogsResponse]:
    """The events in order, as many in a message as its size allows: sending one costs more than rendering ten lines."""
    message: pb.GetBuildLogsResponse | None = None
    left = 0
    for event in events:
        if message is not None and left > 0:
            render_event(event, message.following.add())
        else:
            if message is not None:
                yield message
            message, left = render_event(event), batch_chars
        left -= _EVENT_CHARS + (len(event.event.text) if isinstance(event.event, BuildLine) else 0)
    if message is not None:
        yield message


async def _changed(db: Database, position: int, telemetry: Telemetry, token: int) -> None:
    waits = {
        asyncio.create_task(db.commits.wait(position, RELOAD_EVERY_S), name="logs-db"),
        asyncio.create_task(telemetry.changes.changed(token, RELOAD_EVERY_S), name="logs-telemetry"),
    }
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
