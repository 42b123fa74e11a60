"""Builds the api from its configuration: dependencies, then tasks, then listeners; a stop goes in reverse."""

import asyncio
import hmac
import logging
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from pkg.buildinfo import current
from pkg.clock import now_ms
from pkg.config import read_secret_file
from pkg.db import Database
from pkg.ids import new_id
from pkg.installation import Installation
from pkg.lifecycle import Runner
from pkg.observability import tracing
from pkg.observability.logging import fields
from pkg.observability.metrics import Metrics
from pkg.restate import RestateClient
from pkg.secrets import Vault, load_master_key
from pkg.storage import DiskStore, UrlSigner
from pkg.telemetry import SqliteTelemetry
from sealift.ctrl.v1 import (
    build_pb2,
    cluster_pb2,
    ctrl_pb2,
    deployment_pb2,
    environment_pb2,
    key_pb2,
    project_pb2,
    routing_pb2,
)
from svc.api.bootstrap import prepare
from svc.api.config import ApiConfig
from svc.api.dispatch.dispatcher import Dispatcher
from svc.api.dispatch.notifier import Notifier
from svc.api.dispatch.reconciler import Reconciler
from svc.api.feed.reader import Rendering
from svc.api.http.app import make_app
from svc.api.http.health import Health
from svc.api.loops import every
from svc.api.rpc import Authorizer, RpcPipeline, Service
from svc.api.servers import GrpcServer, HttpServer, bind_http
from svc.api.services.builds.service import BuildDeps, BuildServicer
from svc.api.services.cluster.service import ClusterDeps, ClusterServicer
from svc.api.services.ctrl.service import CtrlDeps, CtrlServicer
from svc.api.services.deployments.service import DeploymentDeps, DeploymentServicer
from svc.api.services.environments.service import EnvironmentDeps, EnvironmentServicer
from svc.api.services.keys.service import KeyDeps, KeyServicer
from svc.api.services.projects.service import ProjectDeps, ProjectServicer
from svc.api.services.routing.service import RoutingDeps, RoutingServicer

