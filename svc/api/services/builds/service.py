"""The servicer of BuildService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sqlalchemy import Connection

from pkg import intents
from pkg.builds import contexts, queries, uploads
from pkg.builds.model import Build, Context
from pkg.deletions.gates import check_not_deleting
from pkg.deployments.model import Deployment
from pkg.errors import InvalidArgument
from pkg.ids import new_id
from pkg.observability.logging import fields
from pkg.storage.port import PresignedPut
from pkg.workflows.building import BUILD_STOP
from pkg.workflows.deploy import DEPLOY_STOP
from sealift.ctrl.v1 import build_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import lookup, paging, queued
from svc.api.requests.checks import check_id
from svc.api.requests.idempotency import IdempotencyKey, key_of
from svc.api.requests.mutation import Change, mutate
from svc.api.requests.portability import check_builds_are_portable
from svc.api.rpc import Call
from svc.api.services.builds import logs, validation
from svc.api.services.builds.recording import CONTEXT_TTL_MS, build_intent, extend, uploaded
from svc.api.services.builds.render import render
from svc.api.services.builds.upload_address import upload_url
from svc.api.services.builds.validation import BuildParameters

log = logging.getLogger(__name__)


class BuildServicer:
    """Build contexts in, images out."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def GenerateUploadURL(self, request: pb.GenerateUploadURLRequest, call: Call) -> pb.GenerateUploadURLResponse:
        """The same content of the same project is already_uploaded as long as it lies in the store."""
        deps = self._deps
        ttl_s = deps.config.objects.upload_url_ttl_s
        validation.check_upload(request, deps.config.limits.max_context_bytes)
        path = contexts.path_of(request.project_id, request.sha256)
        stored = await deps.store.head(path)
        has_it = stored is not None and stored.size_bytes == request.size_bytes
        upload_path = await deps.db.write(self._announce, call.workspace_id, request, path, has_it)
        upload = PresignedPut("")
        if upload_path:
            upload = deps.store.presign_put(
                upload_path, size_bytes=request.size_bytes, sha256=request.sha256, ttl_s=ttl_s,
                sends_headers=request.sends_headers,
            )  # fmt: skip
        log.info(
            "upload announced",
            extra=fields(
                project_id=request.project_id,
                build_context_path=path,
                size_bytes=request.size_bytes,
                already_uploaded=not upload_path,
            ),
        )
        return pb.GenerateUploadURLResponse(
            upload_url=upload_url(
                upload, call.client, deps.config.ingress.api_hostname, deps.local_url,
                is_on_loopback=request.is_on_loopback,
            ),
            build_context_path=path,
            expires_in=ttl_s,
            already_uploaded=not upload_path,
            upload_headers=upload.headers,
        )  # fmt: skip

    def _announce(
        self, connection: Connection, workspace_id: str, request: pb.GenerateUploadURLRequest, path: str, has_it: bool
    ) -> str:
        """Where to upload to; "" when the archive is there, and was known and had not expired before."""
        project = lookup.project(connection, workspace_id, request.project_id)
        check_not_deleting(connection, project.deletion_id)
        deps, now = self._deps, self._deps.clock()
        known = contexts.get(connection, path)
        contexts.announce(
            connection,
            project_id=request.project_id,
            sha256=request.sha256,
            size_bytes=request.size_bytes,
            now=now,
            expires_at=now + CONTEXT_TTL_MS,
        )
        if has_it and known is not None and known.expires_at > now:
            return ""
        if deps.store.capabilities.binds_uploads:
            return path
        ttl_ms = deps.config.objects.upload_url_ttl_s * 1000
        return uploads.announce(connection, context_path=path, project_id=request.project_id, now=now, ttl_ms=ttl_ms)

    async def CreateBuild(self, request: pb.CreateBuildRequest, call: Call) -> pb.CreateBuildResponse:
        """Builds an image without deploying it."""
        deps = self._deps
        check_id("project_id", "proj", request.project_id)
        if not request.HasField("build_context"):
            raise InvalidArgument("build_context", "is required: what to build")
        parameters = validation.build_parameters(request.build_context, request.project_id)
        key = key_of(request, deps.payload_key)
        before = await deps.db.read(self._before, call.workspace_id, request.project_id, key)
        if before is not None:
            return pb.CreateBuildResponse(build=await self._read(call, before.id), already_recorded=True)
        context = await uploaded(
            deps.db, deps.store, parameters.build_context_path, field="build_context.build_context_path"
        )

        def create(connection: Connection) -> Change[Build]:
            return self._create(connection, call, request.project_id, parameters, context, key)

        build = await mutate(deps, call, create)
        deps.dispatcher.notify()
        log.info(
            "build created",
            extra=fields(
                build_id=build.id,
                project_id=build.project_id,
                build_context_path=build.build_context_path,
                platform=build.platform,
            ),
        )
        return pb.CreateBuildResponse(build=await self._read(call, build.id))

    def _before(
        self, connection: Connection, workspace_id: str, project_id: str, key: IdempotencyKey | None
    ) -> Build | None:
        lookup.project(connection, workspace_id, project_id)
        made = None if key is None else key.find(connection, project_id, self._deps.clock())
        return None if made is None else lookup.build(connection, workspace_id, made)

    def _create(
        self,
        connection: Connection,
        call: Call,
        project_id: str,
        parameters: BuildParameters,
        context: Context,
        key: IdempotencyKey | None,
    ) -> Change[Build]:
        before = self._before(connection, call.workspace_id, project_id, key)
        if before is not None:
            return Change(before, {})
        check_builds_are_portable(connection, self._deps.config)
        now, build_id = self._deps.clock(), new_id("bld")
        extend(connection, context, now)
        intents.record_build(
            connection,
            build_id=build_id,
            workspace_id=call.workspace_id,
            project_id=project_id,
            deployment_id=None,
            intent=build_intent(parameters, build_id, self._deps.vault),
            traceparent=call.traceparent,
            now=now,
        )
        if key is not None:
            key.keep(connection, project_id, build_id, now)
        made = lookup.build(connection, call.workspace_id, build_id)
        return Change(made, {"project_id": project_id, "build_id": build_id})

    async def GetBuild(self, request: pb.GetBuildRequest, call: Call) -> pb.GetBuildResponse:
        """The build as it is now."""
        return pb.GetBuildResponse(build=await self._read(call, request.build_id))

    async def _read(self, call: Call, build_id: str) -> pb.Build:
        def load(connection: Connection) -> pb.Build:
            return _shown(connection, [lookup.build(connection, call.workspace_id, build_id)])[0]

        return await self._deps.db.read(load)

    async def ListBuilds(self, request: pb.ListBuildsRequest, call: Call) -> pb.ListBuildsResponse:
        """Newest first."""
        size, before = paging.page_size(request.page_size), paging.after(request.page_token)

        def load(connection: Connection) -> list[pb.Build]:
            project = lookup.project(connection, call.workspace_id, request.project_id)
            return _shown(connection, queries.page(connection, project.id, before_id=before, limit=size + 1))

        page, token = paging.cut(await self._deps.db.read(load), size, lambda b: b.build_id)
        return pb.ListBuildsResponse(builds=page, next_page_token=token)

    async def GetBuildLogs(
        self, request: pb.GetBuildLogsRequest, call: Call
    ) -> AsyncGenerator[pb.GetBuildLogsResponse, None]:
        """Steps and lines in order of seq; with follow, until after the build has ended."""

        def load(connection: Connection) -> Build:
            return lookup.build(connection, call.workspace_id, request.build_id)

        messages = logs.stream(
            self._deps.db,
            self._deps.telemetry,
            load,
            after_seq=request.after_seq,
            follow=request.follow,
            steps_only=request.steps_only,
            is_batched=request.batched,
        )
        async with aclosing(messages):
            async for message in messages:
                yield message

    async def CancelBuild(self, request: pb.CancelBuildRequest, call: Call) -> pb.CancelBuildResponse:
        """Idempotent; the status changes once the builder has stopped."""
        build, ended = await mutate(
            self._deps, call, lambda connection: self._cancel(connection, call.workspace_id, request.build_id)
        )
        if ended is not None:
            self._deps.metrics.deploy_ended(ended.status, (ended.updated_at - ended.created_at) / 1000)
        if not build.status.is_terminal:
            self._deps.notifier.stop(BUILD_STOP, build.id, "cancelled")
            if build.deployment_id is not None:
                self._deps.notifier.stop(DEPLOY_STOP, build.deployment_id, "cancelled")
        log.info("build cancel requested", extra=fields(build_id=build.id, deployment_id=build.deployment_id or ""))
        return pb.CancelBuildResponse(build=render(build))

    def _cancel(
        self, connection: Connection, workspace_id: str, build_id: str
    ) -> Change[tuple[Build, Deployment | None]]:
        """The build, and the deployment that ended with it, as neither had started."""
        build, now = lookup.build(connection, workspace_id, build_id), self._deps.clock()
        ended = False
        if not build.status.is_terminal:
            if build.deployment_id is not None:
                deployment = lookup.deployment(connection, workspace_id, build.deployment_id)
                ended = intents.cancel_unsent_deploy(connection, deployment, now)
                if not ended and not deployment.status.is_terminal:
                    intents.record_cancel(connection, deployment, now)
            if not intents.cancel_unsent_build(connection, build, now):
                queries.request_cancel(connection, build_id, now)
        is_now = lookup.build(connection, workspace_id, build_id)
        ended_with_it = lookup.deployment(connection, workspace_id, is_now.deployment_id or "") if ended else None
        is_repetition = build.status.is_terminal or build.cancel_requested_at is not None
        targets = {} if is_repetition else {"project_id": build.project_id, "build_id": build.id}
        return Change((is_now, ended_with_it), targets)


def _shown(connection: Connection, found: list[Build]) -> list[pb.Build]:
    reasons = queued.build_reasons(connection, found)
    return [render(build, reasons.get(build.id, "")) for build in found]
