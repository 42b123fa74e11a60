"""Tells waiting workflows that something happened. Accelerators only: what is lost is found by looking again."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Literal

from google.protobuf.message import Message

from pkg.clock import now_ms
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.restate import RestateClient
from sealift.workflow.v1 import workflow_pb2 as pb

MAX_WAITING = 1000
SENDERS = 4

Reason = Literal["cancelled", "superseded"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Note:
    workflow: str
    key: str
    handler: str
    reason: str = ""

    @property
    def message(self) -> Message:
        return pb.StopRequest(reason=self.reason) if self.reason else pb.NotifyRequest(stored_at=now_ms())


class Notifier:
    """A bounded queue and a few senders; every method returns at once and never fails."""

    def __init__(self, restate: RestateClient) -> None:
        self._restate = restate
        self._queue: asyncio.Queue[_Note] = asyncio.Queue(MAX_WAITING)

    def stop_deploy(self, deployment_id: str, reason: Reason) -> None:
        """The deploy is to stop: cancelled by a user, or superseded by a newer one."""
        self._put(_Note("Deploy", deployment_id, "stop", reason))

    def stop_build(self, build_id: str, reason: Reason) -> None:
        """The build is to stop."""
        self._put(_Note("Build", build_id, "stop", reason))

    def instances_changed(self, workflow: Literal["Deploy", "Switch"], key: str) -> None:
        """The instances that this workflow waits for are healthy now, or never will be."""
        self._put(_Note(workflow, key, "instances_changed"))

    def applied(self, workflow: Literal["Deploy", "Switch"], key: str) -> None:
        """A region has applied a newer version of desired state."""
        self._put(_Note(workflow, key, "applied"))

    def _put(self, note: _Note) -> None:
        try:
            self._queue.put_nowait(note)
        except asyncio.QueueFull:
            log.warning("note dropped: too many wait", extra=fields(workflow=note.workflow, workflow_key=note.key))

    async def run(self) -> None:
        """Sends notes, for ever."""
        async with asyncio.TaskGroup() as group:
            for number in range(SENDERS):
                group.create_task(self._send_all(), name=f"notifier-{number}")

    async def _send_all(self) -> None:
        while True:
            note = await self._queue.get()
            try:
                await self._restate.send(note.workflow, note.handler, note.key, note.message)
            except SealiftError as error:
                log.warning(
                    "note dropped: %s",
                    error,
                    extra=fields(workflow=note.workflow, workflow_key=note.key, handler=note.handler),
                )
