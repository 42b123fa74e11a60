"""What the controller wants the ingress to serve: endpoints, routes, and the version of each route's last change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pkg.desired.protocol import AppProtocol
from pkg.desired.route import Route
from pkg.errors import InvalidArgument
from svc.krane.ingress.hostnames import address_problem, deployment_problem, route_problem, routed_hostname_problem
from svc.krane.ingress.port import Endpoint


@dataclass
class IngressSpec:
    """What the controller wants the ingress to serve.

    Attributes:
        version: Of the route table.
        routes: The valid routes, by hostname.
        invalid: Routes that never reach Envoy, hostname -> why.
        changed: Version of each host's last change; removed hosts stay until `forget_hosts`.
        unsettled: Hosts whose change was never served by a healthy endpoint yet.
        endpoints: Endpoints of each deployment of which they are known; of others nothing is known, which is not
            the same as none.
        protocols: What the apps of deployments speak that do not speak HTTP/1.1.
        generations: Counts the changes of each deployment's endpoints.
        leaving: Deployments to forget as soon as no served route names them.
    """

    version: int = 0
    routes: dict[str, Route] = field(default_factory=dict)
    invalid: dict[str, str] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    endpoints: dict[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    protocols: dict[str, AppProtocol] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)
    _generation: int = 0

    def set_endpoints(self, deployment_id: str, endpoints: Sequence[Endpoint]) -> bool:
        """Replaces a deployment's endpoints; whether that changed anything.

        Raises:
            InvalidArgument: The id or an address could never reach Envoy; nothing was changed.
        """
        if problem := deployment_problem(deployment_id):
            raise InvalidArgument("deployment_id", problem)
        for endpoint in endpoints:
            if problem := address_problem(endpoint.address, endpoint.port):
                raise InvalidArgument("endpoints", f"{deployment_id}: {problem}")
        returned = deployment_id in self.leaving
        self.leaving.discard(deployment_id)
        if self.endpoints.get(deployment_id) == tuple(endpoints):
            return returned
        self.endpoints[deployment_id] = tuple(endpoints)
        self._generation += 1
        self.generations[deployment_id] = self._generation
        return True

    def set_routes(self, routes: Mapping[str, Route], version: int) -> None:
        """Replaces the table. Invalid routes are set aside, one by one."""
        valid, invalid = {}, {}
        for hostname, route in routes.items():
            known = self.routes.get(hostname)
            if known == route:  # checked before; the kept value makes every later comparison one of identity
                valid[hostname] = known
            elif problem := routed_hostname_problem(hostname) or route_problem(route):
                invalid[hostname] = problem
            else:
                valid[hostname] = route
        moved = [h for h in valid.keys() | self.routes.keys() if valid.get(h) != self.routes.get(h)]
        new_invalid = [h for h in invalid if h not in self.invalid]
        if version < self.version:  # a restored control plane starts over
            self.changed = {h: min(v, version) for h, v in self.changed.items()}
        for hostname in (*moved, *new_invalid):
            self.changed[hostname] = version
        for hostname in moved:
            if hostname in valid:
                self.unsettled.add(hostname)
            else:
                self.unsettled.discard(hostname)
        self.routes, self.invalid, self.version = valid, invalid, version

    def healthy(self, deployment_id: str) -> bool:
        """Whether krane sees a healthy endpoint of the deployment."""
        return any(e.healthy for e in self.endpoints.get(deployment_id, ()))

    def unknown(self, deployment_ids: Iterable[str]) -> frozenset[str]:
        """Those of which it is not known whether they have endpoints."""
        return frozenset(deployment_ids) - self.endpoints.keys()

    def forget_hosts(self, served: Mapping[str, Route]) -> None:
        """Drops what is kept of removed hosts that are no longer `served`."""
        for hostname in self.changed.keys() - self.routes.keys() - self.invalid.keys() - served.keys():
            del self.changed[hostname]

    def forget_deployment(self, deployment_id: str) -> None:
        """Drops a deployment."""
        self.leaving.discard(deployment_id)
        self.endpoints.pop(deployment_id, None)
        self.protocols.pop(deployment_id, None)
        self.generations.pop(deployment_id, None)
