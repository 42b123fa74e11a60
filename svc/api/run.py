"""Builds the api from its configuration: dependencies, then tasks, then listeners; a stop goes in reverse."""

import logging
from dataclasses import dataclass
from functools import partial

from pkg.clock import now_ms
from pkg.db import Database
from pkg.domains.resolver import Resolver
from pkg.ids import new_id
from pkg.lifecycle import Runner
from pkg.lifecycle.threads import close_in_thread
from pkg.observability import tracing
from pkg.observability.logging import fields
from pkg.observability.metrics import Metrics
from pkg.registry.config import RegistryAddress
from pkg.restate import RestateClient
from pkg.retention.queries import give_up_in_registry
from pkg.secrets import KeyPurpose, Vault, load_master_key
from pkg.storage.port import ObjectStore
from pkg.storage.preparing import prepare as prepare_store
from pkg.workflows.deploy import DEPLOY_RUN
from svc.api.bootstrap import prepare
from svc.api.certificates.metrics import CertificateMetrics
from svc.api.certificates.sweep import CertificateSweep
from svc.api.config import ApiConfig
from svc.api.deps import ApiDeps
from svc.api.dispatch.dispatcher import Dispatcher
from svc.api.dispatch.notifier import Notifier
from svc.api.dispatch.reconciler import Reconciler
from svc.api.domains.checker import DomainChecker
from svc.api.execs.broker import ExecBroker
from svc.api.http.app import make_app
from svc.api.http.health import Health
from svc.api.jobs.sweep import EVERY_S as SWEEP_EVERY_S
from svc.api.jobs.sweep import JobSweep
from svc.api.loops import every
from svc.api.rpc import Authorizer, Clients, RpcPipeline, Service
from svc.api.servers import GrpcServer, HttpServer, bind_http
from svc.api.services.registry import SERVICERS, Registry

KEY_USES_WRITTEN_EVERY_S = 15.0
GIVE_UP_EVERY_S = 60.0

# Addresses that mean every one of this machine, and the one to connect to.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - compared, not listened on

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Api:
    """A running api: where it listens."""

    grpc_port: int
    http_port: int


async def run(config: ApiConfig, runner: Runner) -> None:
    """Starts the api; it runs until `runner` stops."""
    await start(config, runner)


async def start(config: ApiConfig, runner: Runner, servicers: Registry = SERVICERS) -> Api:
    """Builds, starts and registers everything with `runner`.

    Raises:
        ConfigError: what the operator must change.
        TypeError, ValueError: a servicer lacks a method, or a method declares no access.
    """
    listener = bind_http(config.http.listen)
    http_port = int(listener.getsockname()[1])
    runner.defer("http socket", partial(close_in_thread, listener.close))
    local_url = _local_url(config.http.listen, http_port)
    store = config.objects.open(served_at=config.http.external_url or local_url)
    runner.defer("objects", store.close)
    deps = await _deps(config, local_url, store, runner)
    services = [Service(descriptor, servicer(deps)) for descriptor, servicer in servicers.items()]
    clients = Clients(config.trusted_proxies)
    pipeline = RpcPipeline(deps.authorizer, deps.metrics, tracing.current(), clients)
    checks = {
        "database": deps.db.check_reads,
        "writes": deps.db.check_writes,
        "restate": lambda: deps.restate.workflow_status(DEPLOY_RUN, "health"),
        "objects": store.check,
    }
    # A write waits for the commits that are before it in the queue of a slow disk.
    health = Health(checks, runner.stopping, timeout_s=2.0)
    app = make_app(
        health=health,
        registry=deps.metrics,
        metrics_from=config.http.metrics_from,
        store=store,
        services=services,
        pipeline=pipeline,
        tracing=tracing.current(),
        clients=clients,
    )
    _tasks(deps, runner)
    refused = deps.metrics.counter(
        "http_refused", "Refused before parsing: connections over a limit, and requests that are not HTTP.", ["reason"]
    )
    http = HttpServer(app, listener, pipeline, lambda reason: refused.labels(reason).inc())
    await http.start()
    runner.defer("http", http.stop)
    grpc = GrpcServer(config.grpc.listen, services, pipeline)
    await grpc.start()
    runner.defer("grpc", grpc.stop)
    health.started()
    runner.spawn("prepare-objects", prepare_store(store))
    log.info("listening", extra=fields(grpc_port=grpc.port, http_port=http_port))
    return Api(grpc.port, http_port)


