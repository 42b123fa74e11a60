# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""A Sealift server for tests: the control API over a real gRPC channel and an object store over real HTTP, in memory.

    async with FakeServer() as server:
        server.scenario = testing_deployment.building_fails        # default: `goes_live`
        async with Client(server.endpoint) as client: ...
        assert server.created[0].branch == "main"

A scenario is a coroutine that moves one deployment, a `FakeDeployment`: steps, log lines, the end. Faults are set per
method: `server.faults["GetDeployment"] = [grpc.StatusCode.UNAVAILABLE]` fails the next call, and
`server.cut_streams_after = 2` loses every stream after two messages.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any, Self

import grpc

from sealift.client.credentials import Endpoint
from sealift.client.testing_certificates import FakeCertificates
from sealift.client.testing_deletions import FakeDeletions
from sealift.client.testing_deployment import FakeDeployment, Scenario, goes_live, now_ms
from sealift.client.testing_domains import FakeDomains
from sealift.client.testing_execs import FakeExecs
from sealift.client.testing_jobs import FakeJobs
from sealift.client.testing_keys import FakeKeys
from sealift.client.testing_projects import FakeProjects
from sealift.client.testing_servicer import KEY, REQUEST_ID, refuse
from sealift.client.testing_stats import FakeStats
from sealift.client.testing_store import FakeStore
from sealift.ctrl.v1 import (
    acme_pb2_grpc,
    build_pb2,
    build_pb2_grpc,
    ctrl_pb2,
    ctrl_pb2_grpc,
    deletion_pb2,
    deletion_pb2_grpc,
    deployment_pb2,
    deployment_pb2_grpc,
    domain_pb2_grpc,
    environment_pb2,
    environment_pb2_grpc,
    exec_pb2_grpc,
    job_pb2_grpc,
    key_pb2_grpc,
    log_pb2,
    project_pb2,
    project_pb2_grpc,
    stats_pb2_grpc,
)

__all__ = ["KEY", "REQUEST_ID", "FakeServer"]


