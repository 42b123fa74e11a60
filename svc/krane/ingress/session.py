"""What was sent to one connected Envoy and what it has acknowledged."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pkg.desired.route import Route
from svc.krane.ingress.messages import CLUSTER, ENDPOINTS, TYPE_PREFIX, DiscoveryResponse
from svc.krane.ingress.subscription import Subscription

_nonces = itertools.count(1)  # of the process, so that no two streams share one


@dataclass(frozen=True)
class SentEndpoints:
    """The endpoints of one deployment as they were sent to Envoy."""

    generation: int
    healthy: bool
    addresses: frozenset[str] = frozenset()


class Session:
    """One ADS stream.

    Attributes:
        wake: Set whenever there may be something to send.
        clusters_sent: Deployments of the last CDS answer; None before the first.
        endpoints_sent: The latest that was sent of each deployment's endpoints.
        endpoints_acked: The latest that was acknowledged.
        held: Deployments whose endpoints Envoy held when it connected.
        legacy: Clusters that Envoy held when it connected and this process does not know (yet): kept until the first
            route table of this session is acknowledged, for the old one may still name them.
        again: Types whose last answer Envoy refused and that are due to be sent once more.
        listeners_acked: Whether Envoy took the listeners of this stream: all of them listen.
        hosts_sent: Generation of what hostnames have beside their routes, in the table sent last.
        routes_acked: Whether a route table was acknowledged on this stream.
    """

    def __init__(self, node_id: str, now: float, resource_types: Iterable[str]) -> None:
        self.node_id = node_id
        self.opened_at = now
        self.wake = asyncio.Event()
        self.closed = False
        self.subscriptions = {name: Subscription() for name in resource_types}
        self.clusters_sent: frozenset[str] | None = None
        self.endpoints_sent: dict[str, SentEndpoints] = {}
        self.endpoints_acked: dict[str, SentEndpoints] = {}
        self.endpoints_open: dict[str, SentEndpoints] = {}
        self.held: frozenset[str] = frozenset()
        self.legacy: frozenset[str] = frozenset()
        self.listeners_sent = False
        self.listeners_acked = False
        self.routes_sent: Mapping[str, Route] | None = None
        self.hosts_sent = 0
        self.again: set[str] = set()
        self.routes_acked = False

    @property
    def resumed(self) -> bool:
        """Whether Envoy had a configuration when it connected."""
        return self.subscriptions[CLUSTER].resumed

    @property
    def is_warming(self) -> bool:
        """Whether Envoy connected with a cluster whose endpoints an earlier stream still owed it.

        It then holds back its request for clusters, otherwise the first of a stream, until it has heard of them.
        """
        return self.subscriptions[CLUSTER].names is None and self.subscriptions[ENDPOINTS].names is not None

    def close(self) -> None:
        """Ends the stream at its next wake-up."""
        self.closed = True
        self.wake.set()

    def drop_legacy(self) -> None:
        """Drops clusters that no table names any more: requests under way have had their time."""
        self.legacy = frozenset()
        self.wake.set()

    def answer(self, kind: str, resources: Iterable[bytes]) -> Any:
        """A DiscoveryResponse of the type `kind`, booked as open."""
        nonce = str(next(_nonces))
        response = DiscoveryResponse(version_info=nonce, nonce=nonce, type_url=TYPE_PREFIX + kind)
        for value in resources:
            response.resources.add(type_url=TYPE_PREFIX + kind, value=value)
        self.subscriptions[kind].sent(nonce)
        return response

    def send_clusters(self, deployments: frozenset[str], resources: Iterable[bytes]) -> Any:
        """The CDS answer. Endpoints of a new cluster that were sent before it do not count."""
        before = self.clusters_sent or frozenset()
        for deployment_id in deployments ^ before:
            self.endpoints_sent.pop(deployment_id, None)
            self.endpoints_acked.pop(deployment_id, None)
            self.endpoints_open.pop(deployment_id, None)
        self.clusters_sent = deployments
        return self.answer(CLUSTER, resources)

    def send_endpoints(self, sent: Mapping[str, SentEndpoints], resources: Iterable[bytes]) -> Any:
        """An EDS answer about some deployments; the others stay as they are."""
        self.endpoints_open = dict(sent)
        self.endpoints_sent.update(sent)
        return self.answer(ENDPOINTS, resources)

    def known(self, deployment_id: str) -> bool:
        """Whether Envoy holds the deployment's cluster, warm: it requested the endpoints and acknowledged them."""
        return deployment_id in self.endpoints_acked

    def healthy(self, deployment_id: str) -> bool:
        """Whether Envoy holds the cluster and a healthy endpoint of it."""
        acked = self.endpoints_acked.get(deployment_id)
        return acked is not None and acked.healthy

    def warm(self, left_alone: frozenset[str]) -> bool:
        """Whether Envoy holds all clusters that were sent to it, so that a route table may follow.

        `left_alone`: those of which nothing is sent; Envoy keeps what it has of them.
        """
        if self.clusters_sent is None or self.subscriptions[CLUSTER].waiting:
            return False
        return all(d in self.endpoints_acked for d in self.clusters_sent - self.legacy - left_alone)
