"""Followers of one deployment's log read it together: the store is asked once for all of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pkg.telemetry import AppLine, Telemetry
from sealift.ctrl.v1 import log_pb2 as pb
from svc.api.logs.cursor import LogCursor
from svc.api.logs.reading import LogReader, messages

KEPT_CHARS = 4 << 20  # of a deployment's newest lines; who is further behind reads the store alone
RECHECK_S = 5.0

IsOver = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class SharedLines:
    """Lines that came together.

    Attributes:
        number: counts them.
        before: the text of the cursor before them.
        messages: the lines as they are sent to who wants all of them.
        size: about, in characters.
    """

    number: int
    before: str
    lines: list[AppLine]
    messages: list[pb.GetLogsResponse]
    size: int


class SharedLog:
    """What is new in the log of one deployment. Whoever waits for more reads it, and then all have it.

    Attributes:
        cursor: behind the newest lines that were read.
        reader: of all instances.
    """

    def __init__(self, telemetry: Telemetry, deployment_id: str) -> None:
        self._telemetry = telemetry
        self._reading = asyncio.Lock()
        self._kept: deque[SharedLines] = deque()
        self._size = 0
        self._next = 0
        self._is_over = False
        self._is_begun = False
        self.followers = 0
        self.cursor = LogCursor()
        self.reader = LogReader(telemetry.logs, deployment_id)

    async def begin(self) -> int:
        """The number of the next lines; everything before them is behind `cursor`."""
        if not self._is_begun:  # afterwards the lock may be held for as long as nothing is printed
            async with self._reading:
                if not self._is_begun:
                    self.cursor.pass_heads(await self.reader.heads())
                    self._is_begun = True
        return self._next

    async def next(self, number: int, is_over: IsOver) -> SharedLines | None:
        """The lines of this number, once there are some. None: there will be none, as nothing runs any more.

        Raises:
            LookupError: they are kept no longer: read the store.
        """
        while True:
            if self._kept and number < self._kept[0].number:
                raise LookupError(number)
            if number < self._next:
                return self._kept[number - self._kept[0].number]
            if self._is_over:
                return None
            async with self._reading:
                if number == self._next and not self._is_over:
                    await self._read_next(is_over)

    async def _read_next(self, is_over: IsOver) -> None:
        """Reads until there are lines; every `RECHECK_S` without any, asks whether there will be none."""
        clock = asyncio.get_running_loop().time
        due = clock() + RECHECK_S
        while True:
            token = await self._telemetry.changes.changed(0, 0)
            cursor = self.cursor.copy()
            lines = await self.reader.news(cursor, await self.reader.heads())
            if lines:
                before = self.cursor
                text = before.to_text()
                found = messages(lines, self.reader.sources, before.copy(), line_cursors=False)
                self._keep(SharedLines(self._next, text, lines, found, sum(len(line.text) + 500 for line in lines)))
                self.cursor = cursor
                return
            if clock() >= due:
                if await is_over():
                    self._is_over = True
                    return
                due = clock() + RECHECK_S
            # Whatever is stored of any deployment wakes this.
            await self._telemetry.changes.changed(token, max(0.0, due - clock()))

    def _keep(self, lines: SharedLines) -> None:
        self._kept.append(lines)
        self._size += lines.size
        self._next += 1
        while self._size > KEPT_CHARS and len(self._kept) > 1:
            self._size -= self._kept.popleft().size


class SharedLogs:
    """The shared logs of all deployments that somebody follows."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._logs: dict[str, SharedLog] = {}

    @asynccontextmanager
    async def following(self, deployment_id: str) -> AsyncIterator[SharedLog]:
        """The one of this deployment, for as long as the block lasts."""
        log = self._logs.get(deployment_id) or self._logs.setdefault(
            deployment_id, SharedLog(self._telemetry, deployment_id)
        )
        log.followers += 1
        try:
            yield log
        finally:
            log.followers -= 1
            if not log.followers:
                self._logs.pop(deployment_id, None)
