"""The servicer of ExecService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from sqlalchemy import Connection

from pkg.observability.logging import fields
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.execs.relay import client_call
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call
from svc.api.services.execs import validation
from svc.api.services.execs.choice import Place, audited_command, find_place

log = logging.getLogger(__name__)


class ExecServicer:
    """Commands in instances of the caller's workspace."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def Exec(
        self, request: pb.ExecRequest, following: AsyncIterator[pb.ExecRequest], call: Call
    ) -> AsyncGenerator[pb.ExecResponse]:
        """Recorded before it begins; whoever may deploy may also run what he could have deployed."""
        start = validation.exec_start(request)
        place = await self._deps.db.read(find_place, call.workspace_id, start)
        instance, deployment = place.instance, place.deployment
        chosen = pb.ExecStart()
        chosen.CopyFrom(start)
        chosen.environment_id, chosen.deployment_id = "", deployment.id
        chosen.region, chosen.replica = instance.region, instance.replica
        broker = self._deps.execs
        async with broker.session(chosen, deployment.environment_id, instance.instance_id) as session:
            await mutate(self._deps, call, lambda connection: self._record(connection, place, start))
            log.info(
                "exec begins",
                extra=fields(
                    exec_id=session.task.exec_id,
                    deployment_id=deployment.id,
                    instance_id=instance.instance_id,
                    region=instance.region,
                ),
            )
            await broker.offer(session)
            async with aclosing(client_call(session, _checked(following))) as messages:
                async for message in messages:
                    yield message

    def _record(self, connection: Connection, place: Place, start: pb.ExecStart) -> Change[None]:
        row = place.deployment
        targets = {
            "project_id": row.project_id,
            "environment_id": row.environment_id,
            "deployment_id": row.id,
            "instance_id": place.instance.instance_id,
            "command": audited_command(connection, self._deps.vault, row, start.command),
        }
        return Change(None, targets)


async def _checked(following: AsyncIterator[pb.ExecRequest]) -> AsyncGenerator[pb.ExecRequest]:
    async for request in following:
        if request.HasField("input"):
            validation.check_input(request.input)
        yield request