def _local_url(listen: str, port: int) -> str:
    """Under which this machine reaches a listener."""
    host = listen.rpartition(":")[0]
    return f"http://{_LOOPBACK.get(host, host)}:{port}"


async def _deps(config: ApiConfig, local_url: str, store: ObjectStore, runner: Runner) -> ApiDeps:
    instance_id = config.instance_id or new_id("inst")
    vault = Vault(load_master_key(config.vault.master_key_file))
    db = Database.open(config.database.url.reveal())
    runner.defer("database", db.close)
    installation = await prepare(config, db, now_ms)
    telemetry = config.telemetry.open()
    runner.defer("telemetry", telemetry.close)
    restate = RestateClient(config.restate.ingress, config.restate.admin)
    runner.defer("restate", restate.close)
    authorizer = Authorizer(db, now_ms)
    runner.defer("key uses", authorizer.note_uses)
    return ApiDeps(
        config=config,
        instance_id=instance_id,
        local_url=local_url,
        installation=installation,
        build_backend=config.build.backend,
        db=db,
        clock=now_ms,
        telemetry=telemetry,
        store=store,
        restate=restate,
        vault=vault,
        metrics=Metrics("api", instance_id),
        authorizer=authorizer,
        dispatcher=Dispatcher(db, restate, now_ms, tracing.current()),
        notifier=Notifier(restate),
        payload_key=vault.derived_key(KeyPurpose.IDEMPOTENCY_PAYLOAD),
        execs=ExecBroker(config.exec),
    )


def _tasks(deps: ApiDeps, runner: Runner) -> None:
    reconciler = Reconciler(deps.db, deps.restate, deps.dispatcher, deps.metrics, now_ms)
    runner.spawn("key-uses", every(KEY_USES_WRITTEN_EVERY_S, deps.authorizer.note_uses))
    runner.spawn("notifier", deps.notifier.run())
    if deps.config.registry is not None:
        runner.spawn("registry", every(GIVE_UP_EVERY_S, partial(_give_up_images, deps, deps.config.registry)))
    if deps.config.tls.enabled:
        sweep = CertificateSweep(
            deps.db, deps.clock, deps.vault, deps.config.tls, deps.config.ingress, deps.dispatcher,
            CertificateMetrics(deps.metrics, deps.clock),
        )  # fmt: skip
        runner.spawn("certificates", sweep.run())
    runner.spawn("reconciler", reconciler.run())
    runner.spawn("jobs", every(SWEEP_EVERY_S, JobSweep(deps.db, deps.clock).sweep))
    runner.spawn("domains", _domain_checker(deps).run())
    runner.spawn("dispatcher", deps.dispatcher.run())


def _domain_checker(deps: ApiDeps) -> DomainChecker:
    config = deps.config
    return DomainChecker(
        deps.db,
        Resolver(config.domains),
        deps.clock,
        deps.metrics,
        ingress=config.ingress,
        tls=config.tls,
        addresses=config.domains.addresses,
    )


async def _give_up_images(deps: ApiDeps, registry: RegistryAddress) -> None:
    """Decides which images in the registry nothing needs any more; the workers, which may push, delete them."""
    per_environment = deps.config.retention.images_per_environment
    given_up = await deps.db.write(
        lambda connection: give_up_in_registry(
            connection, registry.url, per_environment=per_environment, now=deps.clock()
        )
    )
    if given_up:
        log.info("images in the registry are needed no more", extra=fields(images=given_up))
