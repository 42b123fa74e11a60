"""Notifies waiting workflows. Accelerators only: a workflow that misses a notification finds the fact when it polls."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.message import Message

from pkg.clock import now_ms
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.restate import Handler, RestateClient
from sealift.workflow.v1.workflow_pb2 import Empty, NotifyRequest, StopRequest

MAX_QUEUED = 1000
SENDERS = 4

Reason = Literal["cancelled", "superseded"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Notification:
    handler: Handler[Any, Empty]
    key: str
    message: Message

    @property
    def fields(self) -> dict[str, object]:
        return fields(workflow=self.handler.service, workflow_key=self.key, handler=self.handler.name)


class Notifier:
    """A bounded queue and a few senders; every method returns at once and never fails."""

    def __init__(self, restate: RestateClient) -> None:
        self._restate = restate
        self._queue: asyncio.Queue[_Notification] = asyncio.Queue(MAX_QUEUED)

    def stop(self, handler: Handler[StopRequest, Empty], key: str, reason: Reason) -> None:
        """The workflow is to stop: cancelled by a user, or superseded by a newer deploy."""
        self._put(_Notification(handler, key, StopRequest(reason=reason)))

    def notify(self, handler: Handler[NotifyRequest, Empty], key: str) -> None:
        """What the workflow waits for may have come."""
        self._put(_Notification(handler, key, NotifyRequest(stored_at=now_ms())))

    def _put(self, notification: _Notification) -> None:
        try:
            self._queue.put_nowait(notification)
        except asyncio.QueueFull:
            log.warning("notification dropped: the queue is full", extra=notification.fields)

    async def run(self) -> None:
        """Sends notifications until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(SENDERS):
                group.create_task(self._send_all(), name=f"notifier-{number}")

    async def _send_all(self) -> None:
        while True:
            notification = await self._queue.get()
            try:
                await self._restate.send(notification.handler, notification.key, notification.message)
            except SealiftError as error:
                log.warning("notification dropped: %s", error, extra=notification.fields)
