"""The kinds of change that the api sends: what runs, what is routed, what TLS needs. `PRODUCERS` is the registry."""

from collections.abc import Callable, Iterator

from sqlalchemy import Connection

from pkg.certificates import queries as certificates
from pkg.certificates.model import Certificate, ChallengeRow
from pkg.deployments import queries as deployments
from pkg.deployments.addresses import hostnames_of, main_hostname, own_hostname
from pkg.deployments.model import Deployment
from pkg.deployments.settings import Settings, from_json
from pkg.deployments.status import Source
from pkg.deployments.variables import opened_snapshot
from pkg.desired.capabilities import CERTIFICATE, CHALLENGE, JOB, ROUTE, TOPOLOGY
from pkg.desired.route import DeploymentTarget, Route, Target
from pkg.environments import queries as environments
from pkg.errors import Internal
from pkg.hostnames import Sticky
from pkg.images import ImageRef
from pkg.images.access import must_pull
from pkg.jobs import queries as jobs
from pkg.jobs.model import Job
from pkg.regions import ports
from pkg.regions import queries as regions
from pkg.regions.queries import TopologyRow
from pkg.routes import queries as routes
from pkg.routes.queries import RouteRow
from pkg.secrets import AssociatedData
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2
from svc.api.feed.producer import Producer, Rendering
from svc.api.requests import settings
from svc.api.requests.job_enums import JOB_KINDS
from svc.api.requests.sticky import STICKY_KINDS


class Topologies:
    """What the region is to run."""

    kind = TOPOLOGY

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """See `Producer`. Stopped ones are left out."""
        for row in regions.topologies_in(connection, region):
            yield self._render(connection, row)

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """See `Producer`."""
        row = regions.topology(connection, key, region)
        if row is None:
            return pb.WatchDesiredStateResponse(topology_removed=pb.TopologyRemoved(deployment_id=key))
        return self._render(connection, row)

    def _render(self, connection: Connection, row: TopologyRow) -> pb.WatchDesiredStateResponse:
        deployment = deployments.get(connection, row.deployment_id)
        if deployment is None:
            raise Internal("feed.deployment_gone", f"the topology of {row.deployment_id} has no deployment")
        topology, wanted = _topology(connection, self._rendering, deployment, row.image_ref, is_stopped=row.stopped)
        # Any krane can stop it.
        needed = frozenset() if row.stopped else wanted.required_capabilities
        return pb.WatchDesiredStateResponse(topology=topology, required_capabilities=sorted(needed))


class Jobs:
    """Commands that the region is to run once."""

    kind = JOB

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """See `Producer`."""
        for job in jobs.wanted_in(connection, region):
            yield self._render(connection, job)

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """See `Producer`."""
        job = jobs.get(connection, key)
        if job is None or job.status.is_terminal or job.region != region or job.wanted_at is None:
            return pb.WatchDesiredStateResponse(job_removed=pb.JobRemoved(job_id=key))
        return self._render(connection, job)

    def _render(self, connection: Connection, job: Job) -> pb.WatchDesiredStateResponse:
        deployment = deployments.get(connection, job.deployment_id)
        if deployment is None:
            raise Internal("feed.deployment_gone", f"the job {job.id} has no deployment")
        topology, _ = _topology(connection, self._rendering, deployment, job.image_ref, is_stopped=False)
        topology.settings.command.CopyFrom(common_pb2.StringList(values=job.command_json))
        return pb.WatchDesiredStateResponse(
            job=pb.DesiredJob(
                job_id=job.id,
                kind=JOB_KINDS[job.kind],
                of=topology,
                timeout_s=job.timeout_s,
                stopped=job.stop_requested_at is not None,
                created_at=job.created_at,
            )
        )


def _topology(
    connection: Connection, rendering: Rendering, deployment: Deployment, image_ref: str, *, is_stopped: bool
) -> tuple[pb.Topology, Settings]:
    """What instances of the deployment are made from, and its settings with the environment's number."""
    environment = environments.get(connection, deployment.environment_id)
    if environment is None:
        raise Internal("feed.environment_gone", f"the environment of {deployment.id} is gone")
    ingress = rendering.ingress
    hostnames = hostnames_of(connection, deployment, environment, ingress.apex_domain)
    wanted = from_json(deployment.settings_json).scaled(environment.replicas, environment.process_replicas_json)
    topology = pb.Topology(
        deployment_id=deployment.id,
        workspace_id=deployment.workspace_id,
        project_id=deployment.project_id,
        environment_id=deployment.environment_id,
        image_ref=image_ref,
        settings=settings.render(wanted),
        variables=({} if is_stopped else opened_snapshot(rendering.vault, environment.data_key, deployment)),
        plain_variables=[] if is_stopped else deployment.plain_variables_json,
        stopped=is_stopped,
        traceparent=deployment.traceparent,
        own_authority=ingress.authority(own_hostname(hostnames)),
        public_url=ingress.url(main_hostname(hostnames)),
        adopted_port=ports.adopted(connection, deployment.id),
        restart_generation=deployment.restart_generation,
        processes_stopped=deployment.processes_stopped,
        must_pull=deployment.source is Source.IMAGE and must_pull(ImageRef.parse(image_ref)),
    )
    return topology, wanted


