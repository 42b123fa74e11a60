"""The desired state of this region in memory: topologies and routes at one version. No I/O.

Built only from feed messages, whether they come from the api or from the stored snapshot. A snapshot becomes visible
as a whole at its end mark; until then the previous state stays in force.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import routing_pb2


class FeedError(Exception):
    """The feed broke its own rules; the cure is to ask again from a snapshot."""


@dataclass(frozen=True)
class Change:
    """What one message made different.

    Attributes:
        deployments: whose topology changed, appeared or went.
        routes: whether the route table changed.
        snapshot: whether a complete snapshot came into force.
        head: whether everything up to `version` has been sent.
    """

    version: int
    deployments: frozenset[str] = frozenset()
    routes: bool = False
    snapshot: bool = False
    head: bool = False


@dataclass
class _State:
    epoch: str = ""
    version: int = 0
    topologies: dict[str, pb.Topology] = field(default_factory=dict)
    routes: dict[str, pb.DesiredRoute] = field(default_factory=dict)
    route_versions: dict[str, int] = field(default_factory=dict)


class DesiredState:
    """The state in force and, while a snapshot arrives, the one being collected.

    Attributes:
        is_complete: a whole snapshot is in force (from the api or from disk).
        is_confirmed: the api itself sent a whole snapshot or a head in this process's life; only then may anything be
            deleted for not being in here.
    """

    def __init__(self) -> None:
        self._state = _State()
        self._staged: _State | None = None
        self.is_complete = False
        self.is_confirmed = False

    @property
    def epoch(self) -> str:
        """Of the state in force; "" before the first snapshot."""
        return self._state.epoch

    @property
    def version(self) -> int:
        """The cursor: everything up to it is in force. 0 before the first snapshot."""
        return self._state.version

    def topology(self, deployment_id: str) -> pb.Topology | None:
        """What this deployment should have here; None: nothing."""
        return self._state.topologies.get(deployment_id)

    def deployment_ids(self) -> frozenset[str]:
        """Every deployment with a topology, stopped ones too."""
        return frozenset(self._state.topologies)

    def routes(self) -> dict[str, str]:
        """The complete table hostname -> deployment_id."""
        return {hostname: route.deployment_id for hostname, route in self._state.routes.items()}

    def is_routed(self, deployment_id: str) -> bool:
        """Whether any hostname should point there."""
        return any(route.deployment_id == deployment_id for route in self._state.routes.values())

    def is_live(self, deployment_id: str) -> bool:
        """Whether a hostname that moves from deployment to deployment points there; a standby has its own ones only."""
        return any(
            route.deployment_id == deployment_id and route.sticky != routing_pb2.STICKY_KIND_NONE
            for route in self._state.routes.values()
        )

    def probe_hosts(self, deployment_id: str) -> tuple[str, ...]:
        """What probes may say in Host: as the deployment's own address is asked, then as its environment's.

        An app that serves only the hosts on a list of its own answers one of them.
        """
        topology = self._state.topologies.get(deployment_id) or pb.Topology()
        told = (topology.own_authority, topology.public_url.partition("://")[2])
        if hosts := tuple(dict.fromkeys(host for host in told if host)):
            return hosts
        # An older api does not tell them.
        routed = (h for h, r in self._state.routes.items() if r.deployment_id == deployment_id)
        return (min(routed, default="localhost"),)

    def route_version(self, hostname: str) -> int:
        """Version of the change that set this route; the state's own version for an unknown one."""
        return self._state.route_versions.get(hostname, self._state.version)

    def forget_stopped(self, deployment_id: str) -> None:
        """Drops a topology that says "stopped", once nothing of it runs: a region would keep every one it ever had.

        Does nothing when it is to run again.
        """
        topology = self._state.topologies.get(deployment_id)
        if topology is not None and topology.stopped:
            del self._state.topologies[deployment_id]

    def abandon_staged(self) -> None:
        """Forgets a snapshot whose end never came: the stream broke."""
        self._staged = None

    def apply(self, message: pb.WatchDesiredStateResponse, *, from_api: bool = True) -> Change | None:
        """Takes one feed message; None when nothing visible changed (a staged item, a change already known).

        Raises:
            FeedError: the message is not allowed here.
        """
        event = message.WhichOneof("event")
        if event is None:
            raise FeedError("a feed message without a known event; krane is older than the api")
        if event == "snapshot_begin":
            self._staged = _State(epoch=message.snapshot_begin.epoch, version=message.version)
            return None
        if event == "snapshot_end":
            return self._swap(message.version, from_api)
        if self._staged is not None:
            if event == "head":
                return None
            _take(self._staged, event, message)
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
        return _take(self._state, event, message)

    def messages(self) -> Iterator[pb.WatchDesiredStateResponse]:
        """The state in force as the feed would send it as a snapshot; what `snapshot` stores."""
        state = self._state
        yield pb.WatchDesiredStateResponse(version=state.version, snapshot_begin=pb.SnapshotBegin(epoch=state.epoch))
        for topology in state.topologies.values():
            yield pb.WatchDesiredStateResponse(version=state.version, topology=topology)
        for hostname, route in state.routes.items():
            yield pb.WatchDesiredStateResponse(version=state.route_versions[hostname], route=route)
        yield pb.WatchDesiredStateResponse(version=state.version, snapshot_end=pb.SnapshotEnd())

    def _swap(self, version: int, from_api: bool) -> Change:
        if self._staged is None:
            raise FeedError("the end of a snapshot that never began")
        old, new = self._state, self._staged
        new.version = max(new.version, version)
        known = old.topologies.keys() | new.topologies.keys()
        changed = frozenset(d for d in known if old.topologies.get(d) != new.topologies.get(d))
        self._state, self._staged = new, None
        self.is_complete = True
        self.is_confirmed = self.is_confirmed or from_api
        return Change(new.version, changed, routes=True, snapshot=True)


def _take(state: _State, event: str, message: pb.WatchDesiredStateResponse) -> Change:
    """Puts one change into a state. Idempotent."""
    if event == "topology":
        deployment_id = message.topology.deployment_id
        state.topologies[deployment_id] = message.topology
        return Change(message.version, frozenset({deployment_id}))
    if event == "topology_removed":
        deployment_id = message.topology_removed.deployment_id
        state.topologies.pop(deployment_id, None)
        return Change(message.version, frozenset({deployment_id}))
    if event == "route":
        state.routes[message.route.hostname] = message.route
        state.route_versions[message.route.hostname] = message.version
        return Change(message.version, routes=True)
    hostname = message.route_removed.hostname
    state.routes.pop(hostname, None)
    state.route_versions.pop(hostname, None)
    return Change(message.version, routes=True)
