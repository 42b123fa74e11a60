"""Checks every intent without an outcome against Restate: nothing stays half done for ever, whatever was lost."""

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pkg.builds import queries as builds
from pkg.clock import Clock
from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.observability.metrics import Metrics
from pkg.operations import queries as operations
from pkg.restate import RestateClient, WorkflowStatus
from pkg.workflows import outbox as dispatches
from pkg.workflows.outbox import WorkflowName
from svc.api.dispatch import lost
from svc.api.dispatch.dispatcher import Dispatcher

EVERY_S = 300.0
RETRY_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Pending:
    """An intent without an outcome, that was handed to Restate."""

    workflow: WorkflowName
    key: str


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
        """Reconciles for ever; soon again after a pass that Restate's absence cut short."""
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
        for pending in await self._db.read(_pending):
            match await self._restate.workflow_status(pending.workflow, pending.key):
                case WorkflowStatus.UNKNOWN:
                    log.warning("unknown to Restate: dispatched again", extra=_about(pending))
                    await self._db.write(dispatches.add, pending.workflow, pending.key, self._clock())
                    self._dispatcher.ring()
                case WorkflowStatus.COMPLETED | WorkflowStatus.FAILED:
                    await self._lost(pending)
                case WorkflowStatus.RUNNING:
                    pass
        await self._db.write(self._sweep)

    async def _lost(self, pending: _Pending) -> None:
        if await self._db.write(self._fail, pending):
            log.error("the workflow is lost: failed its intent", extra=_about(pending))

    def _fail(self, connection: Connection, pending: _Pending) -> bool:
        now = self._clock()
        match pending.workflow:
            case WorkflowName.DEPLOY:
                ended = lost.fail_deployment(connection, pending.key, now)
                if ended is not None:
                    self._metrics.deploy_ended("failed", (now - ended.created_at) / 1000)
                return ended is not None
            case WorkflowName.BUILD:
                return lost.fail_build(connection, pending.key, now)
            case WorkflowName.SWITCH:
                operation = operations.get(connection, pending.key)
                return operation is not None and lost.fail_operation(connection, operation, now)

    def _sweep(self, connection: Connection) -> None:
        now = self._clock()
        for build in builds.in_flight(connection):
            if lost.end_orphan_build(connection, build, now):
                log.warning("ended the build of an ended deployment", extra=fields(build_id=build.id))


def _pending(connection: Connection) -> list[_Pending]:
    """Intents that Restate should know: those still in the outbox are the dispatcher's."""
    found = [_Pending(WorkflowName.DEPLOY, d.id) for d in deployments.in_flight(connection)]
    found += [_Pending(WorkflowName.BUILD, b.id) for b in builds.in_flight(connection) if b.deployment_id is None]
    found += [_Pending(WorkflowName.SWITCH, o.id) for o in operations.in_flight(connection)]
    waiting = []
    for pending in found:
        row = dispatches.get(connection, pending.workflow, pending.key)
        if row is None or row.sent_at is not None:
            waiting.append(pending)
    return waiting


def _about(pending: _Pending) -> dict[str, object]:
    return fields(workflow=pending.workflow, workflow_key=pending.key)