class FakeServer(
    FakeDeletions,
    FakeProjects,
    FakeDomains,
    FakeStats,
    FakeCertificates,
    FakeKeys,
    FakeJobs,
    FakeExecs,
    ctrl_pb2_grpc.CtrlServiceServicer,
    build_pb2_grpc.BuildServiceServicer,
    deployment_pb2_grpc.DeploymentServiceServicer,
):
    """The server. It has the project "hello" with its two environments.

    Args:
        tls: key and certificate (PEM) with which it serves https://sealift.localhost.

    Attributes:
        endpoint: for `Client`, once entered.
        scenario: moves the deployments made from now on.
        created: the CreateDeployment requests that were accepted.
        created_builds: the CreateBuild requests that were accepted.
        ignored: fields that this server does not know, as an older one: "no_cache", "build_id", "steps_only".
        store: the object store with what was uploaded.
        cut_streams_after: messages after which a stream is lost; None: never.
        max_context_bytes: what GetServerInfo says.
        local_store_url: beginning of the upload URLs for clients on loopback, if it is another one.
        queued_reason: why operations made from now on do not begin yet.
        log_problem: why logs can't be read; "": they can.
        log_requests: the GetLogs requests.
        compared_variables: what CompareDeployments says of variables.
    """

    def __init__(self, *, tls: tuple[bytes, bytes] | None = None) -> None:
        super().__init__()
        self._tls = tls
        self.endpoint = Endpoint("")
        self.scenario: Scenario = goes_live
        self.created: list[deployment_pb2.CreateDeploymentRequest] = []
        self.created_builds: list[build_pb2.CreateBuildRequest] = []
        self.ignored: set[str] = set()
        self.store = FakeStore()
        self.cut_streams_after: int | None = None
        self.max_context_bytes = 1 << 30
        self.queued_reason = ""
        self.local_store_url = ""
        self.log_problem = ""
        self.log_requests: list[log_pb2.GetLogsRequest] = []
        self.compared_variables: list[deployment_pb2.ComparedVariable] = []
        self.deployments: dict[str, FakeDeployment] = {}
        self.builds: dict[str, FakeDeployment] = {}
        self.operations: dict[str, deployment_pb2.Operation] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._grpc: Any = None

    async def __aenter__(self) -> Self:
        self.store.start()
        self._grpc = grpc.aio.server()
        for module in (
            ctrl_pb2_grpc,
            deletion_pb2_grpc,
            project_pb2_grpc,
            environment_pb2_grpc,
            build_pb2_grpc,
            deployment_pb2_grpc,
            domain_pb2_grpc,
            acme_pb2_grpc,
            job_pb2_grpc,
            key_pb2_grpc,
            stats_pb2_grpc,
            exec_pb2_grpc,
        ):
            for name in dir(module):
                if name.startswith("add_") and name.endswith("_to_server"):
                    getattr(module, name)(self, self._grpc)
        if self._tls:
            port = self._grpc.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([self._tls]))
            self.endpoint = Endpoint(f"https://sealift.localhost:{port}", KEY)
        else:
            port = self._grpc.add_insecure_port("127.0.0.1:0")
            self.endpoint = Endpoint(f"http://127.0.0.1:{port}", KEY)
        await self._grpc.start()
        return self

    async def stop(self) -> None:
        """Ends every call, and takes no more. Idempotent."""
        await self._grpc.stop(0)

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.store.stop()

    async def DeleteProject(self, request: Any, context: Any) -> Any:
        await self._enter("DeleteProject", context)
        fields = await self._delete(request, context, kind=deletion_pb2.DELETION_KIND_PROJECT)
        return project_pb2.DeleteProjectResponse(**fields)

    async def DeleteEnvironment(self, request: Any, context: Any) -> Any:
        await self._enter("DeleteEnvironment", context)
        slug = request.environment_id.removeprefix("env_")
        kind = deletion_pb2.DELETION_KIND_ENVIRONMENT
        fields = await self._delete(
            request, context, kind=kind, environment_id=request.environment_id, environment_slug=slug
        )
        return environment_pb2.DeleteEnvironmentResponse(**fields)

    async def DeleteDeployment(self, request: Any, context: Any) -> Any:
        await self._enter("DeleteDeployment", context)
        kind = deletion_pb2.DELETION_KIND_DEPLOYMENT
        fields = await self._delete(request, context, kind=kind, deployment_id=request.deployment_id)
        return deployment_pb2.DeleteDeploymentResponse(**fields)

    def make_live(self, deployment: deployment_pb2.Deployment) -> None:
        """Give a deployment the environment's route."""
        for fake in self.deployments.values():
            fake.deployment.is_live = False
        deployment.is_live = True
        deployment.run_state = deployment_pb2.RUN_STATE_RUNNING
        label = deployment.deployment_id.replace("_", "-")
        del deployment.urls[:]
        deployment.urls.extend(f"http://{name}.sealift.localhost:7480" for name in ("hello", f"hello-{label}"))

    # -- deployments

    async def _deployment(self, deployment_id: str, context: Any) -> FakeDeployment:
        fake = self.deployments.get(deployment_id)
        if fake is None:
            await refuse(context, "NOT_FOUND", "deployment.not_found", f"there is no deployment {deployment_id!r}")
            raise AssertionError
        return fake

    async def _messages(self, fake: FakeDeployment, context: Any) -> AsyncIterator[int]:
        """The deployment's version at once and after every change; ends as `cut_streams_after` says."""
        for count in itertools.count(1):
            seen = fake.version
            yield seen
            if self.cut_streams_after is not None and count >= self.cut_streams_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            async with fake.changed:
                await fake.changed.wait_for(lambda seen=seen: fake.version != seen)  # type: ignore[misc]

    # -- CtrlService; ProjectService and EnvironmentService are FakeProjects'

    async def Liveness(self, request: Any, context: Any) -> Any:
        return ctrl_pb2.LivenessResponse(status="ok")

    async def GetServerInfo(self, request: Any, context: Any) -> Any:
        await self._enter("GetServerInfo", context)
        return ctrl_pb2.GetServerInfoResponse(
            version="9.9.9",
            revision="abc",
            apex_domain="sealift.localhost",
            max_context_bytes=self.max_context_bytes,
            build_backend="docker",
        )

    async def BeginDrain(self, request: Any, context: Any) -> Any:
        await refuse(context, "PERMISSION_DENIED", "auth.role", "this key may not drain")

    EndDrain = GetDrainStatus = BeginDrain

    # -- BuildService

    async def GenerateUploadURL(self, request: Any, context: Any) -> Any:
        await self._enter("GenerateUploadURL", context)
        path = f"contexts/{request.project_id}/{request.sha256}.tar.gz"
        if path in self.store.objects:
            return build_pb2.GenerateUploadURLResponse(build_context_path=path, already_uploaded=True)
        server = (request.is_on_loopback and self.local_store_url) or self.store.url
        return build_pb2.GenerateUploadURLResponse(
            upload_url=f"{server}/objects/{path}?sig=topsecret",
            build_context_path=path,
            expires_in=900,
        )

    async def CreateBuild(self, request: Any, context: Any) -> Any:
        await self._enter("CreateBuild", context)
        for number, before in enumerate(self.created_builds):
            if before.idempotency_key == request.idempotency_key:
                made = [fake for fake in self.builds.values() if not fake.deployment.deployment_id][number]
                return build_pb2.CreateBuildResponse(build=made.build, already_recorded=True)
        self.created_builds.append(request)
        build_id = f"bld_{next(self._numbers)}"
        fake = self._start(deployment_pb2.Deployment(build_id=build_id, project_id=request.project_id))
        fake.build.no_cache = request.build_context.no_cache and "no_cache" not in self.ignored
        answer = build_pb2.CreateBuildResponse()
        answer.build.CopyFrom(fake.build)
        return answer

    async def GetBuild(self, request: Any, context: Any) -> Any:
        await self._enter("GetBuild", context)
        return build_pb2.GetBuildResponse(build=(await self._build(request.build_id, context)).build)

    async def ListBuilds(self, request: Any, context: Any) -> Any:
        await self._enter("ListBuilds", context)
        newest = [fake.build for fake in reversed(self.builds.values())]
        at = int(request.page_token or 0)
        more = str(at + request.page_size) if at + request.page_size < len(newest) else ""
        return build_pb2.ListBuildsResponse(builds=newest[at : at + request.page_size], next_page_token=more)

    async def GetBuildLogs(self, request: Any, context: Any) -> Any:
        await self._enter("GetBuildLogs", context)
        if self.log_problem:
            await refuse(context, "UNAVAILABLE", "telemetry.unavailable", self.log_problem)
        fake = await self._build(request.build_id, context)
        seq = request.after_seq
        async for _ in self._messages(fake, context):
            together: build_pb2.GetBuildLogsResponse | None = None
            for event in fake.events[seq:]:
                seq = event.seq
                if event.HasField("line") and request.steps_only and "steps_only" not in self.ignored:
                    continue
                if event.WhichOneof("event") == "end":
                    if together is not None:
                        yield together
                    if request.follow:
                        yield event
                    return
                if together is not None and len(together.following) < 2:
                    together.following.add().CopyFrom(event)
                    continue
                if together is not None:
                    yield together
                together = build_pb2.GetBuildLogsResponse()
                together.CopyFrom(event)
                if not request.batched:
                    yield together
                    together = None
            if together is not None:
                yield together
            if not request.follow:
                return

    async def CancelBuild(self, request: Any, context: Any) -> Any:
        await self._enter("CancelBuild", context)
        fake = await self._build(request.build_id, context)
        fake.cancelled.set()
        return build_pb2.CancelBuildResponse(build=fake.build)

    async def _build(self, build_id: str, context: Any) -> FakeDeployment:
        fake = self.builds.get(build_id)
        if fake is None:
            await refuse(context, "NOT_FOUND", "build.not_found", f"there is no build {build_id!r}")
            raise AssertionError
        return fake

    # -- DeploymentService

    async def CreateDeployment(self, request: Any, context: Any) -> Any:
        await self._enter("CreateDeployment", context)
        for number, before in enumerate(self.created):
            if before.idempotency_key == request.idempotency_key:
                fake = list(self.deployments.values())[number]
                return deployment_pb2.CreateDeploymentResponse(deployment=fake.deployment, already_recorded=True)
        if request.HasField("build_id") and "build_id" in self.ignored:
            await refuse(context, "INVALID_ARGUMENT", "invalid_argument", "source: is required", field="source")
        if request.HasField("build_id") and request.build_id not in self.builds:
            await refuse(context, "NOT_FOUND", "build.not_found", f"there is no build {request.build_id!r}")
        self.created.append(request)
        number = next(self._numbers)
        built = request.HasField("build_context")
        deployment = deployment_pb2.Deployment(
            deployment_id=f"dep_{number}",
            project_id=request.project_id,
            environment_slug=request.environment_slug,
            branch=request.branch,
            seq=number,
            image_ref="engine:sha256:1",
            status=deployment_pb2.DEPLOYMENT_STATUS_PENDING,
            git_commit=request.git_commit,
            source=_source(request),
            build_id=f"bld_{number}" if built else request.build_id,
            docker_image=request.docker_image,
            created_at=now_ms(),
        )
        fake = self.deployments[deployment.deployment_id] = self._start(deployment)
        fake.build.no_cache = request.build_context.no_cache and "no_cache" not in self.ignored
        answer = deployment_pb2.CreateDeploymentResponse()
        answer.deployment.CopyFrom(deployment)
        return answer

    def _start(self, deployment: deployment_pb2.Deployment) -> FakeDeployment:
        """Start the scenario for a deployment, or for the build of one that has no id."""
        fake = FakeDeployment(self, deployment)
        self.builds.setdefault(deployment.build_id, fake)
        self._tasks.add(asyncio.ensure_future(self._run(fake)))
        return fake

    async def _run(self, fake: FakeDeployment) -> None:
        await self.scenario(fake)

    async def GetEnvironment(self, request: Any, context: Any) -> Any:
        answer = await super().GetEnvironment(request, context)
        live = [p.deployment for p in self.deployments.values() if p.deployment.is_live]
        answer.environment.live_deployment_id = live[0].deployment_id if live else ""
        return answer

    async def GetDeployment(self, request: Any, context: Any) -> Any:
        await self._enter("GetDeployment", context)
        fake = await self._deployment(request.deployment_id, context)
        return deployment_pb2.GetDeploymentResponse(deployment=fake.deployment)

    async def ListDeployments(self, request: Any, context: Any) -> Any:
        await self._enter("ListDeployments", context)
        newest = [fake.deployment for fake in reversed(self.deployments.values())]
        if request.HasField("environment_slug"):
            newest = [one for one in newest if one.environment_slug == request.environment_slug]
        return deployment_pb2.ListDeploymentsResponse(deployments=newest[: request.page_size])

    async def CompareDeployments(self, request: Any, context: Any) -> Any:
        await self._enter("CompareDeployments", context)
        found = [
            (await self._deployment(ident, context)).deployment
            for ident in (request.deployment_id, request.other_deployment_id)
        ]
        return deployment_pb2.CompareDeploymentsResponse(
            deployment=found[0], other=found[1], variables=self.compared_variables
        )

    async def WatchDeployment(self, request: Any, context: Any) -> Any:
        await self._enter("WatchDeployment", context)
        fake = await self._deployment(request.deployment_id, context)
        async for _ in self._messages(fake, context):
            yield deployment_pb2.WatchDeploymentResponse(deployment=fake.deployment)
            if fake.deployment.ended_at:
                return

    async def GetLogs(self, request: Any, context: Any) -> Any:
        await self._enter("GetLogs", context)
        fake = await self._deployment(request.deployment_id, context)
        self.log_requests.append(request)
        sent = int(request.after.partition(".")[2] or 0)
        if self.log_problem:
            await refuse(context, "UNAVAILABLE", "telemetry.unavailable", self.log_problem)
        async for _ in self._messages(fake, context):
            for number, line in enumerate(fake.app_lines[sent:], sent + 1):
                if request.instance_ids and line.instance_id not in request.instance_ids:
                    continue
                message = log_pb2.GetLogsResponse(lines=[line], cursor=f"c.{number}")
                message.lines[0].cursor = message.cursor
                yield message
            sent = len(fake.app_lines)
            if not request.follow or fake.deployment.run_state == deployment_pb2.RUN_STATE_STOPPED:
                return
            is_replaced = not fake.deployment.is_live and any(p.deployment.is_live for p in self.deployments.values())
            if request.until_replaced and is_replaced:
                return

    async def CancelDeployment(self, request: Any, context: Any) -> Any:
        await self._enter("CancelDeployment", context)
        fake = await self._deployment(request.deployment_id, context)
        fake.cancelled.set()
        return deployment_pb2.CancelDeploymentResponse(deployment=fake.deployment)

    async def StopDeployment(self, request: Any, context: Any) -> Any:
        await self._enter("StopDeployment", context)
        fake = await self._deployment(request.deployment_id, context)
        if fake.deployment.is_live and not request.take_down:
            await refuse(context, "FAILED_PRECONDITION", "deployment.routed", "the deployment is live")
        kind = deployment_pb2.OPERATION_KIND_TAKE_DOWN if request.take_down else deployment_pb2.OPERATION_KIND_STOP
        fake.deployment.is_live = False
        fake.deployment.run_state = deployment_pb2.RUN_STATE_STOPPED
        del fake.deployment.urls[:]
        return deployment_pb2.StopDeploymentResponse(deployment=fake.deployment, operation=self._operation(fake, kind))

    async def Promote(self, request: Any, context: Any) -> Any:
        await self._enter("Promote", context)
        fake = await self._deployment(request.deployment_id, context)
        if not fake.deployment.ended_at:
            await refuse(context, "FAILED_PRECONDITION", "deployment.not_ready", "The deployment is not ready.")
        return deployment_pb2.PromoteResponse(operation=self._switch(fake, deployment_pb2.OPERATION_KIND_PROMOTE))

    async def Rollback(self, request: Any, context: Any) -> Any:
        await self._enter("Rollback", context)
        before = [
            fake for fake in self.deployments.values() if fake.deployment.ended_at and not fake.deployment.is_live
        ]
        target = self.deployments.get(request.deployment_id) or (before[-1] if before else None)
        if target is None:
            await refuse(context, "FAILED_PRECONDITION", "rollback.no_target", "nothing was live before")
            raise AssertionError
        return deployment_pb2.RollbackResponse(operation=self._switch(target, deployment_pb2.OPERATION_KIND_ROLLBACK))

    async def Scale(self, request: Any, context: Any) -> Any:
        await self._enter("Scale", context)
        if not (0 if request.process else 1) <= request.replicas <= 20:
            await refuse(context, "INVALID_ARGUMENT", "invalid_argument", "replicas: must be 1 to 20")
        live = next(fake for fake in self.deployments.values() if fake.deployment.is_live)
        if not request.process:
            live.deployment.replicas = request.replicas
        operation = self._operation(live, deployment_pb2.OPERATION_KIND_SCALE)
        operation.replicas, operation.process = request.replicas, request.process
        return environment_pb2.ScaleResponse(operation=operation)

    async def Restart(self, request: Any, context: Any) -> Any:
        await self._enter("Restart", context)
        fake = await self._deployment(request.deployment_id, context)
        return deployment_pb2.RestartResponse(operation=self._operation(fake, deployment_pb2.OPERATION_KIND_RESTART))

    def _switch(self, fake: FakeDeployment, kind: Any) -> deployment_pb2.Operation:
        self.make_live(fake.deployment)
        return self._operation(fake, kind)

    def _operation(self, fake: FakeDeployment, kind: Any) -> deployment_pb2.Operation:
        operation = deployment_pb2.Operation(
            operation_id=f"op_{next(self._numbers)}",
            kind=kind,
            status=deployment_pb2.OPERATION_STATUS_DONE,
            deployment_id=fake.deployment.deployment_id,
            created_at=1_700_000_000_000,
            ended_at=1_700_000_000_042,
            queued_reason=self.queued_reason,
        )
        self.operations[operation.operation_id] = operation
        return operation

    async def GetOperation(self, request: Any, context: Any) -> Any:
        await self._enter("GetOperation", context)
        return deployment_pb2.GetOperationResponse(operation=self.operations[request.operation_id])

    async def WatchOperation(self, request: Any, context: Any) -> Any:
        await self._enter("WatchOperation", context)
        yield deployment_pb2.WatchOperationResponse(operation=self.operations[request.operation_id])


def _source(request: deployment_pb2.CreateDeploymentRequest) -> "deployment_pb2.DeploymentSource.ValueType":
    if request.build_id:
        return deployment_pb2.DEPLOYMENT_SOURCE_BUILD
    return (
        deployment_pb2.DEPLOYMENT_SOURCE_UPLOAD
        if request.HasField("build_context")
        else deployment_pb2.DEPLOYMENT_SOURCE_IMAGE
    )