class Routes:
    """Which hostname points where; every region gets all of them."""

    kind = ROUTE

    def __init__(self, rendering: Rendering) -> None:
        pass

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """See `Producer`."""
        for route in routes.every(connection):
            yield _route(route)

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """See `Producer`."""
        route = routes.get(connection, key)
        if route is None:
            return pb.WatchDesiredStateResponse(route_removed=pb.RouteRemoved(hostname=key))
        return _route(route)


class Certificates:
    """Certificates with their keys; every region gets all of them, and none while TLS is off."""

    kind = CERTIFICATE

    def __init__(self, rendering: Rendering) -> None:
        self._vault = rendering.vault

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """See `Producer`."""
        for row in certificates.every_certificate(connection):
            if row.version != certificates.WITHHELD:
                yield self._render(connection, row)

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """See `Producer`."""
        row = certificates.certificate(connection, key)
        if row is None or row.version == certificates.WITHHELD:
            return pb.WatchDesiredStateResponse(certificate_removed=pb.CertificateRemoved(certificate_id=key))
        return self._render(connection, row)

    def _render(self, connection: Connection, row: Certificate) -> pb.WatchDesiredStateResponse:
        key = certificates.certificate_key(connection, row.id)
        private_key = self._vault.open(key.data_key, key.key_sealed, AssociatedData.certificate_key(row.id))
        return pb.WatchDesiredStateResponse(
            certificate=pb.Certificate(
                certificate_id=row.id,
                names=row.names_json,
                chain_pem=row.chain_pem.encode(),
                private_key_pem=private_key,
                not_before=row.not_before,
                not_after=row.not_after,
            )
        )


class Challenges:
    """Answers to HTTP-01 challenges; every region gives all of them."""

    kind = CHALLENGE

    def __init__(self, rendering: Rendering) -> None:
        pass

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """See `Producer`."""
        for row in certificates.http_challenges(connection):
            yield _challenge(row)

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """See `Producer`."""
        row = certificates.http_challenge(connection, key)
        if row is None:
            return pb.WatchDesiredStateResponse(challenge_removed=pb.ChallengeRemoved(token=key))
        return _challenge(row)


def _challenge(row: ChallengeRow) -> pb.WatchDesiredStateResponse:
    message = pb.Challenge(token=row.token, hostname=row.hostname, key_authorization=row.value)
    return pb.WatchDesiredStateResponse(challenge=message)


def _route(row: RouteRow) -> pb.WatchDesiredStateResponse:
    if row.answer:
        return render_route(Route.answering(row.hostname, row.answer), row.sticky)
    return render_route(Route.to(row.hostname, row.deployment_id), row.sticky)


def without_answer(message: pb.WatchDesiredStateResponse) -> pb.WatchDesiredStateResponse | None:
    """For a krane that lacks what `message` takes: the removal of a route that leads to no deployment; None otherwise.

    Such a krane keeps a route as it was, and that one leads to what is about to stop.
    """
    targets = message.route.targets
    if not targets or any(target.deployment_id for target in targets):
        return None
    removed = pb.RouteRemoved(hostname=message.route.hostname)
    return pb.WatchDesiredStateResponse(version=message.version, route_removed=removed)


def render_route(route: Route, sticky: Sticky) -> pb.WatchDesiredStateResponse:
    """The message of a route; an ordinary one says all in fields that every krane knows."""
    message = pb.DesiredRoute(
        hostname=route.hostname, deployment_id=route.only_deployment_id, sticky=STICKY_KINDS[sticky]
    )
    if not route.only_deployment_id:
        message.targets.extend(_target(target) for target in route.targets)
    return pb.WatchDesiredStateResponse(route=message, required_capabilities=sorted(route.required_capabilities))


def _target(target: Target) -> pb.RouteTarget:
    if isinstance(target, DeploymentTarget):
        return pb.RouteTarget(deployment_id=target.deployment_id, weight=target.weight)
    return pb.RouteTarget(answer=target.answer, weight=target.weight)


# In the order of a snapshot.
PRODUCERS: tuple[Callable[[Rendering], Producer], ...] = (Topologies, Routes, Certificates, Challenges, Jobs)
