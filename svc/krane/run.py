"""krane, put together: what it is made of and in which order that comes to life."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pkg.clock import now_ms
from pkg.config import read_secret_file
from pkg.config.sections import is_loopback, split_address
from pkg.errors import Unavailable
from pkg.lifecycle import Runner
from pkg.observability import ops, tracing
from pkg.observability.logging import fields
from pkg.observability.metrics import Metrics
from svc.krane.config import Ingress as IngressConfig
from svc.krane.config import KraneConfig
from svc.krane.controller.access_reports import EVERY_S, AccessReports
from svc.krane.controller.api import ClusterApi
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.contact import Contact, Service, replica_id
from svc.krane.controller.departure import GRACE_S, Departure
from svc.krane.controller.deps import DRAIN_S, KraneDeps
from svc.krane.controller.desired import Change, DesiredState
from svc.krane.controller.endpoints import Endpoints, EndpointsFile, boot_id
from svc.krane.controller.execs import Execs
from svc.krane.controller.feed import Feed
from svc.krane.controller.images import ImageCleanup
from svc.krane.controller.jobs import Jobs
from svc.krane.controller.log_shipping import LogShipping
from svc.krane.controller.log_throttle import LogLimits
from svc.krane.controller.reconcile import Reconciler
from svc.krane.controller.registration import Registration
from svc.krane.controller.releases import Releases
from svc.krane.controller.reports import Reporter
from svc.krane.controller.route_spans import RouteSpans
from svc.krane.controller.routing import Routing
from svc.krane.controller.snapshot import SnapshotFile, snapshot_writer
from svc.krane.controller.usage_reports import EVERY_S as USAGE_EVERY_S
from svc.krane.controller.usage_reports import UsageReports
from svc.krane.ingress.access_stats import AccessStats
from svc.krane.ingress.ads import AdsServer
from svc.krane.ingress.api_host import ApiSpec
from svc.krane.ingress.ingress import EnvoyIngress
from svc.krane.ingress.listener import ListenerSpec
from svc.krane.ingress.out_of_service import OutOfService
from svc.krane.ingress.port import Ingress
from svc.krane.ingress.sharing import ConnectionSharing
from svc.krane.ingress.tls import TlsSpec
from svc.krane.metrics import KraneMetrics
from svc.krane.runtime import factory
from svc.krane.runtime.port import Runtime, RuntimeContext
from svc.krane.runtime.replicas import ReplicaContext, Replicas

log = logging.getLogger(__name__)

PROBE_WAIT_S = 1.5


@dataclass(frozen=True)
class Timing:
    """Durations that tests shorten."""

    resync_s: float = 30.0
    stop_grace_s: int = 10
    drain_s: float = DRAIN_S
    retry_s: tuple[float, float] = (30.0, 300.0)
    first_cleanup_s: float = 10.0
    access_s: float = EVERY_S
    usage_s: float = USAGE_EVERY_S


async def run(config: KraneConfig, runner: Runner) -> None:
    """Builds krane and spawns its tasks.

    Returns at once with a stored snapshot; without one, once the api knows us. It waits for no engine: until that
    answers, nothing is reported about instances. Raises ConfigError for a key file it may not use. A
    network that is someone else's ends krane with FailedPrecondition.
    """
    ingress = EnvoyIngress(_listener_spec(config.ingress))
    server = AdsServer(ingress, config.ingress.ads_socket)
    await server.start()
    runner.defer("ads", server.stop)
    runner.spawn("connection sharing", ConnectionSharing(config.ingress.admin_socket).run())
    await start(config, runner, ingress)


async def start(config: KraneConfig, runner: Runner, ingress: Ingress, timing: Timing | None = None) -> None:
    """`run` with an ingress that is there already."""
    timing = timing or Timing()
    ready = asyncio.Event()
    service = Service(ready.is_set)
    metrics = await _metrics(config, service, runner)

    key, api = _api(config, runner)
    is_shared = factory.is_shared(config)
    contact = Contact(api, replica_id(config.state_dir), is_shared=is_shared)
    registration = Registration(contact, config.region, config.instance_id or "", config.runtime.backend)

    desired = DesiredState()
    file = SnapshotFile(config.state_dir, key, config.region)
    stored = file.load(desired)
    installation_id = stored or (await registration.register()).installation_id
    snapshot = snapshot_writer(file, desired, installation_id)
    runner.defer("snapshot writer", snapshot.close)

    endpoints = Endpoints(ingress, EndpointsFile(config.state_dir, key, config.region), boot_id())
    runner.defer("endpoints writer", endpoints.close)
    has_memory = endpoints.restore()
    access = _access_reports(config, api, contact, key, timing, runner)
    replicas = registration.replicas = _replicas(config, installation_id, contact, runner)
    runtime = _runtime(config, installation_id, endpoints, replicas, runner)

    reporter = Reporter(config.region, api.report_instances, now_ms, lambda: replicas.term)
    releases = Releases(config.region, replicas, desired, api.list_released)
    deps = _deps(
        runtime,
        ingress,
        endpoints,
        reporter,
        releases,
        _log_shipping(config, runtime, desired, api, replicas, runner),
        _usage_reports(config, runtime, api, replicas, key, timing, runner),
        desired,
        metrics,
        timing,
        runner,
    )
    reconciler = Reconciler(deps, timing.resync_s)
    jobs = Jobs(
        config.region, runtime, desired, deps.logs, api.report_jobs, deps.engine_found, lambda: replicas.term,
        timing.stop_grace_s,
    )  # fmt: skip
    spans = _spans(desired, contact, runner)
    routing = Routing(
        config.region, desired, ingress, snapshot, endpoints.wait_saved, spans.report, metrics, is_shared=is_shared
    )
    contact.on_uncounted = routing.report_again
    is_known = asyncio.Event()

    def on_change(change: Change) -> None:
        """Routes first: an instance that should stop must find itself unlisted or wait for it."""
        spans.changed(change)
        generation = snapshot.generation if change.head else snapshot.changed()
        routing.changed(change, generation)
        reconciler.apply(change)
        jobs.changed()
        metrics.desired(change.version)
        is_known.set()

    def on_engine(engine: str) -> None:
        registration.engine = engine
        log.info("engine found", extra=fields(engine=engine, region=config.region, from_snapshot=stored is not None))
        deps.engine_found.set()

    if stored is not None:
        on_change(desired.everything())
    feed = Feed(api, config.region, desired, on_change, metrics, replica_id=contact.replica_id)
    for name, work in (
        ("snapshot", snapshot.run()),
        ("endpoints", endpoints.run()),
        ("reports", reporter.run()),
        ("access reports", access.run()),
        ("usage reports", deps.usage.run(deps.engine_found)),
        ("reconcile", reconciler.run()),
        ("jobs", jobs.run()),
        ("routing", routing.run()),
        ("feed", feed.run()),
        ("registration", registration.run(installation_id, runtime.check)),
        ("engine", _open(runtime, on_engine)),
        ("execs", Execs(config.region, contact.replica_id, runtime, api).run(deps.engine_found)),
        ("image cleanup", _cleanup(config, api, deps).run(deps.engine_found, timing.first_cleanup_s)),
    ):
        runner.spawn(name, work)
    runner.spawn("open ingress", _open_ingress(is_known, has_memory, reconciler, ingress, ready))
    if is_shared:
        _take_part(config, runner, contact, replicas, service, reconciler, metrics)


def _api(config: KraneConfig, runner: Runner) -> tuple[bytes, ClusterApi]:
    key = read_secret_file(config.api.key_file)
    api = ClusterApi(config.api.target, key.decode("ascii").strip(), is_tls=config.api.is_tls)
    runner.defer("api channel", api.close)
    return key, api


def _listener_spec(config: IngressConfig) -> ListenerSpec:
    host, port = split_address(config.listen)
    tls = api = None
    if config.tls_listen:
        address = split_address(config.tls_listen)
        tls = TlsSpec(*address, config.public_tls_port, config.redirect, config.hsts_max_age_s)
    if config.api_hostname:
        grpc, http = split_address(config.api_grpc), split_address(config.api_http)
        api = ApiSpec(config.api_hostname, grpc, http, is_plain_allowed=is_loopback(config.listen))
    access_log = Path(config.access_log) if config.access_log else None
    return ListenerSpec(host, port, access_log, config.trusted_proxies, tls, api)


async def _metrics(config: KraneConfig, service: Service, runner: Runner) -> KraneMetrics:
    metrics = KraneMetrics(Metrics("krane", config.instance_id or ""), config.region)
    if config.metrics.listen:
        address = config.metrics.listen
        await ops.serve(address, metrics.metrics, service.is_ready, runner, is_started=service.is_started)
    return metrics


def _take_part(
    config: KraneConfig,
    runner: Runner,
    contact: Contact,
    replicas: Replicas,
    service: Service,
    reconciler: Reconciler,
    metrics: KraneMetrics,
) -> None:
    """Makes this krane one of several."""
    service.use(contact, replicas)
    metrics.replica({
        "leading": lambda: replicas.term is not None,
        "counted": lambda: contact.is_counted is True,
        "in_contact": lambda: contact.is_there,
        "in_service": service.is_ready,
    })  # fmt: skip
    runner.spawn("replicas", replicas.run())
    runner.spawn("leadership", _lead(replicas, reconciler, metrics))
    runner.spawn("out of service", OutOfService(config.ingress.admin_socket, service.is_allowed).run())
    departure = Departure(runner.stopping, contact, replicas, config.ingress, config.region, config.instance_id or "")
    runner.spawn("departure", departure.run(), grace_s=GRACE_S)  # last: everything else goes on until it has ended


def _replicas(config: KraneConfig, installation_id: str, contact: Contact, runner: Runner) -> Replicas:
    context = ReplicaContext(installation_id, contact.replica_id, lambda: contact.is_there, lambda: contact.last)
    replicas = factory.replicas(config, context)
    runner.defer("replicas", replicas.close)
    return replicas


async def _lead(replicas: Replicas, reconciler: Reconciler, metrics: KraneMetrics) -> None:
    """Has everything looked at and reported each time that this replica becomes the leader."""
    term = None
    while True:
        term = await replicas.term_changed(term)
        if term is None:
            log.warning("another krane may lead this region now")
            continue
        log.info("this krane leads the region", extra=fields(term=term))
        metrics.leads()
        reconciler.lead()


def _runtime(
    config: KraneConfig, installation_id: str, endpoints: Endpoints, replicas: Replicas, runner: Runner
) -> Runtime:
    context = RuntimeContext(installation_id, endpoints.unusable_addresses, lambda: replicas.term is not None)
    runtime = factory.make(config, context)
    runner.defer("runtime", runtime.close)
    return runtime


def _access_reports(
    config: KraneConfig, api: ClusterApi, contact: Contact, key: bytes, timing: Timing, runner: Runner
) -> AccessReports:
    pool = ThreadPoolExecutor(1, thread_name_prefix="access")
    stats = AccessStats(config.ingress.admin_socket, now_ms, pool)
    reports = AccessReports(
        config.region, contact.replica_id, stats.read, api.report_access, config.state_dir, key, pool, timing.access_s
    )
    runner.defer("access reports", reports.close)
    return reports


def _usage_reports(
    config: KraneConfig,
    runtime: Runtime,
    api: ClusterApi,
    replicas: Replicas,
    key: bytes,
    timing: Timing,
    runner: Runner,
) -> UsageReports:
    reports = UsageReports(
        config.region,
        runtime,
        api.report_usage,
        config.state_dir,
        key,
        now_ms,
        lambda: replicas.term,
        timing.usage_s,
    )
    runner.defer("usage reports", reports.close)
    return reports


def _log_shipping(
    config: KraneConfig, runtime: Runtime, desired: DesiredState, api: ClusterApi, replicas: Replicas, runner: Runner
) -> LogShipping:
    limits = LogLimits(config.logs.kib_per_s << 10, config.logs.burst_mib << 20)
    logs = LogShipping(config.region, runtime, desired, api.report_logs, limits, lambda: replicas.term)
    runner.spawn("logs", logs.run())
    return logs


def _cleanup(config: KraneConfig, api: ClusterApi, deps: KraneDeps) -> ImageCleanup:
    return ImageCleanup(config.region, deps.runtime, api.report_images, deps.metrics)


def _spans(desired: DesiredState, contact: Contact, runner: Runner) -> RouteSpans:
    spans = RouteSpans(tracing.current(), desired, contact.report_applied)
    runner.defer("route spans", spans.close)
    return spans


def _deps(
    runtime: Runtime,
    ingress: Ingress,
    endpoints: Endpoints,
    reporter: Reporter,
    releases: Releases,
    logs: LogShipping,
    usage: UsageReports,
    desired: DesiredState,
    metrics: KraneMetrics,
    timing: Timing,
    runner: Runner,
) -> KraneDeps:
    return KraneDeps(
        runtime=runtime,
        ingress=ingress,
        endpoints=endpoints,
        reporter=reporter,
        releases=releases,
        logs=logs,
        usage=usage,
        desired=desired,
        engine_found=asyncio.Event(),
        tracing=tracing.current(),
        metrics=metrics,
        stop_grace_s=timing.stop_grace_s,
        drain_s=timing.drain_s,
        retry_s=timing.retry_s,
    )


async def _open_ingress(
    is_known: asyncio.Event, has_memory: bool, reconciler: Reconciler, ingress: Ingress, ready: asyncio.Event
) -> None:
    """Lets the data plane ask once a complete snapshot is in force.

    Without a memory of what the instances answered, it also waits a moment until they were seen and probed; what is
    not known after that is left as the data plane has it.
    """
    await is_known.wait()
    if not has_memory and not await reconciler.wait_probed(PROBE_WAIT_S):
        log.warning("not every known instance was probed in time; what is not known is left as it is")
    ingress.mark_ready()
    ready.set()


async def _open(runtime: Runtime, on_engine: Callable[[str], None]) -> None:
    """Waits for the engine, however long: it may start after us."""
    backoff = Backoff(0.2, 5)
    while True:
        try:
            on_engine(await runtime.open())
            return
        except Unavailable as error:
            log.warning("the engine is not there yet; trying again", extra=fields(error=error.message))
        await asyncio.sleep(backoff.next_s())