BUILD_BACKEND = "docker"
KEY_USES_WRITTEN_EVERY_S = 15.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the services are made of."""

    config: ApiConfig
    instance_id: str
    installation: Installation
    db: Database
    telemetry: SqliteTelemetry
    store: DiskStore
    restate: RestateClient
    vault: Vault
    metrics: Metrics
    dispatcher: Dispatcher
    notifier: Notifier
    payload_key: bytes


@dataclass(frozen=True)
class Api:
    """A running api: where it listens."""

    grpc_port: int
    http_port: int


async def run(config: ApiConfig, runner: Runner) -> None:
    """Starts the api; it runs until `runner` stops."""
    await start(config, runner)


async def start(config: ApiConfig, runner: Runner) -> Api:
    """Builds, starts and registers everything with `runner`. Raises ConfigError for what the operator must mend."""
    listener = bind_http(config.http.listen)
    http_port = int(listener.getsockname()[1])
    runner.defer("http socket", _closing(listener.close))
    parts = await _parts(config, http_port, runner)
    authorizer = Authorizer(parts.db, now_ms)
    runner.defer("key uses", authorizer.note_uses)
    services = _services(parts, authorizer)
    pipeline = RpcPipeline(authorizer, parts.metrics, tracing.current())
    checks = {
        "database": lambda: parts.db.read(_select_one),
        "writes": parts.db.check_writes,
        "restate": lambda: parts.restate.workflow_status("Deploy", "health"),
        "objects": lambda: parts.store.run(_check_folder, parts.store.root),
    }
    # A write waits for the commits that are before it in the queue of a slow disk.
    health = Health(checks, runner.stopping, timeout_s=2.0)
    app = make_app(
        health=health,
        registry=parts.metrics,
        metrics_from=config.http.metrics_from,
        store=parts.store,
        services=services,
        pipeline=pipeline,
        tracing=tracing.current(),
    )
    _tasks(parts, authorizer, runner)
    refused = parts.metrics.counter(
        "http_refused", "Turned away before it was understood: connections, and requests that are no HTTP.", ["reason"]
    )
    http = HttpServer(app, listener, pipeline, lambda reason: refused.labels(reason).inc())
    await http.start()
    runner.defer("http", http.stop)
    grpc = GrpcServer(config.grpc.listen, services, pipeline)
    await grpc.start()
    runner.defer("grpc", grpc.stop)
    health.started()
    log.info("listening", extra=fields(grpc_port=grpc.port, http_port=http_port))
    return Api(grpc.port, http_port)


async def _parts(config: ApiConfig, http_port: int, runner: Runner) -> Parts:
    instance_id = config.instance_id or new_id("inst")
    signing_key = read_secret_file(config.objects.signing_key_file)
    vault = Vault(load_master_key(config.vault.master_key_file))
    db = Database.open(config.database.url.reveal())
    runner.defer("database", db.close)
    installation = await prepare(config, db, now_ms)
    telemetry = SqliteTelemetry(config.telemetry.path)
    runner.defer("telemetry", _closing(telemetry.close))
    host = config.http.listen.rpartition(":")[0]
    base_url = config.http.external_url or f"http://{host}:{http_port}"
    store = DiskStore(config.objects.root, UrlSigner(signing_key), base_url)
    runner.defer("objects", _closing(store.close))
    restate = RestateClient(config.restate.ingress, config.restate.admin)
    runner.defer("restate", restate.close)
    return Parts(
        config=config,
        instance_id=instance_id,
        installation=installation,
        db=db,
        telemetry=telemetry,
        store=store,
        restate=restate,
        vault=vault,
        metrics=Metrics("api", instance_id),
        dispatcher=Dispatcher(db, restate, now_ms, tracing.current()),
        notifier=Notifier(restate),
        payload_key=hmac.digest(signing_key, b"sealift idempotency payload 1", "sha256"),
    )


def _tasks(parts: Parts, authorizer: Authorizer, runner: Runner) -> None:
    reconciler = Reconciler(parts.db, parts.restate, parts.dispatcher, parts.metrics, now_ms)
    runner.spawn("key-uses", every(KEY_USES_WRITTEN_EVERY_S, authorizer.note_uses))
    runner.spawn("notifier", parts.notifier.run())
    runner.spawn("reconciler", reconciler.run())
    runner.spawn("dispatcher", parts.dispatcher.run())


def _services(parts: Parts, authorizer: Authorizer) -> list[Service]:
    ctrl = CtrlServicer(
        CtrlDeps(
            db=parts.db,
            version=current().version,
            revision=current().revision,
            instance_id=parts.instance_id,
            installation_id=parts.installation.installation_id,
            ingress=parts.config.ingress,
            max_context_bytes=parts.config.limits.max_context_bytes,
            build_backend=BUILD_BACKEND,
            dispatcher=parts.dispatcher,
        )
    )
    build = BuildServicer(
        BuildDeps(
            db=parts.db,
            clock=now_ms,
            store=parts.store,
            telemetry=parts.telemetry,
            vault=parts.vault,
            dispatcher=parts.dispatcher,
            notifier=parts.notifier,
            metrics=parts.metrics,
            max_context_bytes=parts.config.limits.max_context_bytes,
            payload_key=parts.payload_key,
        )
    )
    deployment = DeploymentServicer(
        DeploymentDeps(
            db=parts.db,
            clock=now_ms,
            store=parts.store,
            vault=parts.vault,
            dispatcher=parts.dispatcher,
            notifier=parts.notifier,
            metrics=parts.metrics,
            ingress=parts.config.ingress,
            payload_key=parts.payload_key,
        )
    )
    cluster = ClusterServicer(
        ClusterDeps(
            db=parts.db,
            clock=now_ms,
            rendering=Rendering(parts.vault, parts.config.ingress),
            notifier=parts.notifier,
            metrics=parts.metrics,
        )
    )
    project = ProjectServicer(ProjectDeps(parts.db, now_ms, parts.vault, parts.config.ingress))
    environment = EnvironmentServicer(EnvironmentDeps(parts.db, now_ms, parts.vault))
    routing = RoutingServicer(RoutingDeps(parts.db, parts.config.ingress))
    return [
        Service(ctrl_pb2.DESCRIPTOR.services_by_name["CtrlService"], ctrl),
        Service(project_pb2.DESCRIPTOR.services_by_name["ProjectService"], project),
        Service(environment_pb2.DESCRIPTOR.services_by_name["EnvironmentService"], environment),
        Service(build_pb2.DESCRIPTOR.services_by_name["BuildService"], build),
        Service(deployment_pb2.DESCRIPTOR.services_by_name["DeploymentService"], deployment),
        Service(routing_pb2.DESCRIPTOR.services_by_name["RoutingService"], routing),
        Service(cluster_pb2.DESCRIPTOR.services_by_name["ClusterService"], cluster),
        Service(
            key_pb2.DESCRIPTOR.services_by_name["KeyService"],
            KeyServicer(KeyDeps(parts.db, now_ms, authorizer.note_uses)),
        ),
    ]


def _select_one(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def _check_folder(folder: Path) -> None:
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise OSError(f"{folder} is not writable")


def _closing(close: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    """A blocking close as a cleanup, in a thread of its own."""

    async def run_it() -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="close") as executor:
            await asyncio.get_running_loop().run_in_executor(executor, close)

    return run_it
