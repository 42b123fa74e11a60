"""Sends the outbox: each intent until Restate has accepted it."""

import asyncio
import contextlib
import logging
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pkg.clock import Clock
from pkg.db import Database
from pkg.drains import queries as drains
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.observability.tracing import Tracing
from pkg.restate import RestateClient
from pkg.restate.client import Sent
from pkg.workflows import outbox, queries
from pkg.workflows.outbox import Dispatch

POLL_S = 3.0
RETRY_S = 0.125
MAX_CONCURRENT = 8

log = logging.getLogger(__name__)


class Dispatcher:
    """One task of the api. Call `notify` after each commit of an intent; it also polls every few seconds.

    During a drain it sends only what Restate had before: nothing begins that an upgrade would cut off.

    Attributes:
        is_holding: it has seen a drain, and none of its requests is under way.
    """

    def __init__(self, db: Database, restate: RestateClient, clock: Clock, tracing: Tracing) -> None:
        self._db = db
        self._restate = restate
        self._clock = clock
        self._tracing = tracing
        self._notified = asyncio.Event()
        self.is_holding = False

    def notify(self) -> None:
        """There is something to send. Returns at once."""
        self._notified.set()

    async def run(self) -> None:
        """Sends what is due, until cancelled; backs off while something is not accepted."""
        retry_s = RETRY_S
        while True:
            self._notified.clear()
            position = self._db.commits.position
            try:
                all_sent = await self.send_due()
            except SQLAlchemyError:
                log.exception("the outbox could not be read")
                all_sent = False
            retry_s = RETRY_S if all_sent else min(retry_s * 2, POLL_S)
            if all_sent and self.is_holding:
                # another process may end the drain: seen as a commit
                await self._db.commits.wait(position, POLL_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S if all_sent else retry_s):
                    await self._notified.wait()

    async def send_due(self) -> bool:
        """Sends what is due now; False when something was not accepted."""
        due, is_draining = await self._db.read(_due)
        self.is_holding = False
        limit = asyncio.Semaphore(MAX_CONCURRENT)

        async def send(dispatch: Dispatch) -> bool:
            async with limit:
                return await self._send(dispatch)

        all_sent = all(await asyncio.gather(*(send(d) for d in due)))
        self.is_holding = is_draining
        return all_sent

    async def _send(self, dispatch: Dispatch) -> bool:
        name, key = dispatch.workflow.name, dispatch.key
        about = fields(workflow=name, workflow_key=key, attempts=dispatch.attempts + 1)
        try:
            sent = await self._traced(dispatch)
        except SealiftError as error:
            # one warning per intent: Restate may be away for long
            log.log(
                logging.WARNING if dispatch.attempts == 0 else logging.DEBUG, "not accepted: %s", error, extra=about
            )
            await self._db.write(outbox.mark_failed, dispatch.id, str(error))
            return False
        await self._db.write(outbox.mark_sent, dispatch.id, sent.invocation_id, self._clock())
        log.info("dispatched", extra=fields(workflow=name, workflow_key=key, is_new=sent.is_new))
        return True

    async def _traced(self, dispatch: Dispatch) -> Sent:
        """Sends it in the trace of its intent: the workflow's spans are children of this one."""
        workflow, key = dispatch.workflow, dispatch.key
        send = partial(self._restate.send, workflow.run, key, workflow.request(key))
        if not self._tracing.enabled:
            return await send()
        parent = await self._db.read(queries.traceparent, workflow, key)
        with self._tracing.span("dispatch", traceparent=parent or None, workflow=workflow.name, key=key):
            return await send(traceparent=self._tracing.traceparent())


def _due(connection: Connection) -> tuple[list[Dispatch], bool]:
    """What is to be sent now, and whether a drain holds new work back."""
    is_draining = drains.is_any_active(connection)
    return outbox.due(connection, only_again=is_draining), is_draining
