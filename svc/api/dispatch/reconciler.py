"""Compares all unfinished work with Restate, so that every intent gets an outcome even after a loss."""

import asyncio
import logging

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pkg.clock import Clock
from pkg.db import Database
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.observability.metrics import Metrics
from pkg.restate import RestateClient, WorkflowStatus
from pkg.workflows import catalogue, outbox, queries
from pkg.workflows.queries import UnfinishedWork
from svc.api.dispatch.dispatcher import Dispatcher

EVERY_S = 300.0
RETRY_S = 5.0

log = logging.getLogger(__name__)


class Reconciler:
    """One task of the api: at start, and every five minutes."""

    def __init__(
        self, db: Database, restate: RestateClient, dispatcher: Dispatcher, metrics: Metrics, clock: Clock
    ) -> None:
        self._db = db
        self._restate = restate
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Reconciles until cancelled; soon again after a pass that Restate's absence cut short."""
        while True:
            try:
                await self.reconcile()
                pause_s = EVERY_S
            except SealiftError as error:
                log.info("reconciliation waits: %s", error)
                pause_s = RETRY_S
            except SQLAlchemyError:
                log.exception("reconciliation failed")
                pause_s = RETRY_S
            await asyncio.sleep(pause_s)

    async def reconcile(self) -> None:
        """One pass. Raises Unavailable when Restate does not answer: the rest is for the next pass."""
        for work in await self._db.read(_handed_over):
            match await self._restate.workflow_status(work.workflow.run, work.key):
                case WorkflowStatus.UNKNOWN:
                    log.warning("unknown to Restate: dispatched again", extra=_fields(work))
                    await self._db.write(outbox.add, work.workflow, work.key, self._clock())
                    self._dispatcher.notify()
                case WorkflowStatus.COMPLETED | WorkflowStatus.FAILED:
                    await self._end_lost(work)
                case WorkflowStatus.RUNNING:
                    pass
        for workflow in catalogue.ALL:
            if workflow.end_orphans is not None:
                for key in await self._db.write(workflow.end_orphans, self._clock()):
                    log.warning(
                        "ended: the workflow that owns it has ended",
                        extra=fields(workflow=workflow.name, workflow_key=key),
                    )

    async def _end_lost(self, work: UnfinishedWork) -> None:
        now = self._clock()
        recorded_at = await self._db.write(work.workflow.end_lost, work.key, now)
        if recorded_at is None:
            return
        if work.workflow.count_lost is not None:
            work.workflow.count_lost(self._metrics, (now - recorded_at) / 1000)
        log.error("workflow lost: its row was ended as failed", extra=_fields(work))


def _handed_over(connection: Connection) -> list[UnfinishedWork]:
    """What Restate should know; the dispatcher still has to send the rest."""
    return [work for work in queries.unfinished(connection) if not work.is_in_outbox]


def _fields(work: UnfinishedWork) -> dict[str, object]:
    return fields(workflow=work.workflow.name, workflow_key=work.key)
