"""For tests: a whole api on real sockets, a real SQLite file, a real Disk store; a recording stand-in for Restate."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

from pkg.certificates.config import Tls
from pkg.config import Secret, ensure_key_file
from pkg.config.secret_files import ensure_secret_file
from pkg.config.sections import Database as DatabaseSection
from pkg.config.sections import Restate, Vault
from pkg.db import Database
from pkg.db.testing import fresh_file
from pkg.domains.config import Domains
from pkg.keys.rules import new_key
from pkg.lifecycle import Runner
from pkg.secrets import Vault as VaultOf
from pkg.secrets import load_master_key
from pkg.storage.disk.config import DiskConfig
from pkg.telemetry.sqlite.config import SqliteConfig
from pkg.testing.wait import WAIT_S
from pkg.workflows import outbox
from sealift.ctrl.v1 import (
    acme_pb2_grpc,
    build_pb2_grpc,
    cluster_pb2_grpc,
    ctrl_pb2,
    ctrl_pb2_grpc,
    deletion_pb2_grpc,
    deployment_pb2_grpc,
    domain_pb2_grpc,
    environment_pb2_grpc,
    exec_pb2_grpc,
    job_pb2_grpc,
    key_pb2_grpc,
    project_pb2_grpc,
    routing_pb2_grpc,
    stats_pb2_grpc,
)
from svc.api.config import ApiConfig, BootstrapKey, Grpc, Http, Limits
from svc.api.run import start
from svc.api.services.registry import SERVICERS, Registry

REGION = "local"
_SEND = re.compile(r"/(?P<service>\w+)/(?P<key>[^/]+)/(?P<handler>\w+)/send")
_OUTPUT = re.compile(r"/restate/workflow/(?P<service>\w+)/(?P<key>[^/]+)/output")


@dataclass(frozen=True)
class Sent:
    """A request that the stand-in has taken."""

    service: str
    handler: str
    key: str
    body: bytes


@dataclass
class RecordingRestate:
    """Speaks the ingress forms that the api uses.

    Attributes:
        sent: what was accepted, in order.
        is_away: answers 503 while set.
        status: HTTP status of a workflow's output by (workflow, key): 470 runs, 200 ended, 404 (default) unknown.
        half_done: what the admin API's query lists.
    """

    sent: list[Sent] = field(default_factory=list)
    is_away: bool = False
    status: dict[tuple[str, str], int] = field(default_factory=dict)
    half_done: list[str] = field(default_factory=list)
    url: str = ""

    def count(self, service: str, handler: str, key: str) -> int:
        """How often this was sent."""
        return sum(1 for s in self.sent if (s.service, s.handler, s.key) == (service, handler, key))

    async def handle(self, request: web.Request) -> web.Response:
        """Any request."""
        if self.is_away:
            return web.json_response({"message": "away"}, status=503)
        if match := _SEND.fullmatch(request.path):
            call = Sent(match["service"], match["handler"], match["key"], await request.read())
            is_new = call.handler != "run" or self.count(call.service, "run", call.key) == 0
            self.sent.append(call)
            if call.handler == "run":
                self.status.setdefault((call.service, call.key), 470)
            answer = {"invocationId": f"inv_{call.key}", "status": "Accepted" if is_new else "PreviouslyAccepted"}
            return web.json_response(answer, status=202)
        if request.path == "/query":
            return web.json_response({"rows": [{"target": target} for target in self.half_done]})
        if match := _OUTPUT.fullmatch(request.path):
            return web.Response(status=self.status.get((match["service"], match["key"]), 404))
        return web.Response(status=404)


@asynccontextmanager
async def recording_restate() -> AsyncIterator[RecordingRestate]:
    """The stand-in on a free loopback port."""
    restate = RecordingRestate()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", restate.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    restate.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield restate
    finally:
        await runner.cleanup()


class Stubs:
    """A stub of every service on one channel; call with `metadata=stubs.key`."""

    def __init__(self, channel: aio.Channel) -> None:
        self.ctrl: Any = ctrl_pb2_grpc.CtrlServiceStub(channel)
        self.project: Any = project_pb2_grpc.ProjectServiceStub(channel)
        self.environment: Any = environment_pb2_grpc.EnvironmentServiceStub(channel)
        self.build: Any = build_pb2_grpc.BuildServiceStub(channel)
        self.deletion: Any = deletion_pb2_grpc.DeletionServiceStub(channel)
        self.deployment: Any = deployment_pb2_grpc.DeploymentServiceStub(channel)
        self.acme: Any = acme_pb2_grpc.AcmeServiceStub(channel)
        self.domain: Any = domain_pb2_grpc.DomainServiceStub(channel)
        self.routing: Any = routing_pb2_grpc.RoutingServiceStub(channel)
        self.stats: Any = stats_pb2_grpc.StatsServiceStub(channel)
        self.cluster: Any = cluster_pb2_grpc.ClusterServiceStub(channel)
        self.job: Any = job_pb2_grpc.JobServiceStub(channel)
        self.exec: Any = exec_pb2_grpc.ExecServiceStub(channel)
        self.key: Any = key_pb2_grpc.KeyServiceStub(channel)


class _KeyOnUnary(aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpcio says nothing of its types
    """Puts the key into every unary call."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(_with_key(details, self._key), request)


class _KeyOnStream(aio.UnaryStreamClientInterceptor):  # type: ignore[misc]  # the same
    """Puts the key into every stream. A separate class: grpc.aio uses one interceptor for one kind of call only."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(_with_key(details, self._key), request)


class _KeyOnBidi(aio.StreamStreamClientInterceptor):  # type: ignore[misc]  # the same
    """Puts the key into every stream in both directions."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return await continuation(_with_key(details, self._key), requests)


