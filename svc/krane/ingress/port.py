"""The port between krane's controller and the ingress: what may be asked, and what each answer means.

The controller owns the truth about instances (its probes) and routes (the feed); an `Ingress` makes the data plane
match and says when it does. Versions are those of the desired-state feed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pkg.desired.protocol import AppProtocol
from pkg.desired.route import Route


@dataclass(frozen=True)
class Endpoint:
    """One instance as the data plane reaches it.

    Attributes:
        address: An IP address (v4 or v6), never a name.
        port: TCP port, 1..65535.
        healthy: krane's probe verdict, the only health truth; unhealthy endpoints get no traffic.
    """

    address: str
    port: int
    healthy: bool


@dataclass(frozen=True)
class Certificate:
    """A TLS certificate with its key.

    Attributes:
        certificate_id: Identifies it; another content has another one, or replaces this one.
        names: What it is for: hostnames in lower case, or "*.domain".
        chain_pem: The certificate, then its issuers.
        private_key_pem: The key; in no log.
        not_after: Epoch milliseconds.
    """

    certificate_id: str
    names: tuple[str, ...]
    chain_pem: bytes
    private_key_pem: bytes = field(repr=False)
    not_after: int


@dataclass(frozen=True)
class Challenge:
    """The answer to an HTTP-01 challenge (RFC 8555, 8.3).

    Attributes:
        token: The last part of the path.
        hostname: For which it answers.
        key_authorization: The body of the answer.
    """

    token: str
    hostname: str
    key_authorization: str


@dataclass(frozen=True)
class Nack:
    """One route that the data plane does not serve as asked.

    Attributes:
        version: Version of the route table that carried it.
        hostname: The route at fault; empty when the data plane refused something that no single route explains.
        message: Why, as text for people.
    """

    version: int
    hostname: str
    message: str


@dataclass(frozen=True)
class Applied:
    """What the data plane serves.

    Attributes:
        version: Highest version of which every change is served (or refused, see `nacks`).
        nacks: Routes of the table in force that are refused, or can't be served for now; empty when all is served as
            asked. A later answer for the same version may have fewer, or others.
    """

    version: int
    nacks: list[Nack] = field(default_factory=list)


class Ingress(Protocol):
    """The data plane's control, as the controller sees it. All plain methods return at once and are idempotent."""

    @property
    def applied_version(self) -> int:
        """Version of which the connected data plane acknowledged (or refused, see `Nack`) every change.

        0 before the first, and again when the data plane goes away until a new one acknowledged everything.
        """
        ...

    def remember(self, endpoints: Mapping[str, Sequence[Endpoint]], also_held: Iterable[str] = ()) -> None:
        """What an earlier process had set, complete: served until `set_endpoints` or `remove_deployment` replaces it.

        `also_held`: addresses that the data plane may hold beside them. Endpoints that are not valid are left out.
        """
        ...

    def held_addresses(self) -> frozenset[str] | None:
        """Addresses to which the data plane may still send requests; none of them may be given to another app.

        None: not known yet, for the data plane may hold what an earlier krane sent it. Ends with `remember`, with a
        data plane that starts empty, or with one that acknowledged everything again.
        """
        ...

    def set_endpoints(self, deployment_id: str, endpoints: Sequence[Endpoint]) -> None:
        """Replaces the complete list of a deployment's endpoints (empty is allowed and means none).

        Before the first call nothing is known of them, and what the data plane has is left as it is.

        Raises:
            InvalidArgument: `deployment_id` is not one, or an address is not an IP address; nothing was changed.
        """
        ...

    def set_protocols(self, protocols: Mapping[str, AppProtocol]) -> None:
        """What the apps of deployments speak; of one that is never named it is HTTP/1.1.

        Called with a deployment before its first endpoints and routes; it stays the same for as long as one exists.
        """
        ...

    def set_routes(self, routes: Mapping[str, Route], version: int) -> None:
        """Replaces the complete table of routes by hostname.

        `version` grows, but for a restored control plane that starts over. A route to a deployment without a healthy
        endpoint is held: the host keeps the route it had while the deployments of that have one.
        """
        ...

    def set_certificates(self, certificates: Mapping[str, Certificate], version: int) -> None:
        """Replaces all certificates, by id. Called before `set_routes` of the same version.

        `version` counts as applied once the data plane has acknowledged those of them that it holds. Connections stay
        open. A hostname without one is not served by HTTPS.
        """
        ...

    def set_challenges(self, challenges: Mapping[str, Challenge], version: int) -> None:
        """Replaces all challenges, by token. Called before `set_routes` of the same version.

        Each is answered by plain HTTP, whether or not its hostname has a route.
        """
        ...

    def remove_deployment(self, deployment_id: str) -> None:
        """Forgets a deployment; its cluster leaves the data plane once no served route names it."""
        ...

    async def wait_nacks(self, seen: Sequence[Nack], timeout_s: float) -> bool:
        """Waits until what is refused differs from `seen`, at most `timeout_s` seconds; False when time ran out."""
        ...

    async def wait_version(self, version: int, timeout_s: float) -> Applied:
        """Waits until `version` is applied or refused, at most `timeout_s` seconds.

        Never raises for a slow or absent data plane: the answer's version is then lower than asked.
        """
        ...

    def lists(self, deployment_id: str) -> bool:
        """True while the data plane may still send new requests there (an acknowledged or in-flight table names it).

        Also true for every deployment until the data plane acknowledged a first table of this process: it may serve
        one of an earlier krane.
        """
        ...

    async def wait_unlisted(self, deployment_id: str, timeout_s: float) -> bool:
        """Waits until nothing names the deployment any more and the drain is over; False when time ran out."""
        ...

    def mark_ready(self) -> None:
        """Says that the routes are complete; the data plane gets no answer before this."""
        ...
