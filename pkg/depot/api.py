"""Calls of Depot's public API. Each has a time limit, and raises one of the two errors of `pkg.builds.failures`."""

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import grpc
import grpc.aio
from cryptography import x509
from google.protobuf.message import Message

from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.depot.config import DepotConfig
from pkg.depot.pb import build_pb2, buildkit_pb2, project_pb2
from pkg.depot.pb.build_pb2_grpc import BuildServiceStub
from pkg.depot.pb.buildkit_pb2_grpc import BuildKitServiceStub
from pkg.depot.pb.project_pb2_grpc import ProjectServiceStub
from pkg.output.redact import Redactor

if TYPE_CHECKING:
    from pkg.depot.pb.build_pb2_grpc import BuildServiceAsyncStub
    from pkg.depot.pb.buildkit_pb2_grpc import BuildKitServiceAsyncStub
    from pkg.depot.pb.project_pb2_grpc import ProjectServiceAsyncStub

    Metadata = tuple[tuple[str, str], ...]

CALL_TIMEOUT_S = 30.0
TRIES = 3  # of a call that Depot was not there to answer; the workflow makes further attempts
FIRST_PAUSE_S = 0.5
MAX_DETAIL_CHARS = 500
MAX_OUTCOME_CHARS = 2000
_OPTIONS = (
    ("grpc.max_reconnect_backoff_ms", 2000),
    # each channel has a connection of its own, so that a new channel is a new connection
    ("grpc.use_local_subchannel_pool", 1),
)
_REFUSALS = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
)
# repeating the call makes no difference
_REJECTIONS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class DepotProject:
    """A project at Depot."""

    depot_project_id: str
    name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class DepotBuild:
    """A build at Depot, which has one machine.

    Attributes:
        build_id: Depot's.
        token: the bearer of every call about this build.
        architecture: of the machine: "amd64" or "arm64".
    """

    build_id: str
    token: str = field(repr=False)
    architecture: str

    @property
    def platform(self) -> buildkit_pb2.Platform.ValueType:
        """The architecture as the API names it."""
        return buildkit_pb2.PLATFORM_ARM64 if self.architecture == "arm64" else buildkit_pb2.PLATFORM_AMD64


class RefusedError(Exception):
    """Depot does not take a call about a build: it has ended there, or its token does not count any more."""


@asynccontextmanager
async def open_api(config: DepotConfig) -> AsyncIterator["DepotApi"]:
    """The API over a connection of its own, for as long as the block lasts. Connects with the first call."""
    if config.uses_tls:
        channel = grpc.aio.secure_channel(
            config.address, grpc.ssl_channel_credentials(_authorities(os.environ.get("SSL_CERT_FILE", ""))), _OPTIONS
        )
    else:
        channel = grpc.aio.insecure_channel(config.address, _OPTIONS)
    async with channel:
        yield DepotApi(config, channel)


