"""The servicer of ClusterService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from sqlalchemy import Connection

from pkg import installation
from pkg.deployments import queries as deployments
from pkg.errors import FailedPrecondition, InvalidArgument
from pkg.feed import queries as desired
from pkg.images import StoredImage
from pkg.installation import Installation
from pkg.jobs import queries as job_queries
from pkg.jobs.model import Job, JobKind
from pkg.observability.logging import fields
from pkg.regions import krane_replicas, queries, votes
from pkg.regions.krane_replicas import Contact
from pkg.regions.queries import InstanceRow
from pkg.retention.queries import take_unused
from pkg.routes import queries as routes
from pkg.workflows import queries as workflows
from pkg.workflows.deploy import DEPLOY_RELEASED
from pkg.workflows.queries import Recipient
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import exec_pb2, log_pb2, usage_pb2
from svc.api.deps import ApiDeps
from svc.api.execs.relay import krane_call
from svc.api.feed.producer import Rendering
from svc.api.feed.producers import PRODUCERS
from svc.api.feed.reader import Watcher
from svc.api.feed.stream import stream
from svc.api.logs import intake
from svc.api.requests.portability import check_region_is_served
from svc.api.rpc import Call
from svc.api.services.cluster import access, jobs, usage, validation
from svc.api.services.cluster.adoption import with_port

log = logging.getLogger(__name__)


class ClusterServicer:
    """The calls of krane. A key is valid for its own region only."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        rendering = Rendering(deps.vault, deps.config.ingress)
        self._logs = intake.LogIntake(deps.telemetry, deps.config.logs.mib_per_deployment << 20)
        self._producers = [make(rendering) for make in PRODUCERS]

    async def Register(self, request: pb.RegisterRequest, call: Call) -> pb.RegisterResponse:
        """Idempotent. Creates the region on its first call, unless it could not run what builds make."""
        known = validation.registration(request)
        ours = await self._deps.db.write(self._register, known)
        log.info("region registered", extra=fields(region=known.region, krane_instance_id=known.instance_id))
        return pb.RegisterResponse(
            installation_id=ours.installation_id,
            epoch=ours.epoch,
            heartbeat_interval_s=votes.SHARED_HEARTBEAT_INTERVAL_S if known.is_shared else votes.HEARTBEAT_INTERVAL_S,
            contact_timeout_s=votes.CONTACT_TIMEOUT_S,
        )

    def _register(self, connection: Connection, known: validation.Registration) -> Installation:
        check_region_is_served(connection, self._deps.config, known.region, known.runtime)
        queries.register(
            connection,
            name=known.region,
            krane_instance_id=known.instance_id,
            krane_version=known.version,
            runtime=known.runtime,
            engine=known.engine,
            now=self._deps.clock(),
            capabilities=known.capabilities,
            host=known.host,
            replica_id=known.replica_id,
            is_shared=known.is_shared,
        )
        return _ours(connection)

    async def WatchDesiredState(
        self, request: pb.WatchDesiredStateRequest, call: Call
    ) -> AsyncGenerator[pb.WatchDesiredStateResponse, None]:
        """Snapshot or changes after the cursor, then every change as it is committed."""
        region = await self._deps.db.read(queries.get, request.region)
        if region is None:
            raise _not_registered(request.region)
        capabilities = validation.capabilities(request.capabilities)
        validation.replica_id(request.replica_id)
        # krane registers when it starts; since then this api may have been upgraded, or the database restored
        replica = await self._deps.db.read(krane_replicas.get, request.region, request.replica_id)
        if replica is not None and capabilities and list(capabilities) != replica.capabilities_json:
            await self._deps.db.write(
                krane_replicas.note_capabilities, request.region, request.replica_id, capabilities, self._deps.clock()
            )
        log.info("desired state watched", extra=fields(region=request.region, after_version=request.after_version))
        messages = stream(
            self._deps.db,
            self._producers,
            Watcher(request.region, frozenset(request.capabilities)),
            epoch=request.epoch,
            after_version=request.after_version,
        )
        async with aclosing(messages):
            async for message in messages:
                yield message

    async def ReportApplied(self, request: pb.ReportAppliedRequest, call: Call) -> pb.ReportAppliedResponse:
        """The ingress has acknowledged every change up to version, but for the named ones. Never goes back."""
        nacks, still_served = validation.nacks(request), validation.still_served(request)
        validation.replica_id(request.replica_id)
        contact, waiting = await self._deps.db.write(self._applied, request, nacks, still_served)
        for handler, key in waiting:
            self._deps.notifier.notify(handler, key)
        for version, hostname, message in nacks:
            log.warning(
                "the ingress refused a route",
                extra=fields(region=request.region, version=version, hostname=hostname, reason=message),
            )
        return pb.ReportAppliedResponse(is_counted=contact.is_counted)

    def _applied(
        self,
        connection: Connection,
        request: pb.ReportAppliedRequest,
        nacks: list[tuple[int, str, str]],
        still_served: list[str],
    ) -> tuple[Contact, list[Recipient]]:
        if request.epoch != _ours(connection).epoch:
            raise FailedPrecondition(
                "region.epoch_mismatch",
                f"epoch {request.epoch[:64]!r} is not this installation's: register again and begin from a snapshot.",
                field="epoch",
            )
        region = queries.get(connection, request.region)
        if region is None:
            raise _not_registered(request.region)
        head = desired.head(connection).version
        if request.version > head:
            raise InvalidArgument("version", f"{request.version} is past the newest version, {head}")
        now = self._deps.clock()
        unsupported = sorted(set(request.unsupported_versions))[-validation.MAX_UNSUPPORTED :]
        contact = krane_replicas.applied(
            connection,
            request.region,
            request.version,
            nacks,
            now,
            replica_id=request.replica_id,
            unsupported=unsupported,
            still_served=still_served,
        )
        if contact is None:
            raise _not_registered(request.region)
        if contact.has_advanced:
            self._note_lag(connection, request.region, contact.region_version, now)
        return contact, workflows.awaiting_applied(connection, now)

    def _note_lag(self, connection: Connection, region: str, version: int, now: int) -> None:
        committed_at = desired.committed_at(connection, version)
        if committed_at is not None:
            self._deps.metrics.reconciled(region, (now - committed_at) / 1000)

    async def ReportInstances(self, request: pb.ReportInstancesRequest, call: Call) -> pb.ReportInstancesResponse:
        """Later reports of one instance win by observed_at; a complete one forgets what it does not list.

        FailedPrecondition `region.not_leading`: another replica has become the leader since.
        """
        validation.leader_term(request)
        seen = validation.instances(request.region, request.instances)
        found = validation.found_ports(request.instances)
        waiting = await self._deps.db.write(self._reported, request, seen, found)
        for handler, key in waiting:
            self._deps.notifier.notify(handler, key)
        return pb.ReportInstancesResponse()

    def _reported(
        self,
        connection: Connection,
        request: pb.ReportInstancesRequest,
        seen: list[InstanceRow],
        found: dict[tuple[str, int], int],
    ) -> list[Recipient]:
        region = request.region
        if queries.get(connection, region) is None:
            raise _not_registered(region)
        first = min((row.observed_at for row in seen), default=self._deps.clock())
        self._check_leads(connection, region, request.leader_term, first)
        ids = {row.deployment_id for row in seen}
        known = deployments.existing(connection, ids)
        # of another time or installation: krane stops them, they mean nothing here
        now = self._deps.clock()
        queries.note_report(connection, region, now)
        seen = [
            row if row.process else with_port(connection, row, found.get((row.deployment_id, row.replica), 0), now)
            for row in seen
            if row.deployment_id in known
        ]
        touched = {row.deployment_id for row in seen if queries.report(connection, row, now)}
        if request.complete:
            listed = [(row.deployment_id, row.process, row.replica) for row in seen]
            touched |= set(queries.keep_only(connection, region, listed, now))
        return workflows.awaiting_instances(connection, touched, now)

    async def ReportJobs(self, request: pb.ReportJobsRequest, call: Call) -> pb.ReportJobsResponse:
        """Idempotent: a job ends once. FailedPrecondition `region.not_leading`, as `ReportInstances`."""
        validation.leader_term(request)
        reports = jobs.reports(request)
        ended, waiting = await self._deps.db.write(self._reported_jobs, request, reports)
        for handler, key in waiting:
            self._deps.notifier.notify(handler, key)
        for job in ended:
            extra = fields(job_id=job.id, kind=job.kind, status=job.status, deployment_id=job.deployment_id)
            log.info("job ended", extra=extra)
        return pb.ReportJobsResponse()

    def _reported_jobs(
        self, connection: Connection, request: pb.ReportJobsRequest, reports: list[jobs.JobReport]
    ) -> tuple[list[Job], list[Recipient]]:
        if queries.get(connection, request.region) is None:
            raise _not_registered(request.region)
        now, ended = self._deps.clock(), []
        self._check_leads(connection, request.region, request.leader_term, now)
        for report in reports:
            known = job_queries.get(connection, report.job_id)
            if known is None:  # of another time or installation: krane removes it
                continue
            job = job_queries.report(connection, request.region, report.seen_of(known), now)
            if job is not None:
                ended.append(job)
        released = [job.deployment_id for job in ended if job.kind is JobKind.RELEASE]
        return ended, [(DEPLOY_RELEASED, deployment_id) for deployment_id in released]

    def _check_leads(self, connection: Connection, region: str, term: int, first: int) -> None:
        if not krane_replicas.note_leader(connection, region, term, first):
            raise FailedPrecondition(
                "region.not_leading", f"term {term} is over: another krane leads the region {region!r}."
            )

    async def ReportImages(self, request: pb.ReportImagesRequest, call: Call) -> pb.ReportImagesResponse:
        """Which of these nothing needs any more; their rows are cleared first, so that no rollback goes there."""
        images = validation.images(request)
        unneeded = await self._deps.db.write(self._unneeded, request.region, images)
        return pb.ReportImagesResponse(unused=[str(image.image_ref) for image in unneeded])

    def _unneeded(self, connection: Connection, region: str, images: list[StoredImage]) -> list[StoredImage]:
        if queries.get(connection, region) is None:
            raise _not_registered(region)
        config = self._deps.config
        return take_unused(
            connection,
            images,
            per_environment=config.retention.images_per_environment,
            now=self._deps.clock(),
            registry_url=config.registry.url if config.registry else "",
        )

    async def ReportAccess(self, request: pb.ReportAccessRequest, call: Call) -> pb.ReportAccessResponse:
        """Idempotent. Unavailable `telemetry.unavailable` while the store is away: krane repeats the reports."""
        reported = access.reported(request)
        places = await self._deps.db.read(self._places, request.region, {one.deployment_id for one in reported})
        records = access.records(reported, places, request.region, request.replica_id, self._deps.clock())
        await self._deps.telemetry.access.store(records)
        return pb.ReportAccessResponse()

    def _places(self, connection: Connection, region: str, ids: set[str]) -> dict[str, deployments.Place]:
        if queries.get(connection, region) is None:
            raise _not_registered(region)
        return deployments.places(connection, ids)

    async def ReportLogs(self, request: log_pb2.ReportLogsRequest, call: Call) -> log_pb2.ReportLogsResponse:
        """Idempotent. Unavailable `telemetry.unavailable` while the store is away: krane repeats the report."""
        found = intake.batches(request)
        ids = {batch.source.deployment_id for batch in found}
        places = await self._deps.db.read(self._places, request.region, ids)
        heads = await self._logs.store([batch for batch in found if batch.source.deployment_id in places])
        return log_pb2.ReportLogsResponse(heads=heads)

    async def ReportUsage(self, request: usage_pb2.ReportUsageRequest, call: Call) -> usage_pb2.ReportUsageResponse:
        """Idempotent. Unavailable `telemetry.unavailable` while the store is away: a later report says all of it."""
        usage.check(request)
        places = await self._deps.db.read(self._places, request.region, {one.deployment_id for one in request.reports})
        await self._deps.telemetry.usage.store(usage.records(request, places, self._deps.clock()))
        return usage_pb2.ReportUsageResponse()

    async def Heartbeat(self, request: pb.HeartbeatRequest, call: Call) -> pb.HeartbeatResponse:
        """FailedPrecondition `region.not_registered`: krane is to register again."""
        contact, leader_term, waiting = await self._deps.db.write(self._heartbeat, request)
        for handler, key in waiting:
            self._deps.notifier.notify(handler, key)
        for replica_id in contact.expired:
            log.warning(
                "a krane replica had no contact for too long and is not waited for any more",
                extra=fields(region=request.region, replica_id=replica_id),
            )
        if request.is_leaving:
            log.info("a krane replica has left", extra=fields(region=request.region, replica_id=request.replica_id))
        return pb.HeartbeatResponse(is_counted=contact.is_counted, leader_term=leader_term)

    def _heartbeat(self, connection: Connection, request: pb.HeartbeatRequest) -> tuple[Contact, int, list[Recipient]]:
        now, (name, instance_id, engine_away) = self._deps.clock(), validation.heartbeat(request)
        if request.is_leaving:
            contact = krane_replicas.leave(connection, name, request.replica_id, now)
        else:
            if request.is_follower:
                queries.note_report(connection, name, now)
            else:
                queries.note_heartbeat(connection, name, instance_id, engine_away, now)
            contact = krane_replicas.heartbeat(
                connection, name, request.replica_id, now, is_announced=request.is_announced
            )
        region = queries.get(connection, name)
        if contact is None or region is None:
            raise _not_registered(name)
        if contact.has_advanced:
            self._note_lag(connection, name, contact.region_version, now)
        is_news = contact.has_advanced or contact.expired or request.is_leaving
        return contact, region.leader_term, workflows.awaiting_applied(connection, now) if is_news else []

    async def ServeExecs(
        self, request: exec_pb2.ServeExecsRequest, call: Call
    ) -> AsyncGenerator[exec_pb2.ServeExecsResponse, None]:
        """Each command as a client asks for it."""
        validation.replica_id(request.replica_id)
        if await self._deps.db.read(queries.get, request.region) is None:
            raise _not_registered(request.region)
        async with aclosing(self._deps.execs.tasks(request.region)) as tasks:
            async for task in tasks:
                yield exec_pb2.ServeExecsResponse(task=task)

    async def ConnectExec(
        self, request: exec_pb2.ConnectExecRequest, following: AsyncIterator[exec_pb2.ConnectExecRequest], call: Call
    ) -> AsyncGenerator[exec_pb2.ConnectExecResponse, None]:
        """The bytes of one command, until it or the client has ended."""
        session = self._deps.execs.take(request.region, request.exec_id)
        async with aclosing(krane_call(session, following)) as messages:
            async for message in messages:
                yield message

    async def ListReleased(self, request: pb.ListReleasedRequest, call: Call) -> pb.ListReleasedResponse:
        """The stopping deployments to which no counted replica's ingress sends requests any more."""
        ids = validation.stopping(request)
        return pb.ListReleasedResponse(released=await self._deps.db.read(self._released, request, ids))

    def _released(self, connection: Connection, request: pb.ListReleasedRequest, ids: list[str]) -> list[str]:
        if queries.get(connection, request.region) is None:
            raise _not_registered(request.region)
        routed = routes.by_deployment(connection, ids)
        stopping = [
            deployment_id
            for deployment_id in ids
            if not routed.get(deployment_id) and not queries.is_placed(connection, deployment_id, request.region)
        ]
        return krane_replicas.released(connection, request.region, stopping, request.version)


def _ours(connection: Connection) -> Installation:
    ours = installation.get(connection)
    assert ours is not None
    return ours


def _not_registered(region: str) -> FailedPrecondition:
    return FailedPrecondition(
        "region.not_registered", f"region {region!r} is not known here: call Register first.", field="region"
    )
