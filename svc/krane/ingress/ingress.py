"""`EnvoyIngress`: keeps one Envoy in step with what the controller asks for.

The order is make before break: clusters and endpoints, then (both acknowledged and warm) routes, then (acknowledged and
drained) clusters leave. One task per ADS stream asks `next_answer` for the next thing to send until there is none.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pkg.errors import InvalidArgument
from pkg.observability.logging import fields
from svc.krane.ingress.applied import applied_version, nacks, refused_hosts
from svc.krane.ingress.broadcast import Broadcast
from svc.krane.ingress.desired import Desired
from svc.krane.ingress.held import HeldAddresses
from svc.krane.ingress.listener import ListenerSpec, listener
from svc.krane.ingress.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTES, TYPE_PREFIX, message
from svc.krane.ingress.planner import difference, plan, restrict
from svc.krane.ingress.port import Applied, Endpoint, Nack
from svc.krane.ingress.quarantine import Quarantine, reason
from svc.krane.ingress.resources import ROUTE_TABLE, assignment, cluster
from svc.krane.ingress.served import Served
from svc.krane.ingress.session import Session, Told
from svc.krane.ingress.subscription import AckOutcome
from svc.krane.ingress.table import RouteTable

log = logging.getLogger(__name__)

RETRY_S = 1.0  # until a refused answer is sent again: a taken port may be free by then
LEGACY_WAIT_S = 0.5  # for a resuming Envoy to say which clusters it holds
WARM_WAIT_S = 5.0  # for all clusters of a new stream, before routes follow without the missing ones


@dataclass(frozen=True)
class Timing:
    """Durations of the ingress, in seconds.

    Attributes:
        drain_s: Between Envoy's acknowledgement that a deployment is no longer named and `wait_unlisted`'s answer, for
            requests under way; and until an address that it no longer names may be another's.
    """

    drain_s: float = 0.5


class EnvoyIngress:
    """The `Ingress` port over ADS. Lives on one event loop; not thread-safe."""

    def __init__(self, spec: ListenerSpec, timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._listener = message("envoy.config.listener.v3.Listener", listener(spec)).SerializeToString()
        self._desired = Desired()
        self._served = Served(self._timing.drain_s)
        self._held = HeldAddresses(self._timing.drain_s)
        self._quarantine = Quarantine()
        self._table = RouteTable()
        self._clusters: dict[str, bytes] = {}
        self._session: Session | None = None
        self._ready = False
        self._applied = 0
        self._nacks: list[Nack] = []
        self._broadcast = Broadcast()
        self._concluding = False

    # The port.

    @property
    def applied_version(self) -> int:
        """See `port.Ingress`. Falls to 0 when Envoy goes away and rises again once it acknowledged everything anew."""
        return self._applied

    def remember(self, endpoints: Mapping[str, Sequence[Endpoint]], also_held: Iterable[str] = ()) -> None:
        """See `port.Ingress`."""
        self._held.remembered({d: [e.address for e in listed] for d, listed in endpoints.items()}, also_held)
        for deployment_id in endpoints.keys() - self._desired.endpoints.keys():
            try:
                self._desired.set_endpoints(deployment_id, endpoints[deployment_id])
            except InvalidArgument as error:
                log.warning("remembered endpoints cannot be used", extra=fields(error=error.message))
        self._changed()

    def held_addresses(self) -> frozenset[str] | None:
        """See `port.Ingress`."""
        return self._held.held(self._now())

    def set_endpoints(self, deployment_id: str, endpoints: Sequence[Endpoint]) -> None:
        """See `port.Ingress`.

        Raises:
            InvalidArgument: The id is not one, or an address is not an IP address; nothing was changed.
        """
        if self._desired.set_endpoints(deployment_id, endpoints):
            self._changed()

    def set_routes(self, routes: Mapping[str, str], version: int) -> None:
        """See `port.Ingress`. A route with an impossible hostname is set aside and reported as a `Nack`."""
        self._desired.set_routes(routes, version)
        self._applied = min(self._applied, version - 1)  # also when a restored control plane counts anew
        self._quarantine.keep_only(self._desired.routes)
        self._changed()

    def remove_deployment(self, deployment_id: str) -> None:
        """See `port.Ingress`."""
        if deployment_id in self._desired.endpoints:
            self._desired.leaving.add(deployment_id)
            self._changed()

    async def wait_version(self, version: int, timeout_s: float) -> Applied:
        """See `port.Ingress`."""
        if self._concluding:
            self._conclude()
        try:
            async with asyncio.timeout(timeout_s):
                while self._applied < version:
                    await self._broadcast.wait()
        except TimeoutError:
            pass
        return Applied(self._applied, list(self._nacks))

    async def wait_nacks(self, seen: Sequence[Nack], timeout_s: float) -> bool:
        """See `port.Ingress`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._nacks == list(seen):
                    await self._broadcast.wait()
        except TimeoutError:
            return False
        return True

    def lists(self, deployment_id: str) -> bool:
        """See `port.Ingress`. True for every deployment until Envoy acknowledged a first table of this process."""
        return self._served.lists(deployment_id)

    async def wait_unlisted(self, deployment_id: str, timeout_s: float) -> bool:
        """See `port.Ingress`."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    if self._served.lists(deployment_id):
                        await self._broadcast.wait()
                    elif left_s := self._served.drain_left_s(deployment_id, self._now()):
                        await asyncio.sleep(left_s)
                    else:
                        return True
        except TimeoutError:
            return False

    def mark_ready(self) -> None:
        """See `port.Ingress`."""
        self._ready = True
        self._changed()

    @property
    def connected(self) -> bool:
        """Whether an Envoy is connected."""
        return self._session is not None

    # The stream's side, called by `ads.AdsServer`.

    def open(self, node_id: str) -> Session:
        """Begins a stream. The newest one is served: an older one is what a lost connection left behind."""
        if self._session is not None:
            log.warning("a second ADS stream replaces the first", extra=fields(node_id=node_id))
            self._session.close()
        self._session = session = Session(node_id, self._now())
        self._applied = 0
        loop = asyncio.get_running_loop()
        for delay_s in (LEGACY_WAIT_S, WARM_WAIT_S):
            loop.call_later(delay_s, session.wake.set)
        log.info("envoy connected", extra=fields(node_id=node_id))
        return session

    def closed(self, session: Session) -> None:
        """Ends a stream; what it left unacknowledged may be served all the same."""
        session.closed = True
        if self._session is session:
            self._session = None
            self._applied = 0
            self._changed()
            log.warning("envoy disconnected", extra=fields(node_id=session.node_id))

    def receive(self, session: Session, request: Any) -> None:
        """Takes in one DiscoveryRequest."""
        kind = request.type_url.removeprefix(TYPE_PREFIX)
        subscription = session.subscriptions.get(kind)
        if subscription is None or session is not self._session:
            return
        outcome = subscription.receive(request)
        if outcome is AckOutcome.STALE:
            return
        if kind == CLUSTER and outcome is AckOutcome.SUBSCRIBED and not session.resumed:
            self._held.keep_only(frozenset(), self._now())  # it has just started and holds nothing
            self._held.complete(self._now())
        if kind == ENDPOINTS:
            if session.resumed or session.is_warming:
                session.held |= subscription.added - (session.clusters_sent or frozenset())
            for deployment_id in subscription.added:
                session.endpoints_sent.pop(deployment_id, None)
        elif kind == ROUTES and subscription.added:
            session.routes_sent = None
        if outcome is AckOutcome.ACKED:
            self._acked(session, kind)
        elif outcome is AckOutcome.REFUSED:
            subscription.error = reason(subscription.error)
            self._refused(session, kind, subscription.error)
        self._changed()

    def next_answer(self, session: Session) -> Any | None:
        """The next DiscoveryResponse to send on this stream; None when there is nothing to say for now."""
        if not self._ready or session is not self._session:
            return None
        for step in (self._next_clusters, self._next_endpoints, self._next_listener, self._next_routes):
            if (answer := step(session)) is not None:
                return answer
        return None

    # What to send, in this order.

    def _next_clusters(self, session: Session) -> Any | None:
        if not session.subscriptions[CLUSTER].open:
            return None
        if session.clusters_sent is None and session.resumed:
            held = session.subscriptions[ENDPOINTS].names
            if held is None and self._now() < session.opened_at + LEGACY_WAIT_S:
                return None
            session.held |= held or frozenset()
            if not session.routes_acked:
                session.legacy = (held or frozenset()) - self._wanted(session)
        wanted = self._wanted(session) | session.legacy
        if session.clusters_sent == wanted and CLUSTER not in session.again:
            return None
        session.again.discard(CLUSTER)
        return session.send_clusters(wanted, [self._cluster(d) for d in sorted(wanted)])

    def _next_endpoints(self, session: Session) -> Any | None:
        subscription = session.subscriptions[ENDPOINTS]
        if not subscription.open:
            return None
        told = {}
        for deployment_id in (subscription.names or frozenset()) & self._answerable(session):
            now = Told(
                self._desired.generations.get(deployment_id, 0),
                self._desired.healthy(deployment_id),
                frozenset(e.address for e in self._desired.endpoints.get(deployment_id, ())),
            )
            if session.endpoints_sent.get(deployment_id) != now:
                told[deployment_id] = now
        if not told:
            return None
        for deployment_id, what in told.items():
            self._held.sent(deployment_id, what.addresses)
        resources = [
            message(ENDPOINTS, assignment(d, self._desired.endpoints.get(d, ()))).SerializeToString() for d in told
        ]
        return session.send_endpoints(told, resources)

    def _answerable(self, session: Session) -> frozenset[str]:
        """Whose endpoints may be told now: also of a cluster that Envoy was told of and nobody wants any more.

        It would warm for ever, and while one cluster warms, Envoy says nothing of clusters, also on a new stream.
        """
        wanted, sent, left_alone = self._wanted(session), session.clusters_sent, self._left_alone(session)
        if sent is not None:
            return (sent & wanted | (sent - session.legacy - session.endpoints_sent.keys())) - left_alone
        if not session.is_warming:
            return frozenset()
        # what an earlier krane told of and this one does not know may be served until our routes are
        names = session.subscriptions[ENDPOINTS].names or frozenset()
        return (names if session.routes_acked else wanted) - left_alone

    def _next_listener(self, session: Session) -> Any | None:
        if session.listener_sent or not session.subscriptions[LISTENER].open:
            return None
        session.listener_sent = True
        return session.answer(LISTENER, [self._listener])

    def _next_routes(self, session: Session) -> Any | None:
        subscription = session.subscriptions[ROUTES]
        if not subscription.open or ROUTE_TABLE not in (subscription.names or ()):
            return None
        is_warm = session.warm(self._left_alone(session))
        if session.routes_sent is None and not is_warm and self._now() < session.opened_at + WARM_WAIT_S:
            return None
        table = plan(
            self._desired.routes,
            self._served.latest,
            usable=lambda d: session.healthy(d) and self._desired.healthy(d),
            known=lambda d: session.known(d) or d not in self._desired.endpoints,  # a 404 would say: none
            alive=self._desired.healthy,
            refused=self._quarantine.holds,
        )
        if self._quarantine.limit is not None:
            base = self._served.acked or {}
            if len(difference(table, base)) <= self._quarantine.limit:
                self._quarantine.limit = None
            else:
                table = restrict(table, base, self._quarantine.limit)
        if session.routes_sent == table:
            return None
        session.routes_sent = table
        self._served.sent(table)
        return session.answer(ROUTES, [self._table.set(table)])

    def _named(self) -> frozenset[str]:
        return frozenset(self._desired.routes.values()) | self._served.names

    def _left_alone(self, session: Session) -> frozenset[str]:
        """Named deployments of which nothing is known: Envoy keeps what it holds of them, and is told nothing."""
        return self._desired.unknown(self._named() & session.held)

    def _wanted(self, session: Session) -> frozenset[str]:
        """The clusters. One that is not known and that Envoy does not hold would warm for ever, and all with it."""
        return frozenset(self._desired.endpoints) | self._left_alone(session)

    def _cluster(self, deployment_id: str) -> bytes:
        if deployment_id not in self._clusters:
            self._clusters[deployment_id] = message(CLUSTER, cluster(deployment_id)).SerializeToString()
        return self._clusters[deployment_id]

    # What Envoy said.

    def _acked(self, session: Session, kind: str) -> None:
        if kind == ENDPOINTS:
            session.endpoints_acked.update(session.endpoints_open)
            for deployment_id, told in session.endpoints_open.items():
                self._held.acked(deployment_id, told.addresses, self._now())
        elif kind == CLUSTER:
            self._held.keep_only(session.clusters_sent or frozenset(), self._now())
        elif kind == ROUTES:
            self._served.accepted(self._now())
            self._quarantine.accepted()
            self._later(self._timing.drain_s)
            if not session.routes_acked:
                session.routes_acked = True
                asyncio.get_running_loop().call_later(self._timing.drain_s, self._drop_legacy, session)

    def _refused(self, session: Session, kind: str, text: str) -> None:
        log.warning("envoy refused a resource", extra=fields(resource=kind, reason=text))
        if kind == ROUTES:
            table, base = self._served.latest, self._served.acked or {}
            changes = difference(table, base)
            self._quarantine.refused(changes, table, self._table.hosts(), text)
            self._served.refused()
            if changes:  # the next table is another one; the same one would only be refused again
                return
        asyncio.get_running_loop().call_later(RETRY_S, self._again, session, kind)

    def _again(self, session: Session, kind: str) -> None:
        if kind == CLUSTER:
            session.again.add(kind)
        elif kind == ENDPOINTS:
            session.endpoints_sent = dict(session.endpoints_acked)
        elif kind == LISTENER:
            session.listener_sent = False
        else:
            session.routes_sent = None
        session.wake.set()

    def _drop_legacy(self, session: Session) -> None:
        session.legacy = frozenset()
        session.wake.set()

    # What follows from it.

    def _changed(self) -> None:
        """Something changed. The conclusions are drawn once for all changes of one turn of the loop."""
        if not self._concluding:
            self._concluding = True
            asyncio.get_running_loop().call_soon(self._conclude)

    def _later(self, delay_s: float) -> None:
        """Looks again when a time is over (a little later: timers may fire early by the clock's resolution)."""
        asyncio.get_running_loop().call_later(delay_s + 0.005, self._changed)

    def _conclude(self) -> None:
        self._concluding = False
        self._settle()
        self._forget()
        before = self._applied
        self._draw_conclusions()
        if self._applied > before:
            log.info("routes applied", extra=fields(version=self._applied))
        if self._session is not None:
            self._session.wake.set()
        self._broadcast.notify()

    def _settle(self) -> None:
        session = self._session
        if session is None or not session.routes_acked:
            return
        acked = self._served.acked or {}
        for hostname in list(self._desired.unsettled):
            target = self._desired.routes[hostname]
            if acked.get(hostname) == target and session.healthy(target):
                self._desired.unsettled.discard(hostname)
        is_all_told = not session.legacy and not self._left_alone(session)
        if is_all_told and session.warm(frozenset()) and not session.subscriptions[ENDPOINTS].waiting:
            self._held.complete(self._now())

    def _forget(self) -> None:
        now = self._now()
        named = frozenset(self._desired.routes.values())
        for deployment_id in list(self._desired.leaving - named):
            if not self._served.lists(deployment_id) and not self._served.drain_left_s(deployment_id, now):
                self._desired.forget_deployment(deployment_id)
                self._clusters.pop(deployment_id, None)

    def _draw_conclusions(self) -> None:
        session, desired = self._session, self._desired
        quarantined = {hostname: refusal.message for hostname, refusal in self._quarantine.refusals.items()}
        refused = refused_hosts(desired, quarantined, self._served.latest)
        subscriptions = session.subscriptions if session is not None else {}
        errors = [
            f"{kind.rpartition('.')[2]}: {subscription.error}"
            for kind, subscription in subscriptions.items()
            if subscription.error and (kind != ROUTES or not self._quarantine.refusals)
        ]
        self._nacks = nacks(desired, refused, errors)
        if session is None or not session.routes_acked:
            self._applied = 0
            return
        acked = self._served.acked or {}
        desired.forget_hosts(acked)
        self._applied = applied_version(desired, acked, refused)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
