"""krane, put together: what it is made of and in which order that comes to life."""

import asyncio
import logging
from dataclasses import dataclass

from pkg.clock import now_ms
from pkg.config import read_secret_file
from pkg.config.sections import split_address
from pkg.errors import Unavailable
from pkg.lifecycle import Runner
from pkg.observability import ops, tracing
from pkg.observability.logging import fields
from pkg.observability.metrics import Metrics
from svc.krane.backend.docker.recipe import Identity
from svc.krane.backend.docker.runtime import DockerRuntime
from svc.krane.backend.port import Runtime
from svc.krane.config import KraneConfig
from svc.krane.controller.api import ClusterApi
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.deployment import Parts
from svc.krane.controller.desired import Change, DesiredState
from svc.krane.controller.feed import Feed
from svc.krane.controller.presence import Presence
from svc.krane.controller.probes import Prober
from svc.krane.controller.reconcile import Reconciler
from svc.krane.controller.reports import Reporter
from svc.krane.controller.route_spans import RouteSpans
from svc.krane.controller.routing import Routing
from svc.krane.controller.snapshot import SnapshotFile, SnapshotKeeper
from svc.krane.ingress.ads import AdsServer
from svc.krane.ingress.ingress import EnvoyIngress
from svc.krane.ingress.listener import ListenerSpec
from svc.krane.ingress.port import Ingress
from svc.krane.ingress.sharing import ConnectionSharing
from svc.krane.metrics import KraneMetrics

log = logging.getLogger(__name__)

PARALLEL_STARTS = 6  # a Docker engine takes about 0.25 s a container, one after the other
SETTLE_S = 1.5


@dataclass(frozen=True)
class Timing:
    """Durations that tests shorten."""

    resync_s: float = 30.0
    stop_grace_s: int = 10
    retry_s: tuple[float, float] = (30.0, 300.0)


async def run(config: KraneConfig, runner: Runner) -> None:
    """Builds krane and spawns its tasks.

    Returns once the engine answers and, without a stored snapshot, the api knows us; with one it does not wait for the
    api. Raises ConfigError for a key file it may not use and FailedPrecondition for a network that is someone else's.
    """
    host, port = split_address(config.ingress.listen)
    ingress = EnvoyIngress(ListenerSpec(host, port, trusted_proxies=config.ingress.trusted_proxies))
    server = AdsServer(ingress, config.ingress.ads_socket)
    await server.start()
    runner.defer("ads", server.stop)
    runner.spawn("connection sharing", ConnectionSharing(config.ingress.admin_socket).run())
    await start(config, runner, ingress)


async def start(config: KraneConfig, runner: Runner, ingress: Ingress, timing: Timing | None = None) -> None:
    """`run` with an ingress that is there already."""
    timing = timing or Timing()
    instance_id = config.instance_id or ""
    metrics = KraneMetrics(Metrics("krane", instance_id), config.region)
    ready = asyncio.Event()
    if config.metrics.listen:
        await ops.serve(config.metrics.listen, metrics.metrics, ready.is_set, runner)

    key = read_secret_file(config.api.key_file)
    api = ClusterApi(config.api.target, key.decode("ascii").strip(), is_tls=config.api.is_tls)
    runner.defer("api channel", api.close)
    presence = Presence(api, config.region, instance_id, DockerRuntime.kind)

    desired = DesiredState()
    file = SnapshotFile(config.state_dir, key, config.region)
    file.sweep()
    stored = file.load(desired)
    installation_id = stored or (await presence.register()).installation_id
    keeper = SnapshotKeeper(file, desired, installation_id)
    runner.defer("snapshot writer", keeper.close)

    runtime = DockerRuntime(str(config.docker.socket), Identity(installation_id, config.region), config.docker.network)
    runner.defer("engine", runtime.close)
    engine = await _open(runtime)
    log.info("engine found", extra=fields(engine=engine, region=config.region, from_snapshot=stored is not None))

    reporter = Reporter(config.region, api.report_instances, now_ms)
    parts = _parts(runtime, ingress, reporter, desired, metrics, timing, runner)
    reconciler = Reconciler(parts, timing.resync_s)
    spans = RouteSpans(tracing.current(), desired, api.report_applied)
    runner.defer("route spans", spans.close)
    routing = Routing(config.region, desired, ingress, keeper, spans.report, metrics)
    is_known = asyncio.Event()

    def on_change(change: Change) -> None:
        """Routes first: an instance that should stop must find itself unlisted or wait for it."""
        spans.changed(change)
        ticket = keeper.current if change.head else keeper.changed()
        routing.changed(change, ticket)
        reconciler.apply(change)
        metrics.desired(change.version)
        is_known.set()

    if stored is not None:
        on_change(Change(desired.version, desired.deployment_ids(), routes=True, snapshot=True))
    runner.spawn("snapshot", keeper.run())
    runner.spawn("reports", reporter.run())
    runner.spawn("reconcile", reconciler.run())
    runner.spawn("routing", routing.run())
    runner.spawn("feed", Feed(api, config.region, desired, on_change, metrics).run())
    runner.spawn("presence", presence.run(installation_id, engine))
    runner.spawn("open ingress", _open_ingress(is_known, reconciler, ingress, ready))


def _parts(
    runtime: Runtime,
    ingress: Ingress,
    reporter: Reporter,
    desired: DesiredState,
    metrics: KraneMetrics,
    timing: Timing,
    runner: Runner,
) -> Parts:
    prober = Prober()
    runner.defer("prober", prober.close)
    return Parts(
        runtime=runtime,
        ingress=ingress,
        prober=prober,
        reporter=reporter,
        desired=desired,
        slots=asyncio.Semaphore(PARALLEL_STARTS),
        tracing=tracing.current(),
        metrics=metrics,
        stop_grace_s=timing.stop_grace_s,
        retry_s=timing.retry_s,
    )


async def _open_ingress(
    is_known: asyncio.Event, reconciler: Reconciler, ingress: Ingress, ready: asyncio.Event
) -> None:
    """Lets the data plane ask once a complete snapshot is in force and what runs was probed."""
    await is_known.wait()
    if not await reconciler.settle(SETTLE_S):
        log.warning("not every known instance was probed in time; the ingress starts without them")
    ingress.mark_ready()
    ready.set()


async def _open(runtime: Runtime) -> str:
    """Waits for the engine: it may start after us."""
    backoff = Backoff(0.2, 5)
    while True:
        try:
            return await runtime.open()
        except Unavailable as error:
            log.warning("the engine is not there yet; trying again", extra=fields(error=error.message))
        await asyncio.sleep(backoff.next_s())
