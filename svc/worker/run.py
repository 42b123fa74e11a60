"""Starts the worker: opens its dependencies, serves the handlers, registers with Restate."""

import asyncio
import logging
import signal

from restate.logging import RestateLoggingFilter
from restate.server import install_shutdown_hook

from pkg.acme import AcmeServer
from pkg.clock import now_ms
from pkg.contexts import ContextChecker
from pkg.db import Database
from pkg.dns_providers.factory import open_provider
from pkg.lifecycle import Runner
from pkg.observability import ops, tracing
from pkg.observability.metrics import Metrics
from pkg.restate import RestateClient, serve
from pkg.secrets import Vault, load_master_key
from pkg.storage.preparing import prepare as prepare_store
from svc.worker.app import create_app
from svc.worker.config import WorkerConfig
from svc.worker.deps import WorkerDeps
from svc.worker.registration import register
from svc.worker.start_checks import report_what_does_not_work
from svc.worker.workflows.retention.registry import RegistryCleanup
from svc.worker.workflows.retention.standby import make_room_forever
from svc.worker.workflows.retention.sweep import sweep_forever, tasks_of

log = logging.getLogger(__name__)


async def run(config: WorkerConfig, runner: Runner) -> None:
    """Opens the dependencies, serves the handlers, registers, and returns; the runner owns the rest."""
    own_the_signals(runner)
    # a handler logs a line once, not again at every replay
    for handler in logging.getLogger().handlers:
        handler.addFilter(RestateLoggingFilter())
    deps = await open_dependencies(config, runner)
    await start(deps, runner)


async def open_dependencies(config: WorkerConfig, runner: Runner) -> WorkerDeps:
    """The production dependencies; closed when the runner stops. Migrates the database."""
    db = Database.open(config.database.url.reveal())
    runner.defer("database", db.close)
    await db.migrate()
    store = config.objects.open()
    runner.defer("objects", store.close)
    checker = ContextChecker(store)
    runner.defer("contexts", checker.close)
    telemetry = config.telemetry.open()
    runner.defer("telemetry", telemetry.close)
    builder = config.build.open_beside(config.builder_sections, db)
    runner.defer("builder", builder.close)
    acme = AcmeServer(config.tls) if config.tls.enabled and config.tls.uses_acme else None
    if acme is not None:
        runner.defer("acme", acme.close)
    client = RestateClient(config.restate.ingress, config.restate.admin)
    runner.defer("restate", client.close)
    return WorkerDeps(
        config=config,
        db=db,
        clock=now_ms,
        store=store,
        checker=checker,
        vault=Vault(load_master_key(config.vault.master_key_file)),
        builder=builder,
        telemetry=telemetry,
        restate=client,
        metrics=Metrics("worker", config.instance_id or ""),
        tracing=tracing.current(),
        stopping=runner.stopping,
        acme=acme,
        dns=None if config.tls.dns is None else open_provider(config.tls.dns),
    )


async def start(deps: WorkerDeps, runner: Runner) -> None:
    """Serves and registers with these dependencies."""
    config = deps.config
    registered = asyncio.Event()
    if config.metrics.listen is not None:
        await ops.serve(config.metrics.listen, deps.metrics, registered.is_set, runner)
    listener = serve.bind(config.http.listen)
    host, port = listener.getsockname()[:2]
    app = create_app(deps, [config.restate.identity_public_key])
    runner.spawn("http", serve.serve(app, listener, runner.stopping.wait), grace_s=serve.GRACE_S + 2)
    await serve.answers(port, host)
    runner.spawn("register", register(deps.restate, config.http.uri, registered))
    runner.spawn("prepare-objects", prepare_store(deps.store))
    runner.spawn("check", report_what_does_not_work(deps))
    runner.spawn("retention", sweep_forever(tasks_of(deps)))
    runner.spawn("room", make_room_forever(deps))
    if config.registry is not None:
        cleanup = RegistryCleanup(deps.db, deps.clock, config.registry)
        # by itself: a slow registry delays nothing else
        runner.spawn("registry", sweep_forever({"cleanup of the registry": cleanup.clean}))


def own_the_signals(runner: Runner) -> None:
    """The SDK puts its own handler in the place of ours at its first request; its hooks take several."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        install_shutdown_hook(loop, lambda name=number.name: runner.stop(name), number)  # type: ignore[misc]