def _with_key(details: Any, key: str) -> Any:
    metadata = aio.Metadata(*(details.metadata or ()))
    metadata.add("authorization", f"Bearer {key}")
    return details._replace(metadata=metadata)


def channel_with(address: str, key: str | None = None) -> aio.Channel:
    """A channel whose calls carry the key."""
    interceptors = None if key is None else [_KeyOnUnary(key), _KeyOnStream(key), _KeyOnBidi(key)]
    return aio.insecure_channel(address, interceptors=interceptors)


def refused(error: aio.AioRpcError) -> tuple[grpc.StatusCode, str, str, str]:
    """Status, stable code, field at fault and message of a refused call."""
    status = status_pb2.Status()
    trailing = dict(error.trailing_metadata() or ())
    status.ParseFromString(bytes(trailing["grpc-status-details-bin"]))
    info, bad, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RequestInfo()
    for detail in status.details:
        for kind in (info, bad, request):
            if detail.Is(kind.DESCRIPTOR):
                detail.Unpack(kind)
    assert request.request_id == trailing["x-request-id"]
    field = bad.field_violations[0].field if bad.field_violations else ""
    return error.code(), info.reason, field, error.details() or ""


@dataclass
class RunningApi:
    """An api that runs, and ways to it.

    Attributes:
        db: the same database file, opened once more, as another process would.
        admin: stubs that carry the admin key. krane: the key of region "local". open: no key.
    """

    config: ApiConfig
    runner: Runner
    grpc: str
    http: str
    db: Database
    vault: VaultOf
    admin_key: str
    krane_key: str
    admin: Stubs
    krane: Stubs
    open: Stubs

    def headers(self, key: str | None = None) -> dict[str, str]:
        """HTTP headers with the admin key, or another."""
        return {"Authorization": f"Bearer {key or self.admin_key}"}


def config_in(folder: Path, restate_url: str, *, database_url: str = "", **limits: int) -> ApiConfig:
    """A config with everything below `folder`, keys made. The database too, unless another one is given."""
    for name in ("master.key", "urls.key"):
        ensure_key_file(folder / name, 32)
    for name in ("admin.key", "krane.key"):
        ensure_secret_file(folder / name, lambda: new_key().encode())
    if not database_url and not (folder / "control.db").exists():
        fresh_file(folder)
    return ApiConfig(
        instance_id="inst-test",
        grpc=Grpc(listen="127.0.0.1:0"),
        http=Http(listen="127.0.0.1:0"),
        database=DatabaseSection(url=Secret(database_url or f"sqlite:///{folder}/control.db")),
        telemetry=SqliteConfig(path=folder / "telemetry.db"),
        objects=DiskConfig(root=folder / "objects", signing_key_file=folder / "urls.key"),
        restate=Restate(ingress=restate_url, admin=restate_url),
        vault=Vault(master_key_file=folder / "master.key"),
        domains=Domains(resolvers=("127.0.0.1:9",)),  # nothing is there: no test asks the machine's DNS
        bootstrap_keys=(
            BootstrapKey(name="admin", role="admin", file=folder / "admin.key"),
            BootstrapKey(name="krane-local", role="cluster", file=folder / "krane.key", region=REGION),
        ),
        limits=Limits(**limits),
        tls=Tls(enabled=False),  # a sweep would number changes of its own
    )


@asynccontextmanager
async def running_api(config: ApiConfig, servicers: Registry = SERVICERS) -> AsyncIterator[RunningApi]:
    """Runs the api in this loop until the block ends."""
    db = Database.open(config.database.url.reveal())
    admin_key, krane_key = (key.file.read_text() for key in config.bootstrap_keys)
    async with Runner() as runner:
        api = await start(config, runner, servicers)
        address = f"127.0.0.1:{api.grpc_port}"
        channels = [
            channel_with(address, admin_key),
            channel_with(address, krane_key),
            channel_with(address),
        ]
        try:
            yield RunningApi(
                config=config,
                runner=runner,
                grpc=address,
                http=f"http://127.0.0.1:{api.http_port}",
                db=db,
                vault=VaultOf(load_master_key(config.vault.master_key_file)),
                admin_key=admin_key,
                krane_key=krane_key,
                admin=Stubs(channels[0]),
                krane=Stubs(channels[1]),
                open=Stubs(channels[2]),
            )
        finally:
            for channel in channels:
                await channel.close()
    await db.close()


async def all_sent(api: RunningApi) -> None:
    """Waits until Restate has every intent, and the api remembers it."""

    async def nothing_due() -> bool:
        return not await api.db.read(outbox.due)

    await eventually(nothing_due, "every intent is sent")


async def begin_drain(api: RunningApi) -> str:
    """Begins an upgrade's drain; its id."""
    answer = await api.admin.ctrl.BeginDrain(ctrl_pb2.BeginDrainRequest(reason=ctrl_pb2.DRAIN_REASON_UPGRADE))
    return str(answer.drain.drain_id)


async def end_drains(api: RunningApi) -> None:
    """Ends all that are active."""
    status = await api.admin.ctrl.GetDrainStatus(ctrl_pb2.GetDrainStatusRequest())
    for drain in status.drains:
        await api.admin.ctrl.EndDrain(ctrl_pb2.EndDrainRequest(drain_id=drain.drain_id))


async def eventually(check: Callable[[], bool | Awaitable[bool]], what: str, timeout_s: float = WAIT_S) -> None:
    """Waits until `check` holds. Raises AssertionError with `what` after `timeout_s`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        outcome = check()
        if outcome if isinstance(outcome, bool) else await outcome:
            return
        assert asyncio.get_running_loop().time() < deadline, f"not within {timeout_s:.0f} s: {what}"
        await asyncio.sleep(0.01)
