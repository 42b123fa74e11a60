"""The servicer of DeploymentService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from google.protobuf.message import Message
from sqlalchemy import Connection

from pkg import intents
from pkg.deployments import queries
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState
from pkg.environments.model import Environment
from pkg.observability.logging import fields
from pkg.operations.model import Operation, OperationKind
from pkg.projects.slugs import check_slug
from pkg.routes import queries as routes
from pkg.workflows.deploy import DEPLOY_STOP
from sealift.ctrl.v1 import deployment_pb2 as pb
from sealift.ctrl.v1 import log_pb2
from svc.api.deps import ApiDeps
from svc.api.logs.sharing import SharedLogs
from svc.api.logs.stream import log_query, stream, until
from svc.api.requests import lookup, operations, paging
from svc.api.requests.checks import check_id, check_no_nul
from svc.api.requests.follow import follow
from svc.api.requests.idempotency import IdempotencyKey, key_of
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call
from svc.api.services.builds.recording import uploaded
from svc.api.services.deletions.recording import delete
from svc.api.services.deployments import comparison, create, validation
from svc.api.services.deployments.render import render
from svc.api.services.deployments.views import View, view, views

log = logging.getLogger(__name__)


class DeploymentServicer:
    """Deployments and the operations on them. Writes intents; the worker carries them out."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._logs = SharedLogs(deps.telemetry)

    async def CreateDeployment(self, request: pb.CreateDeploymentRequest, call: Call) -> pb.CreateDeploymentResponse:
        """Answers after the commit: from then on it ends in exactly one terminal status."""
        deps = self._deps
        parameters = validation.deployment_parameters(request, deps.clock())
        key = key_of(request, deps.payload_key)
        made = await deps.db.read(create.before, call.workspace_id, parameters.project_id, key, deps.clock())
        if made is not None:
            return pb.CreateDeploymentResponse(deployment=render(made, deps.config.ingress), already_recorded=True)
        context = None
        if parameters.build is not None:
            context = await uploaded(
                deps.db, deps.store, parameters.build.build_context_path, field="build_context.build_context_path"
            )

        def record(connection: Connection) -> Change[create.Created]:
            created = create.create(connection, call, parameters, context, key, deps.vault, deps.config, deps.clock)
            return Change(created, _targets(created.view.deployment) if created.is_new else {})

        created = await mutate(deps, call, record)
        if created.is_new:
            self._announce(created, parameters)
        return pb.CreateDeploymentResponse(
            deployment=render(created.view, deps.config.ingress), already_recorded=not created.is_new
        )

    def _announce(self, created: create.Created, parameters: validation.DeploymentParameters) -> None:
        self._deps.dispatcher.notify()
        row = created.view.deployment
        for older in created.superseded:
            self._deps.notifier.stop(DEPLOY_STOP, older.id, "superseded")
            self._deps.metrics.deploy_ended(older.status, (row.created_at - older.created_at) / 1000)
        log.info(
            "deployment created",
            extra=fields(
                deployment_id=row.id,
                project_id=row.project_id,
                environment_id=row.environment_id,
                branch=row.branch,
                build_id=row.build_id or "",
                docker_image=row.docker_image,
                build_context_path=parameters.build.build_context_path if parameters.build else "",
                platform=parameters.build.platform if parameters.build else "",
                superseded=[d.id for d in created.superseded],
            ),
        )

    async def GetDeployment(self, request: pb.GetDeploymentRequest, call: Call) -> pb.GetDeploymentResponse:
        """The deployment as it is now, with its steps and its error."""
        found = await self._deps.db.read(self._view, call, request.deployment_id)
        return pb.GetDeploymentResponse(deployment=render(found, self._deps.config.ingress))

    async def CompareDeployments(
        self, request: pb.CompareDeploymentsRequest, call: Call
    ) -> pb.CompareDeploymentsResponse:
        """Two deployments of a project; the values of their variables are compared here and stay here."""

        def load(connection: Connection) -> pb.CompareDeploymentsResponse:
            found = [
                lookup.deployment(connection, call.workspace_id, request.deployment_id),
                lookup.deployment(
                    connection, call.workspace_id, request.other_deployment_id, field="other_deployment_id"
                ),
            ]
            variables = comparison.compared_variables(connection, self._deps.vault, *found)
            first, second = views(connection, found, self._deps.clock())
            ingress = self._deps.config.ingress
            return pb.CompareDeploymentsResponse(
                deployment=render(first, ingress), other=render(second, ingress), variables=variables
            )

        return await self._deps.db.read(load)

    async def ListDeployments(self, request: pb.ListDeploymentsRequest, call: Call) -> pb.ListDeploymentsResponse:
        """Newest first."""
        size, before = paging.page_size(request.page_size), paging.after(request.page_token)
        slug = check_slug("environment_slug", request.environment_slug) if request.HasField("environment_slug") else ""

        branch = check_no_nul("branch", request.branch) if request.HasField("branch") else None

        def load(connection: Connection) -> list[View]:
            project = lookup.project(connection, call.workspace_id, request.project_id)
            environment_id = None
            if slug:
                environment_id = lookup.environment_by_slug(connection, project, slug, field="environment_slug").id
            found = queries.page(
                connection,
                project.id,
                environment_id=environment_id,
                branch=branch,
                before_id=before,
                limit=size + 1,
            )
            return views(connection, found, self._deps.clock())

        page, token = paging.cut(await self._deps.db.read(load), size, lambda v: v.deployment.id)
        return pb.ListDeploymentsResponse(
            deployments=[render(v, self._deps.config.ingress) for v in page], next_page_token=token
        )

    async def WatchDeployment(
        self, request: pb.WatchDeploymentRequest, call: Call
    ) -> AsyncGenerator[pb.WatchDeploymentResponse, None]:
        """The whole deployment at once and after every change; ends after the status is terminal."""

        def load(connection: Connection) -> tuple[pb.WatchDeploymentResponse, bool]:
            found = self._view(connection, call, request.deployment_id)
            message = pb.WatchDeploymentResponse(deployment=render(found, self._deps.config.ingress))
            return message, found.deployment.status.is_terminal

        async with aclosing(follow(self._deps.db, load)) as messages:
            async for message in messages:
                yield message

    async def GetLogs(
        self, request: log_pb2.GetLogsRequest, call: Call
    ) -> AsyncGenerator[log_pb2.GetLogsResponse, None]:
        """What the instances print. Unavailable `telemetry.unavailable` while the store is away."""
        query = log_query(request)

        def load(connection: Connection) -> Deployment:
            return lookup.deployment(connection, call.workspace_id, query.deployment_id)

        async def is_over() -> bool:
            deployment = await self._deps.db.read(load)
            return deployment.status.is_terminal and deployment.run_state in (RunState.NONE, RunState.STOPPED)

        def has_successor(connection: Connection) -> bool:
            live = routes.live_deployment_id(connection, load(connection).environment_id)
            return live not in (None, query.deployment_id)

        async def is_replaced() -> bool:
            return await self._deps.db.read(has_successor)

        await self._deps.db.read(load)
        async with (
            aclosing(stream(self._deps.telemetry.logs, self._logs, query, is_over)) as every,
            aclosing(until(every, is_replaced) if query.until_replaced else every) as messages,
        ):
            async for message in messages:
                yield message

    async def CancelDeployment(self, request: pb.CancelDeploymentRequest, call: Call) -> pb.CancelDeploymentResponse:
        """Idempotent. FailedPrecondition `deployment.already_switching` once the routes are being moved."""

        def cancel(connection: Connection) -> Change[tuple[View, bool]]:
            deployment = lookup.deployment(connection, call.workspace_id, request.deployment_id)
            now = self._deps.clock()
            ended = intents.cancel_unsent_deploy(connection, deployment, now)
            if not ended:
                intents.record_cancel(connection, deployment, now)
            is_repetition = deployment.status.is_terminal or deployment.cancel_requested_at is not None
            found = self._view(connection, call, request.deployment_id)
            return Change((found, ended), {} if is_repetition else _targets(deployment))

        found, ended = await mutate(self._deps, call, cancel)
        if ended:
            row = found.deployment
            self._deps.metrics.deploy_ended(row.status, (row.updated_at - row.created_at) / 1000)
        if not found.deployment.status.is_terminal:
            self._deps.notifier.stop(DEPLOY_STOP, found.deployment.id, "cancelled")
        log.info("deployment cancel requested", extra=fields(deployment_id=found.deployment.id))
        return pb.CancelDeploymentResponse(deployment=render(found, self._deps.config.ingress))

    async def StopDeployment(self, request: pb.StopDeploymentRequest, call: Call) -> pb.StopDeploymentResponse:
        """Stops the instances of a ready deployment, of a live one only with `take_down`; watch the operation."""

        def stop(connection: Connection) -> Change[tuple[View, Operation, pb.Operation]]:
            deployment = lookup.deployment(connection, call.workspace_id, request.deployment_id)
            operation_id = intents.record_stop(
                connection,
                environment=lookup.environment(connection, call.workspace_id, deployment.environment_id),
                target=deployment,
                takes_down=request.take_down,
                traceparent=call.traceparent,
                now=self._deps.clock(),
            )
            operation, answer = operations.rendered(connection, call.workspace_id, operation_id)
            found = view(connection, deployment, self._deps.clock())
            return Change((found, operation, answer), {**_targets(deployment), "operation_id": operation_id})

        found, operation, answer = await mutate(self._deps, call, stop)
        self._deps.dispatcher.notify()
        log.info(
            "stop recorded",
            extra=fields(deployment_id=found.deployment.id, operation_id=operation.id, kind=operation.kind),
        )
        return pb.StopDeploymentResponse(deployment=render(found, self._deps.config.ingress), operation=answer)

    async def DeleteDeployment(self, request: pb.DeleteDeploymentRequest, call: Call) -> pb.DeleteDeploymentResponse:
        """Answers after the commit: from then on it can't be switched to, and the worker deletes it."""
        check_id("deployment_id", "dep", request.deployment_id)

        def record(connection: Connection) -> tuple[str, bool]:
            target = lookup.deployment(connection, call.workspace_id, request.deployment_id)
            return intents.record_deployment_deletion(
                connection,
                project=lookup.project(connection, call.workspace_id, target.project_id),
                environment=lookup.environment(connection, call.workspace_id, target.environment_id),
                target=target,
                is_forced=request.force,
                traceparent=call.traceparent,
                now=self._deps.clock(),
            )

        deletion, already = await delete(self._deps, call, record, skip_regions=request.skip_regions)
        return pb.DeleteDeploymentResponse(deletion=deletion, already_recorded=already)

    async def Promote(self, request: pb.PromoteRequest, call: Call) -> pb.PromoteResponse:
        """Moves the environment's routes to a ready deployment and ends a rolled-back state."""
        check_id("deployment_id", "dep", request.deployment_id)

        def environment_of(connection: Connection) -> Environment:
            deployment = lookup.deployment(connection, call.workspace_id, request.deployment_id)
            return lookup.environment(connection, call.workspace_id, deployment.environment_id)

        operation, already = await operations.record(
            self._deps, call, environment_of, _switching(call, OperationKind.PROMOTE, request.deployment_id),
            self._key_of(request),
        )  # fmt: skip
        return pb.PromoteResponse(operation=operation, already_recorded=already)

    async def Rollback(self, request: pb.RollbackRequest, call: Call) -> pb.RollbackResponse:
        """Moves the environment's routes back; absent deployment_id: to the one that was live before."""
        target = None
        if request.HasField("deployment_id"):
            target = check_id("deployment_id", "dep", request.deployment_id)

        def environment_of(connection: Connection) -> Environment:
            return lookup.environment(connection, call.workspace_id, request.environment_id)

        operation, already = await operations.record(
            self._deps, call, environment_of, _switching(call, OperationKind.ROLLBACK, target), self._key_of(request)
        )
        return pb.RollbackResponse(operation=operation, already_recorded=already)

    async def Restart(self, request: pb.RestartRequest, call: Call) -> pb.RestartResponse:
        """Makes every instance of a deployment again, one at a time; watch the operation."""
        check_id("deployment_id", "dep", request.deployment_id)

        def environment_of(connection: Connection) -> Environment:
            deployment = lookup.deployment(connection, call.workspace_id, request.deployment_id)
            return lookup.environment(connection, call.workspace_id, deployment.environment_id)

        def restart(connection: Connection, environment: Environment, now: int) -> str:
            return intents.record_restart(
                connection,
                environment=environment,
                target=lookup.deployment(connection, call.workspace_id, request.deployment_id),
                traceparent=call.traceparent,
                now=now,
            )

        operation, already = await operations.record(self._deps, call, environment_of, restart, self._key_of(request))
        return pb.RestartResponse(operation=operation, already_recorded=already)

    def _key_of(self, request: Message) -> IdempotencyKey | None:
        return key_of(request, self._deps.payload_key)

    async def GetOperation(self, request: pb.GetOperationRequest, call: Call) -> pb.GetOperationResponse:
        """The operation as it is now."""
        _, found = await self._deps.db.read(operations.rendered, call.workspace_id, request.operation_id)
        return pb.GetOperationResponse(operation=found)

    async def WatchOperation(
        self, request: pb.WatchOperationRequest, call: Call
    ) -> AsyncGenerator[pb.WatchOperationResponse, None]:
        """The operation at once and after every change; ends after its status is terminal."""

        def load(connection: Connection) -> tuple[pb.WatchOperationResponse, bool]:
            found, message = operations.rendered(connection, call.workspace_id, request.operation_id)
            return pb.WatchOperationResponse(operation=message), found.status.is_terminal

        async with aclosing(follow(self._deps.db, load)) as messages:
            async for message in messages:
                yield message

    def _view(self, connection: Connection, call: Call, deployment_id: str) -> View:
        found = lookup.deployment(connection, call.workspace_id, deployment_id)
        return view(connection, found, self._deps.clock())


def _targets(row: Deployment) -> dict[str, str]:
    return {"project_id": row.project_id, "environment_id": row.environment_id, "deployment_id": row.id}


def _switching(call: Call, kind: OperationKind, target: str | None) -> Callable[[Connection, Environment, int], str]:
    """Records a promote or rollback; `target` None: to what was live before."""

    def make(connection: Connection, environment: Environment, now: int) -> str:
        return intents.record_switch(
            connection,
            kind=kind,
            environment=environment,
            deployment_id=target,
            traceparent=call.traceparent,
            now=now,
        )

    return make