class DepotApi:
    """Depot's API. `open_api` makes one.

    Raises, with every call:
        BuildFailed: `build.builder_auth`, `build.builder_not_found` or `build.builder_quota`, or another refusal.
        BuilderUnavailable: Depot is away, or failed.
    """

    def __init__(self, config: DepotConfig, channel: grpc.aio.Channel) -> None:
        self._config = config
        self._token = config.access_token.reveal()
        self._redactor = Redactor([self._token.encode()])
        self._projects = cast("ProjectServiceAsyncStub", ProjectServiceStub(channel))
        self._builds = cast("BuildServiceAsyncStub", BuildServiceStub(channel))
        self._machines = cast("BuildKitServiceAsyncStub", BuildKitServiceStub(channel))

    async def projects(self) -> list[DepotProject]:
        """Every project of the organisation."""
        request = project_pb2.ListProjectsRequest()
        answer = await self._as_organisation(
            "ListProjects", lambda bearer: self._projects.ListProjects(request, timeout=CALL_TIMEOUT_S, metadata=bearer)
        )
        return [DepotProject(p.project_id, p.name, p.created_at.ToMilliseconds()) for p in answer.projects]

    async def create_project(self, name: str) -> str:
        """Makes a project in the region, and with the cache, of the configuration; its id.

        Depot takes the same name twice. The call is made once: after an error, only `projects` tells whether there is
        one now.
        """
        request = project_pb2.CreateProjectRequest(
            name=name,
            region_id=self._config.project_region,
            cache_policy=project_pb2.CachePolicy(keep_gb=self._config.cache_gb, keep_days=self._config.cache_days),
        )
        answer = await self._as_organisation(
            "CreateProject",
            lambda bearer: self._projects.CreateProject(request, timeout=CALL_TIMEOUT_S, metadata=bearer),
            tries=1,
        )
        return str(answer.project.project_id)

    async def create_build(self, depot_project_id: str, architecture: str) -> DepotBuild:
        """Begins a build in a project. One whose answer is lost holds no machine, but stays unfinished at Depot."""
        request = build_pb2.CreateBuildRequest(project_id=depot_project_id)
        answer = await self._as_organisation(
            "CreateBuild", lambda bearer: self._builds.CreateBuild(request, timeout=CALL_TIMEOUT_S, metadata=bearer)
        )
        return DepotBuild(answer.build_id, answer.build_token, architecture)

    async def finish_build(self, build: DepotBuild, error: str) -> None:
        """Tells the outcome: the error's text, or "" for success. Idempotent on our side: Depot keeps the first one."""
        request = build_pb2.FinishBuildRequest(build_id=build.build_id)
        if error:
            request.error.error = error[:MAX_OUTCOME_CHARS]
        else:
            request.success.SetInParent()
        await self._as_build(
            "FinishBuild",
            build,
            lambda bearer: self._builds.FinishBuild(request, timeout=CALL_TIMEOUT_S, metadata=bearer),
        )

    async def release(self, build: DepotBuild) -> None:
        """Gives the machine back, also one that is still being started. Idempotent."""
        request = buildkit_pb2.ReleaseEndpointRequest(build_id=build.build_id, platform=build.platform)
        await self._as_build(
            "ReleaseEndpoint",
            build,
            lambda bearer: self._machines.ReleaseEndpoint(request, timeout=CALL_TIMEOUT_S, metadata=bearer),
        )

    async def endpoint(
        self, build: DepotBuild, timeout_s: float
    ) -> buildkit_pb2.GetEndpointResponse.ActiveConnection | None:
        """Waits for the machine and returns how to reach it; None when Depot ended the wait without one.

        Raises:
            BuilderUnavailable: also when there is none within `timeout_s`.
        """
        request = buildkit_pb2.GetEndpointRequest(build_id=build.build_id, platform=build.platform)

        async def wait(bearer: "Metadata") -> buildkit_pb2.GetEndpointResponse:
            async for answer in self._machines.GetEndpoint(request, timeout=timeout_s, metadata=bearer):
                if answer.HasField("active"):
                    return cast("buildkit_pb2.GetEndpointResponse", answer)
            return buildkit_pb2.GetEndpointResponse()

        answer = await self._as_build("GetEndpoint", build, wait)
        return answer.active if answer.HasField("active") else None

    async def report_health(self, build: DepotBuild, *, every_s: float, count: int, timeout_s: float) -> None:
        """Asks Depot to keep the machine, `count` times, `every_s` seconds apart. Returns when Depot has confirmed.

        Raises:
            RefusedError: asking again makes no difference.
            BuilderUnavailable: no confirmation within `timeout_s`, or Depot is away.
        """
        beat = buildkit_pb2.ReportHealthRequest(build_id=build.build_id, platform=build.platform)

        async def beats() -> AsyncIterator[buildkit_pb2.ReportHealthRequest]:
            for _ in range(count):
                yield beat
                await asyncio.sleep(every_s)

        try:
            await self._machines.ReportHealth(beats(), timeout=timeout_s, metadata=_bearer(build.token))
        except grpc.aio.AioRpcError as error:
            if error.code() in _REFUSALS:
                raise RefusedError(self._text("ReportHealth", error, build)) from None
            raise self._away("ReportHealth", error, build) from None

    async def _as_organisation(self, name: str, call: "Callable[[Metadata], Awaitable[M]]", *, tries: int = TRIES) -> M:
        try:
            return await _retried(lambda: call(_bearer(self._token)), tries)
        except grpc.aio.AioRpcError as error:
            text = self._text(name, error)
            match error.code():
                case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
                    raise BuildFailed(
                        FailureKind.BUILDER_AUTH,
                        f"Depot refuses the token in [depot] access_token ({text}). The operator sets one of the"
                        " organisation that is not revoked, and restarts the worker",
                    ) from None
                case grpc.StatusCode.NOT_FOUND:
                    raise BuildFailed(
                        FailureKind.BUILDER_NOT_FOUND,
                        f"Depot does not know what the build needs ({text}). The operator checks at Depot whether the"
                        " project was deleted, and whether [depot] access_token is of its organisation",
                    ) from None
            raise self._failure(name, error) from None

    async def _as_build(self, name: str, build: DepotBuild, call: "Callable[[Metadata], Awaitable[M]]") -> M:
        try:
            return await _retried(lambda: call(_bearer(build.token)), TRIES)
        except grpc.aio.AioRpcError as error:
            if name == "GetEndpoint" and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                why = "Depot had no machine for the build in time"
                raise BuilderUnavailable(FailureKind.BUILDER_LOST, why) from None
            if error.code() in _REFUSALS:
                why = f"Depot does not take calls of this build any more ({self._text(name, error, build)})"
                raise BuilderUnavailable(FailureKind.BUILDER_LOST, why) from None
            raise self._failure(name, error, build) from None

    def _failure(
        self, name: str, error: grpc.aio.AioRpcError, build: DepotBuild | None = None
    ) -> BuildFailed | BuilderUnavailable:
        text = self._text(name, error, build)
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return BuildFailed(
                FailureKind.BUILDER_QUOTA,
                f"a limit of the organisation at Depot is reached ({text}). Try again when other builds have ended,"
                " or raise the limit at Depot",
            )
        if error.code() in _REJECTIONS:
            return BuildFailed(FailureKind.UNKNOWN, f"Depot refuses the build ({text}). Is [depot] api_url right?")
        return self._away(name, error, build)

    def _away(self, name: str, error: grpc.aio.AioRpcError, build: DepotBuild | None) -> BuilderUnavailable:
        why = f"Depot at {self._config.api_url} does not answer ({self._text(name, error, build)})"
        return BuilderUnavailable(FailureKind.BUILDER_LOST, why)

    def _text(self, name: str, error: grpc.aio.AioRpcError, build: DepotBuild | None = None) -> str:
        redactor = self._redactor if build is None else Redactor([self._token.encode(), build.token.encode()])
        detail = redactor.text(error.details() or "")[:MAX_DETAIL_CHARS]
        return f"{name}: {error.code().name}" + (f": {detail}" if detail else "")


@functools.cache
def _authorities(file: str) -> bytes | None:
    """PEM, of the file SSL_CERT_FILE, for a proxy with an authority of its own; None: those that gRPC has.

    A file without certificates is ignored, as by Python's TLS: gRPC would end the process.
    """
    try:
        content = Path(file).read_bytes()
        x509.load_pem_x509_certificates(content)
    except (OSError, ValueError):
        return None
    return content


async def _retried(call: Callable[[], Awaitable[M]], tries: int) -> M:
    """The answer; a call that Depot was not there to answer is made again, `tries` times together."""
    pause_s = FIRST_PAUSE_S
    for last in range(tries - 1, -1, -1):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or not last:
                raise
        await asyncio.sleep(pause_s)
        pause_s *= 2
    raise AssertionError("unreachable")


def _bearer(token: str) -> "Metadata":
    return (("authorization", f"Bearer {token}"),)
