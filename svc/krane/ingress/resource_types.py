"""What is sent of each ADS resource type, and what Envoy's answer means. `RESOURCE_TYPES` is the registry.

The order is make before break: clusters and endpoints, then (both acknowledged and warm) routes, then (acknowledged and
drained) clusters leave. Another type, such as secrets (SDS), is a `ResourceType` with its line in the registry.
"""

from collections.abc import Callable
from typing import Any

from pkg.desired.protocol import AppProtocol
from svc.krane.ingress.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTES, message
from svc.krane.ingress.planner import difference, plan, restrict
from svc.krane.ingress.resources import ROUTE_TABLE, assignment, cluster
from svc.krane.ingress.session import SentEndpoints, Session
from svc.krane.ingress.state import IngressState
from svc.krane.ingress.subscription import AckOutcome

LEGACY_WAIT_S = 0.5  # for a resuming Envoy to say which clusters it holds
WARM_WAIT_S = 5.0  # for all clusters of a new stream, before routes follow without the missing ones


class ResourceType:
    """One resource type over all streams. Lives on one loop; nothing blocks.

    Attributes:
        name: the full name of its protobuf message.
    """

    name: str

    def __init__(self, state: IngressState) -> None:
        self._state = state

    def next_answer(self, session: Session) -> Any | None:
        """The next DiscoveryResponse of the type; None when there is nothing to say for now."""
        raise NotImplementedError

    def received(self, session: Session, outcome: AckOutcome) -> None:
        """Envoy asked, or answered: before `acked` and `refused`. The subscription says which names are new."""

    def acked(self, session: Session) -> None:
        """Envoy took the last answer."""

    def refused(self, session: Session, reason: str) -> bool:
        """Envoy refused the last answer. Whether to send it once more later: a taken port may be free by then."""
        return True

    def send_again(self, session: Session) -> None:
        """What was refused is to be sent once more."""

    def forget(self, deployment_id: str) -> None:
        """Drops what is kept of a deployment that left."""


class Clusters(ResourceType):
    """One cluster for each deployment of which endpoints are known."""

    name = CLUSTER

    def __init__(self, state: IngressState) -> None:
        super().__init__(state)
        self._messages: dict[str, bytes] = {}

    def next_answer(self, session: Session) -> Any | None:
        """See `ResourceType`."""
        if not session.subscriptions[CLUSTER].open:
            return None
        if session.clusters_sent is None and session.resumed:
            held = session.subscriptions[ENDPOINTS].names
            if held is None and self._state.now() < session.opened_at + LEGACY_WAIT_S:
                return None
            session.held |= held or frozenset()
            if not session.routes_acked:
                session.legacy = (held or frozenset()) - self._state.wanted(session)
        wanted = self._state.wanted(session) | session.legacy
        if session.clusters_sent == wanted and CLUSTER not in session.again:
            return None
        session.again.discard(CLUSTER)
        clusters = [*self._state.static_clusters, *(self._cluster(d) for d in sorted(wanted))]
        return session.send_clusters(wanted, clusters)

    def received(self, session: Session, outcome: AckOutcome) -> None:
        """See `ResourceType`."""
        if outcome is AckOutcome.SUBSCRIBED and not session.resumed:  # it has just started and holds nothing
            self._state.addresses_in_use.keep_only(frozenset(), self._state.now())
            self._state.addresses_in_use.complete(self._state.now())

    def acked(self, session: Session) -> None:
        """See `ResourceType`."""
        self._state.addresses_in_use.keep_only(session.clusters_sent or frozenset(), self._state.now())

    def send_again(self, session: Session) -> None:
        """See `ResourceType`."""
        session.again.add(CLUSTER)

    def forget(self, deployment_id: str) -> None:
        """See `ResourceType`."""
        self._messages.pop(deployment_id, None)

    def _cluster(self, deployment_id: str) -> bytes:
        if deployment_id not in self._messages:
            protocol = self._state.spec.protocols.get(deployment_id, AppProtocol.HTTP1)
            self._messages[deployment_id] = message(CLUSTER, cluster(deployment_id, protocol)).SerializeToString()
        return self._messages[deployment_id]


