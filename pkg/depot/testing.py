"""A double of Depot's public API, which keeps its contract strictly, in front of a real BuildKit.

Each build has a machine of its own: certificates that no other build has, behind mutual TLS, gone when heartbeats stop.
"""

import asyncio
import secrets
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from pkg.buildkit.testing_front import SERVER_NAME, mtls_front
from pkg.clock import now_ms
from pkg.config import Secret
from pkg.depot.config import DepotConfig
from pkg.depot.machine import Timing
from pkg.depot.pb import build_pb2, build_pb2_grpc, buildkit_pb2, buildkit_pb2_grpc, project_pb2, project_pb2_grpc
from pkg.testing.certificates import Authority

REGIONS = ("us-east-1", "eu-central-1")
Code = grpc.StatusCode
# What takes seconds and minutes at Depot takes fractions of them here.
FAST = Timing(
    heartbeat_s=0.1,
    heartbeat_timeout_s=2,
    heartbeats_lost_s=2,
    endpoint_s=10,
    ready_s=10,
    ready_pause_s=0.1,
    probe_s=0.5,
)


class Gate:
    """A port of a machine, which is as good as gone when the test says so. Copies bytes to where the machine is."""

    def __init__(self) -> None:
        self._to: int | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    async def open(self, address: str = "127.0.0.1") -> None:
        """Listens; connections are closed at once until `lead_to`."""
        self._server = await asyncio.start_server(self._connected, address, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def lead_to(self, port: int) -> None:
        """The machine is ready."""
        self._to = port

    def freeze(self) -> None:
        """The machine has lost its power: connections stay, and nothing passes through them."""
        self._flows.clear()

    async def close(self) -> None:
        """The machine is gone: its connections are cut, and it takes no more. Idempotent."""
        self._server.close()
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if self._to is not None:
                there, back = await asyncio.open_connection("127.0.0.1", self._to)
                try:
                    await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
                finally:
                    back.close()
        except (OSError, asyncio.CancelledError):
            pass  # Python 3.11 logs an error of its own when a cancellation leaves a connection callback
        finally:
            writer.close()
            self._connections.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


@dataclass
class Build:
    """What the double knows about a build.

    Attributes:
        outcome: "" until it is finished, then "success" or the error's text.
        gate: the way to its machine.
        key: PEM, of the client's certificate.
        was_kept_before_ready: a heartbeat came before the machine was handed out.
        silence_s: from the last heartbeat to the release.
    """

    project_id: str
    token: str = field(default_factory=lambda: f"build-{secrets.token_hex(16)}")
    outcome: str = ""
    heartbeats: int = 0
    heartbeat_at: float = 0.0
    was_kept_before_ready: bool = False
    silence_s: float = 0.0
    released: int = 0
    is_expired: bool = False
    platform: int = 0
    key: bytes = b""
    gate: Gate = field(default_factory=Gate)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def beats(self, count: int) -> None:
        """Waits until so many heartbeats have come."""
        async with self.news:
            await self.news.wait_for(lambda: self.heartbeats >= count)


class DepotDouble(
    project_pb2_grpc.ProjectServiceServicer,
    build_pb2_grpc.BuildServiceServicer,
    buildkit_pb2_grpc.BuildKitServiceServicer,
):
    """Depot. What it does beside its contract is set by the test. Its refusals quote tokens, which must not be told on.

    Attributes:
        token: of the organisation.
        projects: by id.
        builds: by id, in the order of their creation.
        calls: how often each method was called.
        called: set by the first call of a method.
        faults: by method: the codes with which its next calls fail.
        hangs: methods that never answer.
        pendings: how often GetEndpoint says that it has no machine yet.
        ends_early: so many calls of GetEndpoint end without a machine.
        garbles: the certificates of machines are none.
        ready_after_s: from handing the machine out until it answers.
        expires_s: without heartbeats, until a machine is gone.
        create_s: how long CreateProject and CreateBuild take.
    """

    def __init__(self, engine_socket: Path | None, stack: AsyncExitStack) -> None:
        self._engine_socket = engine_socket
        self._stack = stack
        self._tasks: set[asyncio.Task[None]] = set()
        self.token = f"organisation-{secrets.token_hex(16)}"
        self.projects: dict[str, project_pb2.Project] = {}
        self.builds: dict[str, Build] = {}
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.called: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.faults: defaultdict[str, list[grpc.StatusCode]] = defaultdict(list)
        self.hangs: set[str] = set()
        self.pendings = 2
        self.ends_early = 0
        self.garbles = False
        self.ready_after_s = 0.0
        self.expires_s = 60.0
        self.create_s = 0.0
        self.api_url = ""

    @property
    def last(self) -> Build:
        """The newest build."""
        return list(self.builds.values())[-1]

    def config(self, **keys: Any) -> DepotConfig:
        """A section that leads here."""
        given: dict[str, Any] = {"api_url": self.api_url, "access_token": Secret(self.token)}
        return DepotConfig(**given | keys)

    def add_project(self, name: str) -> str:
        """Makes a project as CreateProject does; its id."""
        project_id = secrets.token_hex(5)
        created_at = Timestamp()
        created_at.FromMilliseconds(now_ms())
        self.projects[project_id] = project_pb2.Project(project_id=project_id, name=name, created_at=created_at)
        return project_id

    async def close(self) -> None:
        """Ends what it does by itself."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for build in self.builds.values():
            if build.key:
                await build.gate.close()

    # -- ProjectService -------------------------------------------------------------------------------------------

    async def ListProjects(self, request: Any, context: Any) -> project_pb2.ListProjectsResponse:  # noqa: N802
        """All of them."""
        await self._organisation("ListProjects", context)
        return project_pb2.ListProjectsResponse(projects=self.projects.values())

    async def CreateProject(  # noqa: N802
        self, request: project_pb2.CreateProjectRequest, context: Any
    ) -> project_pb2.CreateProjectResponse:
        """Takes a name twice."""
        await self._organisation("CreateProject", context)
        policy = request.cache_policy
        if request.region_id not in REGIONS or not request.name or policy.keep_gb < 1 or policy.keep_days < 1:
            await context.abort(Code.INVALID_ARGUMENT, f"no such region {request.region_id!r}, or no name or cache")
        await asyncio.sleep(self.create_s)
        project = self.projects[self.add_project(request.name)]
        project.region_id = request.region_id
        return project_pb2.CreateProjectResponse(project=project)

    # -- BuildService ---------------------------------------------------------------------------------------------

    async def CreateBuild(  # noqa: N802
        self, request: build_pb2.CreateBuildRequest, context: Any
    ) -> build_pb2.CreateBuildResponse:
        """In a project that exists."""
        await self._organisation("CreateBuild", context)
        if request.project_id not in self.projects:
            await context.abort(Code.NOT_FOUND, f"no project {request.project_id}")
        await asyncio.sleep(self.create_s)
        build_id = secrets.token_hex(5)
        build = self.builds[build_id] = Build(request.project_id)
        return build_pb2.CreateBuildResponse(build_id=build_id, build_token=build.token)

    async def FinishBuild(  # noqa: N802
        self, request: build_pb2.FinishBuildRequest, context: Any
    ) -> build_pb2.FinishBuildResponse:
        """Once."""
        build = await self._build("FinishBuild", request.build_id, context)
        build.outcome = "success" if request.WhichOneof("result") == "success" else request.error.error
        build.ended.set()
        return build_pb2.FinishBuildResponse()

    # -- BuildKitService ------------------------------------------------------------------------------------------

    async def GetEndpoint(  # noqa: N802
        self, request: buildkit_pb2.GetEndpointRequest, context: Any
    ) -> AsyncIterator[buildkit_pb2.GetEndpointResponse]:
        """Nothing but `pending` until a heartbeat has come."""
        build = await self._build("GetEndpoint", request.build_id, context)
        build.platform = request.platform
        pending = buildkit_pb2.GetEndpointResponse()
        pending.pending.SetInParent()
        said = 0
        while said < self.pendings or not build.heartbeats:
            yield pending
            said += 1
            if self.ends_early:
                self.ends_early -= 1
                return
            await asyncio.sleep(0.02)
        build.was_kept_before_ready = True
        yield buildkit_pb2.GetEndpointResponse(active=await self._start_machine(build))

    async def ReportHealth(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> buildkit_pb2.ReportHealthResponse:
        """Each message keeps the machine for `expires_s`."""
        async for request in request_iterator:
            build = await self._build("ReportHealth", request.build_id, context)
            async with build.news:
                build.heartbeats += 1
                build.heartbeat_at = asyncio.get_running_loop().time()
                build.news.notify_all()
        return buildkit_pb2.ReportHealthResponse()

    async def ReleaseEndpoint(  # noqa: N802
        self, request: buildkit_pb2.ReleaseEndpointRequest, context: Any
    ) -> buildkit_pb2.ReleaseEndpointResponse:
        """The machine is gone at once."""
        build = await self._build("ReleaseEndpoint", request.build_id, context)
        build.released += 1
        build.silence_s = asyncio.get_running_loop().time() - build.heartbeat_at
        if build.key:
            await build.gate.close()
        return buildkit_pb2.ReleaseEndpointResponse()

    # -- what the contract says -----------------------------------------------------------------------------------

    async def _called(self, method: str, context: Any) -> str:
        """Counts the call, fails it if the test says so; the bearer."""
        self.calls[method] += 1
        self.called[method].set()
        if method in self.hangs:
            await asyncio.sleep(3600)
        if self.faults[method]:
            await context.abort(self.faults[method].pop(0), "as the test says")
        value = dict(context.invocation_metadata()).get("authorization", "")
        if not value.startswith("Bearer "):
            await context.abort(Code.UNAUTHENTICATED, "no bearer")
        return str(value.removeprefix("Bearer "))

    async def _organisation(self, method: str, context: Any) -> None:
        bearer = await self._called(method, context)
        if bearer != self.token:
            await context.abort(Code.UNAUTHENTICATED, f"bad token {bearer}")

    async def _build(self, method: str, build_id: str, context: Any) -> Build:
        bearer = await self._called(method, context)
        build = self.builds.get(build_id)
        if build is None:
            await context.abort(Code.NOT_FOUND, f"no build {build_id}")
            raise AssertionError("unreachable")
        if bearer != build.token:
            await context.abort(Code.PERMISSION_DENIED, f"{bearer} is not the token of build {build_id}")
        if build.outcome:
            await context.abort(Code.FAILED_PRECONDITION, f"build {build_id} is finished")
        return build

    async def _start_machine(self, build: Build) -> buildkit_pb2.GetEndpointResponse.ActiveConnection:
        assert self._engine_socket is not None
        authority = Authority()
        client = authority.issue("client")
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sealift-depot-")))
        front = await self._stack.enter_async_context(
            mtls_front(self._engine_socket, authority.issue(SERVER_NAME), authority.pem, folder)
        )
        await build.gate.open()
        build.key = client.key
        task = asyncio.create_task(self._run_machine(build, int(front.address.rpartition(":")[2])))
        self._tasks.add(task)
        return buildkit_pb2.GetEndpointResponse.ActiveConnection(
            endpoint=f"tcp://127.0.0.1:{build.gate.port}",
            server_name=SERVER_NAME,
            cert=buildkit_pb2.CertificatePair(
                cert=buildkit_pb2.PublicCertificate(cert="garbled" if self.garbles else client.cert.decode()),
                key=buildkit_pb2.PrivateKey(key=client.key.decode()),
            ),
            ca_cert=buildkit_pb2.PublicCertificate(cert=authority.pem.decode()),
        )

    async def _run_machine(self, build: Build, port: int) -> None:
        await asyncio.sleep(self.ready_after_s)
        build.gate.lead_to(port)
        clock = asyncio.get_running_loop().time
        left_s = 1.0
        while left_s > 0:
            left_s = build.heartbeat_at + self.expires_s - clock()
            await asyncio.sleep(min(0.1, max(0.0, left_s)))  # the test may change it
        build.is_expired = True
        await build.gate.close()


@asynccontextmanager
async def depot_double(
    engine_socket: Path | None = None, *, authority: Authority | None = None
) -> AsyncIterator[DepotDouble]:
    """A double that listens on loopback, over TLS with an authority; its machines have the BuildKit of this engine."""
    async with AsyncExitStack() as stack:
        double = DepotDouble(engine_socket, stack)
        server = grpc.aio.server()
        project_pb2_grpc.add_ProjectServiceServicer_to_server(double, server)
        build_pb2_grpc.add_BuildServiceServicer_to_server(double, server)
        buildkit_pb2_grpc.add_BuildKitServiceServicer_to_server(double, server)
        if authority is None:
            double.api_url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        else:
            own = authority.issue("localhost")
            credentials = grpc.ssl_server_credentials([(own.key, own.cert)])
            double.api_url = f"https://localhost:{server.add_secure_port('127.0.0.1:0', credentials)}"
        await server.start()
        try:
            yield double
        finally:
            with suppress(asyncio.CancelledError):
                await server.stop(0)
            await double.close()
