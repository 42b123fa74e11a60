"""`EnvoyIngress`: keeps one Envoy in step with what the controller asks for.

One task per ADS stream asks `next_answer` for the next thing to send until there is none. What that is, and what
Envoy's answer to it means, is in `resource_types`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pkg.desired.protocol import AppProtocol
from pkg.desired.route import Route, deployments_of
from pkg.errors import InvalidArgument
from pkg.observability.logging import fields
from svc.krane.ingress.api_host import clusters
from svc.krane.ingress.applied import applied_version, nacks, refused_hosts
from svc.krane.ingress.broadcast import Broadcast
from svc.krane.ingress.hosts import Hosts
from svc.krane.ingress.listener import ListenerSpec, listeners
from svc.krane.ingress.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTES, TYPE_PREFIX, message
from svc.krane.ingress.port import Applied, Certificate, Challenge, Endpoint, Nack
from svc.krane.ingress.quarantine import reason
from svc.krane.ingress.resource_types import LEGACY_WAIT_S, RESOURCE_TYPES, WARM_WAIT_S, ResourceType
from svc.krane.ingress.secrets import Secrets
from svc.krane.ingress.session import Session
from svc.krane.ingress.state import IngressState
from svc.krane.ingress.subscription import AckOutcome
from svc.krane.ingress.table import RouteTable

log = logging.getLogger(__name__)

RETRY_S = 1.0  # until a refused answer is sent again: a taken port may be free by then


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

    def __init__(
        self,
        spec: ListenerSpec,
        timing: Timing | None = None,
        resource_types: Sequence[Callable[[IngressState], ResourceType]] = RESOURCE_TYPES,
    ) -> None:
        self._secrets = Secrets(self._is_routed, self._changed)
        hosts = Hosts(spec.tls, spec.api.hostname if spec.api else "", self._secrets.certificates)
        self._state = IngressState(
            [message(LISTENER, one).SerializeToString() for one in listeners(spec)],
            [message(CLUSTER, one).SerializeToString() for one in (clusters(spec.api) if spec.api else [])],
            hosts,
            RouteTable(hosts, spec.tls, spec.api),
            (timing or Timing()).drain_s,
            self._changed,
        )
        made = [make(self._state) for make in resource_types]
        self._types = {one.name: one for one in made}
        self._session: Session | None = None
        self._ready = False
        self._applied = 0
        self._nacks: list[Nack] = []
        self._broadcast = Broadcast()
        self._concluding = False

    # The port.

    @property
    def applied_version(self) -> int:
        """See `port.Ingress`. Falls to 0 when Envoy goes away, and rises once one acknowledged everything again."""
        return self._applied

    def remember(self, endpoints: Mapping[str, Sequence[Endpoint]], also_held: Iterable[str] = ()) -> None:
        """See `port.Ingress`."""
        self._state.addresses_in_use.remembered(
            {d: [e.address for e in listed] for d, listed in endpoints.items()}, also_held
        )
        for deployment_id in endpoints.keys() - self._state.spec.endpoints.keys():
            try:
                self._state.spec.set_endpoints(deployment_id, endpoints[deployment_id])
            except InvalidArgument as error:
                log.warning("remembered endpoints cannot be used", extra=fields(error=error.message))
        self._changed()

    def held_addresses(self) -> frozenset[str] | None:
        """See `port.Ingress`."""
        return self._state.addresses_in_use.in_use(self._state.now())

    def set_endpoints(self, deployment_id: str, endpoints: Sequence[Endpoint]) -> None:
        """See `port.Ingress`.

        Raises:
            InvalidArgument: The id is not one, or an address is not an IP address; nothing was changed.
        """
        if self._state.spec.set_endpoints(deployment_id, endpoints):
            self._changed()

    def set_protocols(self, protocols: Mapping[str, AppProtocol]) -> None:
        """See `port.Ingress`."""
        self._state.spec.protocols.update(protocols)

    def set_routes(self, routes: Mapping[str, Route], version: int) -> None:
        """See `port.Ingress`. A route with an impossible hostname is set aside and reported as a `Nack`."""
        self._state.spec.set_routes(routes, version)
        self._applied = min(self._applied, version - 1)  # also when a restored control plane starts over
        self._state.quarantine.keep_only(self._state.spec.routes)
        self._changed()

    def set_certificates(self, certificates: Mapping[str, Certificate], version: int) -> None:
        """See `port.Ingress`."""
        if self._secrets.set(certificates, version):
            self._state.hosts.certificates_changed(version)
            self._changed()

    def set_challenges(self, challenges: Mapping[str, Challenge], version: int) -> None:
        """See `port.Ingress`."""
        if self._state.hosts.set_challenges(challenges, version):
            self._changed()

    def remove_deployment(self, deployment_id: str) -> None:
        """See `port.Ingress`."""
        if deployment_id in self._state.spec.endpoints:
            self._state.spec.leaving.add(deployment_id)
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
        return self._state.served.lists(deployment_id)

    async def wait_unlisted(self, deployment_id: str, timeout_s: float) -> bool:
        """See `port.Ingress`."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    if self._state.served.lists(deployment_id):
                        await self._broadcast.wait()
                    elif left_s := self._state.served.drain_left_s(deployment_id, self._state.now()):
                        await asyncio.sleep(left_s)
                    else:
                        return True
        except TimeoutError:
            return False

    def mark_ready(self) -> None:
        """See `port.Ingress`."""
        self._ready = True
        self._secrets.mark_ready()
        self._changed()

    @property
    def connected(self) -> bool:
        """Whether an Envoy is connected."""
        return self._session is not None

    # The streams' side, called by `ads.AdsServer`.

    @property
    def secrets(self) -> Secrets:
        """The streams of certificates."""
        return self._secrets

    def open(self, node_id: str) -> Session:
        """Begins a stream. The newest one is served: an older one is what a lost connection left behind."""
        if self._session is not None:
            log.warning("a second ADS stream replaces the first", extra=fields(node_id=node_id))
            self._session.close()
        self._session = session = Session(node_id, self._state.now(), self._types)
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
        name = request.type_url.removeprefix(TYPE_PREFIX)
        subscription = session.subscriptions.get(name)
        if subscription is None or session is not self._session:
            return
        outcome = subscription.receive(request)
        if outcome is AckOutcome.STALE:
            return
        resource_type = self._types[name]
        resource_type.received(session, outcome)
        if outcome is AckOutcome.ACKED:
            resource_type.acked(session)
        elif outcome is AckOutcome.REFUSED:
            subscription.error = reason(subscription.error)
            log.warning("envoy refused a resource", extra=fields(resource=name, reason=subscription.error))
            if resource_type.refused(session, subscription.error):
                self._state.later(RETRY_S, self._send_again, session, resource_type)
        self._changed()

    def next_answer(self, session: Session) -> Any | None:
        """The next DiscoveryResponse to send on this stream; None when there is nothing to say for now."""
        if not self._ready or session is not self._session:
            return None
        for resource_type in self._types.values():
            if (answer := resource_type.next_answer(session)) is not None:
                return answer
        return None

    # What follows from it.

    def _changed(self) -> None:
        """Something changed. The conclusions are drawn once for all changes of one turn of the loop."""
        if not self._concluding:
            self._concluding = True
            asyncio.get_running_loop().call_soon(self._conclude)

    @staticmethod
    def _send_again(session: Session, resource_type: ResourceType) -> None:
        resource_type.send_again(session)
        session.wake.set()

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
        session, spec = self._session, self._state.spec
        if session is None or not session.routes_acked:
            return
        acked = self._state.served.acked or {}
        for hostname in list(spec.unsettled):
            route = spec.routes[hostname]
            if acked.get(hostname) == route and all(session.healthy(d) for d in route.deployment_ids):
                spec.unsettled.discard(hostname)
        is_all_told = not session.legacy and not self._state.left_alone(session)
        if is_all_told and session.warm(frozenset()) and not session.subscriptions[ENDPOINTS].waiting:
            self._state.addresses_in_use.complete(self._state.now())

    def _forget(self) -> None:
        now, spec, served = self._state.now(), self._state.spec, self._state.served
        for deployment_id in list(spec.leaving - deployments_of(spec.routes)):
            if not served.lists(deployment_id) and not served.drain_left_s(deployment_id, now):
                spec.forget_deployment(deployment_id)
                for resource_type in self._types.values():
                    resource_type.forget(deployment_id)

    def _draw_conclusions(self) -> None:
        session, spec = self._session, self._state.spec
        quarantined = {hostname: refusal.message for hostname, refusal in self._state.quarantine.refusals.items()}
        refused = refused_hosts(spec, quarantined, self._state.served.latest)
        subscriptions = session.subscriptions if session is not None else {}
        errors = [
            f"{name.rpartition('.')[2]}: {subscription.error}"
            for name, subscription in subscriptions.items()
            if subscription.error and (name != ROUTES or not self._state.quarantine.refusals)
        ]
        errors += [*self._state.hosts.problems(), *self._secrets.problems()]
        self._nacks = nacks(spec, refused, errors)
        if session is None or not (session.routes_acked and session.listeners_acked):
            self._applied = 0
            return
        acked = self._state.served.acked or {}
        spec.forget_hosts(acked)
        applied = applied_version(spec, acked, refused)
        self._applied = self._secrets.applied_version(self._state.hosts.applied_version(applied))

    def _is_routed(self, hostname: str) -> bool:
        return hostname in self._state.spec.routes or hostname in self._state.hosts.without_route()