class Endpoints(ResourceType):
    """The endpoints of each cluster, with krane's verdict on their health."""

    name = ENDPOINTS

    def next_answer(self, session: Session) -> Any | None:
        """See `ResourceType`."""
        subscription, spec = session.subscriptions[ENDPOINTS], self._state.spec
        if not subscription.open:
            return None
        to_send = {}
        for deployment_id in (subscription.names or frozenset()) & self._answerable(session):
            now = SentEndpoints(
                spec.generations.get(deployment_id, 0),
                spec.healthy(deployment_id),
                frozenset(e.address for e in spec.endpoints.get(deployment_id, ())),
            )
            if session.endpoints_sent.get(deployment_id) != now:
                to_send[deployment_id] = now
        if not to_send:
            return None
        for deployment_id, what in to_send.items():
            self._state.addresses_in_use.sent(deployment_id, what.addresses)
        resources = [message(ENDPOINTS, assignment(d, spec.endpoints.get(d, ()))).SerializeToString() for d in to_send]
        return session.send_endpoints(to_send, resources)

    def received(self, session: Session, outcome: AckOutcome) -> None:
        """See `ResourceType`."""
        added = session.subscriptions[ENDPOINTS].added
        if session.resumed or session.is_warming:
            session.held |= added - (session.clusters_sent or frozenset())
        for deployment_id in added:
            session.endpoints_sent.pop(deployment_id, None)

    def acked(self, session: Session) -> None:
        """See `ResourceType`."""
        session.endpoints_acked.update(session.endpoints_open)
        for deployment_id, acked in session.endpoints_open.items():
            self._state.addresses_in_use.acked(deployment_id, acked.addresses, self._state.now())

    def send_again(self, session: Session) -> None:
        """See `ResourceType`."""
        session.endpoints_sent = dict(session.endpoints_acked)

    def _answerable(self, session: Session) -> frozenset[str]:
        """Deployments whose endpoints may be sent now, also those whose cluster was sent and is no longer wanted.

        It would warm for ever, and while one cluster warms, Envoy says nothing of clusters, also on a new stream.
        """
        wanted, left_alone = self._state.wanted(session), self._state.left_alone(session)
        sent = session.clusters_sent
        if sent is not None:
            return (sent & wanted | (sent - session.legacy - session.endpoints_sent.keys())) - left_alone
        if not session.is_warming:
            return frozenset()
        # what an earlier krane sent and this one does not know may be served until our routes are
        names = session.subscriptions[ENDPOINTS].names or frozenset()
        return (names if session.routes_acked else wanted) - left_alone


class Listeners(ResourceType):
    """The listeners of plain HTTP and of HTTPS. They never change, for Envoy would drain their connections."""

    name = LISTENER

    def next_answer(self, session: Session) -> Any | None:
        """See `ResourceType`."""
        if session.listeners_sent or not session.subscriptions[LISTENER].open:
            return None
        session.listeners_sent = True
        return session.answer(LISTENER, self._state.listeners)

    def acked(self, session: Session) -> None:
        """See `ResourceType`."""
        session.listeners_acked = True

    def send_again(self, session: Session) -> None:
        """See `ResourceType`."""
        session.listeners_sent = False


class Routes(ResourceType):
    """The route table, as far as its targets are ready."""

    name = ROUTES

    def next_answer(self, session: Session) -> Any | None:
        """See `ResourceType`."""
        state, subscription = self._state, session.subscriptions[ROUTES]
        if not subscription.open or ROUTE_TABLE not in (subscription.names or ()):
            return None
        is_warm = session.warm(state.left_alone(session))
        if session.routes_sent is None and not is_warm and state.now() < session.opened_at + WARM_WAIT_S:
            return None
        table = plan(
            state.spec.routes,
            state.served.latest,
            usable=lambda d: session.healthy(d) and state.spec.healthy(d),
            known=lambda d: session.known(d) or d not in state.spec.endpoints,  # a 404 would say: none
            alive=state.spec.healthy,
            refused=state.quarantine.holds,
        )
        if state.quarantine.limit is not None:
            base = state.served.acked or {}
            if len(difference(table, base)) <= state.quarantine.limit:
                state.quarantine.limit = None
            else:
                table = restrict(table, base, state.quarantine.limit)
        if session.routes_sent == table and session.hosts_sent == state.hosts.generation:
            return None
        session.routes_sent, session.hosts_sent = table, state.hosts.generation
        state.served.sent(table)
        return session.answer(ROUTES, [state.table.set(table)])

    def received(self, session: Session, outcome: AckOutcome) -> None:
        """See `ResourceType`."""
        if session.subscriptions[ROUTES].added:
            session.routes_sent = None

    def acked(self, session: Session) -> None:
        """See `ResourceType`."""
        state = self._state
        state.served.accepted(state.now())
        state.hosts.acked = session.hosts_sent
        state.quarantine.accepted()
        state.later(state.drain_s + 0.005, state.on_change)  # timers may fire early by the clock's resolution
        if not session.routes_acked:
            session.routes_acked = True
            state.later(state.drain_s, session.drop_legacy)

    def refused(self, session: Session, reason: str) -> bool:
        """See `ResourceType`. The next table is another one, unless nothing had changed."""
        served = self._state.served
        changes = difference(served.latest, served.acked or {})
        self._state.quarantine.refused(changes, served.latest, self._state.table.hosts(), reason)
        served.refused()
        return not changes

    def send_again(self, session: Session) -> None:
        """See `ResourceType`."""
        session.routes_sent = None


# In the order in which they are sent.
RESOURCE_TYPES: tuple[Callable[[IngressState], ResourceType], ...] = (Clusters, Endpoints, Listeners, Routes)
