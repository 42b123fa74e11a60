"""The desired state of this region in memory: items of every kind at one version. No I/O.

Built only from feed messages, whether they come from the api or from the stored snapshot. A snapshot becomes visible
as a whole at its end mark; until then the previous state stays in force. What this krane does not understand is never
acted on: an unknown kind is skipped, and of an item that takes more than krane can do the last understood one stays.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from pkg.desired.processes import split_workload, workload_id
from pkg.desired.protocol import AppProtocol
from pkg.desired.route import AnswerTarget, DeploymentTarget, Route, Target
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import routing_pb2
from svc.krane.controller.kinds import CAPABILITIES, CERTIFICATE, CHALLENGE, JOB, KINDS, ROUTE, TOPOLOGY, Kind
from svc.krane.controller.topology import app_protocol, process_topology
from svc.krane.ingress.port import Certificate, Challenge

MAX_UNSUPPORTED = 1000
_MARKS = frozenset({"snapshot_begin", "snapshot_end", "head"})


class FeedError(Exception):
    """The feed broke its own rules; the cure is to ask again from a snapshot."""


@dataclass(frozen=True)
class Change:
    """What one message made different.

    Attributes:
        items: keys of the items that changed, appeared or went, by kind.
        snapshot: whether a complete snapshot came into force.
        head: whether everything up to `version` has been sent.
    """

    version: int
    items: Mapping[Kind, frozenset[str]] = field(default_factory=dict)
    snapshot: bool = False
    head: bool = False

    @property
    def deployments(self) -> frozenset[str]:
        """Whose topology changed, appeared or went."""
        return self.items.get(TOPOLOGY, frozenset())

    @property
    def routes(self) -> bool:
        """Whether the route table may be another."""
        return self.snapshot or ROUTE in self.items

    @property
    def ingress(self) -> bool:
        """Whether what the ingress serves may be something else: routes, certificates, challenges."""
        return self.snapshot or not self.items.keys().isdisjoint((ROUTE, CERTIFICATE, CHALLENGE))


@dataclass
class _State:
    """`items` in force and the newest that are `not_understood`, by kind and key, each as the message that set it."""

    epoch: str = ""
    version: int = 0
    items: dict[Kind, dict[str, pb.WatchDesiredStateResponse]] = field(default_factory=dict)
    not_understood: dict[Kind, dict[str, pb.WatchDesiredStateResponse]] = field(default_factory=dict)
    unsupported: list[int] = field(default_factory=list)

    def of(self, kind: Kind) -> dict[str, pb.WatchDesiredStateResponse]:
        return self.items.setdefault(kind, {})

    def not_understood_of(self, kind: Kind) -> dict[str, pb.WatchDesiredStateResponse]:
        return self.not_understood.setdefault(kind, {})

    def note_unsupported(self, version: int) -> None:
        self.unsupported = [*self.unsupported, version][-MAX_UNSUPPORTED:]


class DesiredState:
    """The state in force and, while a snapshot arrives, the one being collected.

    Attributes:
        is_complete: a whole snapshot is in force (from the api or from disk).
        is_confirmed: the api itself sent a whole snapshot or a head in this process's life; only then may anything be
            deleted for not being in here.
        is_partial: what is in force may lack what this krane understands: it is to ask for a whole snapshot.
    """

    def __init__(self, kinds: Sequence[Kind] = KINDS, capabilities: Collection[str] = CAPABILITIES) -> None:
        self._kinds = kinds
        self._events = {kind.put: kind for kind in kinds} | {kind.removed: kind for kind in kinds}
        self._capabilities = frozenset(capabilities) | {kind.capability for kind in kinds}
        self._state = _State()
        self._staged: _State | None = None
        self._of_processes: dict[str, tuple[pb.WatchDesiredStateResponse, pb.Topology | None]] = {}
        self._forgotten: dict[str, set[str]] = {}
        self.is_complete = False
        self.is_confirmed = False
        self.is_partial = False

    @property
    def capabilities(self) -> frozenset[str]:
        """What this krane understands."""
        return self._capabilities

    @property
    def epoch(self) -> str:
        """Of the state in force; "" before the first snapshot."""
        return self._state.epoch

    @property
    def version(self) -> int:
        """The cursor: everything up to it is in force. 0 before the first snapshot."""
        return self._state.version

    def items(self, kind: Kind) -> dict[str, Any]:
        """All items of a kind by key, as messages of `kind.put`."""
        return {key: getattr(message, kind.put) for key, message in self._state.of(kind).items()}

    def topology(self, deployment_id: str) -> pb.Topology | None:
        """What this deployment, or workload of one (`workload_id`), should have here; None: nothing."""
        owner_id, process = split_workload(deployment_id)
        message = self._state.of(TOPOLOGY).get(owner_id)
        if message is None or not process:
            return None if message is None else message.topology
        known = self._of_processes.get(deployment_id)
        if known is None or known[0] is not message:
            known = self._of_processes[deployment_id] = (message, process_topology(message.topology, process))
        return known[1]

    def workloads(self, deployment_id: str) -> frozenset[str]:
        """The deployment itself, for its web instances, and its processes; none without a topology."""
        message = self._state.of(TOPOLOGY).get(deployment_id)
        if message is None:
            return frozenset()
        names = (process.name for process in message.topology.settings.processes.values)
        return frozenset({deployment_id, *(workload_id(deployment_id, name) for name in names)})

    def is_stopped(self, deployment_id: str) -> bool:
        """Whether nothing at all of the deployment that a workload belongs to is to run here."""
        topology = self.topology(split_workload(deployment_id)[0])
        return topology is None or topology.stopped

    def protocols(self) -> dict[str, AppProtocol]:
        """What the apps of deployments with a topology speak, as far as that is not HTTP/1.1."""
        topologies = (message.topology for message in self._state.of(TOPOLOGY).values())
        spoken = {topology.deployment_id: app_protocol(topology) for topology in topologies}
        return {deployment_id: one for deployment_id, one in spoken.items() if one is not AppProtocol.HTTP1}

    def job(self, job_id: str) -> pb.DesiredJob | None:
        """The job that is to run here, or to stop; None: nothing of it is to be here."""
        message = self._state.of(JOB).get(job_id)
        return None if message is None else message.job

    def jobs(self) -> dict[str, pb.DesiredJob]:
        """All jobs by id."""
        return self.items(JOB)

    def deployment_ids(self) -> frozenset[str]:
        """Every workload of a deployment with a topology, stopped ones too."""
        return frozenset().union(*map(self.workloads, self._state.of(TOPOLOGY)))

    def routes(self) -> dict[str, Route]:
        """The complete table of routes by hostname."""
        return {route.hostname: route_of(route) for route in self._routes()}

    def certificates(self) -> dict[str, Certificate]:
        """All certificates by id."""
        return {key: certificate_of(message.certificate) for key, message in self._state.of(CERTIFICATE).items()}

    def challenges(self) -> dict[str, Challenge]:
        """All challenges by token."""
        return {key: challenge_of(message.challenge) for key, message in self._state.of(CHALLENGE).items()}

    def is_routed(self, deployment_id: str) -> bool:
        """Whether any hostname should point there, or to the deployment that a process belongs to."""
        deployment_id = split_workload(deployment_id)[0]
        return any(_leads_to(route, deployment_id) for route in self._routes())

    def is_live(self, deployment_id: str) -> bool:
        """Whether a hostname that moves from deployment to deployment points there; a standby has its own ones only."""
        deployment_id = split_workload(deployment_id)[0]
        return any(
            _leads_to(route, deployment_id) and route.sticky != routing_pb2.STICKY_KIND_NONE for route in self._routes()
        )

    def live_of(self, environment_id: str) -> str:
        """The deployment that the environment's own hostnames lead to; "" for none."""
        kinds = (routing_pb2.STICKY_KIND_ENVIRONMENT, routing_pb2.STICKY_KIND_LIVE)
        found = {route_of(route).only_deployment_id for route in self._routes() if route.sticky in kinds}
        topologies = (self.topology(deployment_id) for deployment_id in sorted(found))
        return next((one.deployment_id for one in topologies if one and one.environment_id == environment_id), "")

    def probe_hosts(self, deployment_id: str) -> tuple[str, ...]:
        """The Host headers that probes may send: the deployment's own address first, then its environment's.

        An app that serves only the hosts on a list of its own answers one of them.
        """
        topology = self.topology(deployment_id) or pb.Topology()
        hosts_sent = (topology.own_authority, topology.public_url.partition("://")[2])
        if hosts := tuple(dict.fromkeys(host for host in hosts_sent if host)):
            return hosts
        # An older api does not send them.
        routed = (route.hostname for route in self._routes() if _leads_to(route, deployment_id))
        return (min(routed, default="localhost"),)

    def route_version(self, hostname: str) -> int:
        """Version of the newest change of this route; the state's own version for an unknown one."""
        message = self._state.not_understood_of(ROUTE).get(hostname) or self._state.of(ROUTE).get(hostname)
        return (message.version if message is not None else 0) or self._state.version

    def unsupported_routes(self) -> dict[str, str]:
        """Hostnames whose newest route is not understood, and why, for people; what they served before stays."""
        return {
            hostname: f"this krane does not support {self.unsupported(message)}: upgrade it; the old one stays"
            for hostname, message in self._state.not_understood_of(ROUTE).items()
        }

    def unsupported_versions(self) -> list[int]:
        """The changes that were not understood since the last snapshot, the newest 1000."""
        return list(self._state.unsupported)

    def forget_stopped(self, deployment_id: str) -> None:
        """Drops a topology that says "stopped", once nothing of it runs: a region would keep every one it ever had.

        Of a deployment with processes, once this was called for each of its workloads. Does nothing when it is to run
        again.
        """
        owner_id = split_workload(deployment_id)[0]
        topology = self.topology(owner_id)
        if topology is None or not topology.stopped:
            self._forgotten.pop(owner_id, None)
            return
        gone = self._forgotten.setdefault(owner_id, set())
        gone.add(deployment_id)
        if gone >= self.workloads(owner_id):
            for workload in self._forgotten.pop(owner_id):
                self._of_processes.pop(workload, None)
            del self._state.of(TOPOLOGY)[owner_id]

    def abandon_staged(self) -> None:
        """Forgets a snapshot whose end never came: the stream broke."""
        self._staged = None

    def unsupported(self, message: pb.WatchDesiredStateResponse) -> str:
        """What of the message this krane does not understand: a kind of event, or a capability; "" for nothing."""
        event = message.WhichOneof("event")
        if event is None:
            numbers = sorted(unknown.field_number for unknown in iter(UnknownFieldSet(message)))
            return f"event {numbers[0]}" if numbers else ""
        if event not in self._events and event not in _MARKS:
            return f"event {event}"
        missing = sorted(set(message.required_capabilities) - self._capabilities)
        return ", ".join(missing)

    def apply(self, message: pb.WatchDesiredStateResponse, *, from_api: bool = True) -> Change | None:
        """Takes one feed message; None when nothing visible changed (a staged item, a change already known).

        Raises:
            FeedError: the message is not allowed here.
        """
        event = message.WhichOneof("event")
        unsupported = self.unsupported(message)
        if event is None and not unsupported:
            raise FeedError("a feed message without an event")
        if event == "snapshot_begin":
            self._staged = _State(epoch=message.snapshot_begin.epoch, version=message.version)
            return None
        if event == "snapshot_end":
            return self._swap(message.version, from_api)
        if self._staged is not None:
            if event != "head":
                self._stage(self._staged, message, unsupported, from_api)
            return None
        if not self.is_complete:
            raise FeedError(f"feed event {event} came before a complete snapshot")
        if event == "head":
            self._state.version = max(self._state.version, message.version)
            self.is_confirmed = self.is_confirmed or from_api
            return Change(self._state.version, head=True)
        if message.version < self._state.version:
            return None
        self._state.version = message.version
        if unsupported:
            self._state.note_unsupported(message.version)
        return self._take(self._state, message, unsupported)

    def everything(self) -> Change:
        """The state in force as the change that brought all of it."""
        items = {kind: frozenset(self._state.of(kind)) for kind in self._kinds}
        return Change(self._state.version, items, snapshot=True)

    def messages(self) -> Iterator[pb.WatchDesiredStateResponse]:
        """The state in force as the feed would send it as a snapshot; what `snapshot` stores."""
        state = self._state
        yield pb.WatchDesiredStateResponse(version=state.version, snapshot_begin=pb.SnapshotBegin(epoch=state.epoch))
        for kind in self._kinds:
            yield from state.of(kind).values()
            yield from state.not_understood_of(kind).values()
        yield pb.WatchDesiredStateResponse(version=state.version, snapshot_end=pb.SnapshotEnd())

    def note_unsupported(self, versions: Sequence[int]) -> None:
        """What an earlier process did not understand of the changes since the snapshot in force."""
        for version in versions:
            self._state.note_unsupported(version)

    def _routes(self) -> Iterator[pb.DesiredRoute]:
        return (message.route for message in self._state.of(ROUTE).values())

    def _stage(self, staged: _State, message: pb.WatchDesiredStateResponse, unsupported: str, from_api: bool) -> None:
        if from_api and unsupported:
            # The version of a snapshot's items is the snapshot's, which may be another, understood change's.
            unversioned = type(message)()
            unversioned.CopyFrom(message)
            unversioned.version = 0
            message = unversioned
        self._take(staged, message, unsupported)

    def _take(self, state: _State, message: pb.WatchDesiredStateResponse, unsupported: str) -> Change:
        """Puts one change into a state. Idempotent. `unsupported`: of the message."""
        event = message.WhichOneof("event") or ""
        kind = self._events.get(event)
        if kind is None:
            return Change(message.version)
        key = str(getattr(getattr(message, event), kind.key))
        if kind == TOPOLOGY:
            self._forgotten.pop(key, None)
            for workload in [one for one in self._of_processes if split_workload(one)[0] == key]:
                del self._of_processes[workload]
        if event == kind.removed:
            state.of(kind).pop(key, None)
        elif unsupported:
            state.not_understood_of(kind)[key] = message
            return Change(message.version)
        else:
            state.of(kind)[key] = message
        state.not_understood_of(kind).pop(key, None)
        return Change(message.version, {kind: frozenset({key})})

    def _swap(self, version: int, from_api: bool) -> Change:
        if self._staged is None:
            raise FeedError("the end of a snapshot that never began")
        old, new = self._state, self._staged
        new.version = max(new.version, version)
        changed = {}
        for kind in self._kinds:
            before, after = old.of(kind), new.of(kind)
            after |= {key: before[key] for key in new.not_understood_of(kind).keys() & before.keys() - after.keys()}
            was, now = ({key: getattr(one, kind.put) for key, one in items.items()} for items in (before, after))
            changed[kind] = frozenset(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
        self._state, self._staged = new, None
        self._of_processes.clear()
        self.is_complete = True
        self.is_confirmed = self.is_confirmed or from_api
        self.is_partial = self.is_partial and not from_api
        return Change(new.version, changed, snapshot=True)


def route_of(message: pb.DesiredRoute) -> Route:
    """The route as a value. An older api names one deployment only."""
    if not message.targets:
        return Route.to(message.hostname, message.deployment_id)
    return Route(message.hostname, tuple(_target(target) for target in message.targets))


def certificate_of(message: pb.Certificate) -> Certificate:
    """The certificate as a value."""
    return Certificate(
        message.certificate_id, tuple(message.names), message.chain_pem, message.private_key_pem, message.not_after
    )


def challenge_of(message: pb.Challenge) -> Challenge:
    """The challenge as a value."""
    return Challenge(message.token, message.hostname, message.key_authorization)


def _target(message: pb.RouteTarget) -> Target:
    if message.WhichOneof("to") == "deployment_id":
        return DeploymentTarget(message.deployment_id, message.weight)
    return AnswerTarget(message.answer, message.weight)


def _leads_to(route: pb.DesiredRoute, deployment_id: str) -> bool:
    return route.deployment_id == deployment_id or any(t.deployment_id == deployment_id for t in route.targets)
