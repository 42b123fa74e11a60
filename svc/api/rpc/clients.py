"""From where a call comes: the peer of the connection, or the client that a trusted proxy names."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from pkg.errors import ResourceExhausted

MAX_CALLS = 128
# Of HTTP, where each request holds a connection of the ingress to the api: six clients share what it may open.
MAX_REQUESTS = 32
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Client:
    """From where a call comes.

    Attributes:
        address: IP address; "" for a unix socket.
        server_url: the URL, without a path, under which a proxy took the call; "" if it came without one.
        is_behind_proxy: a trusted proxy passed the call on.
    """

    address: str = ""
    server_url: str = ""
    is_behind_proxy: bool = False

    @property
    def server_host(self) -> str:
        """The host of `server_url`, in lower case; "" if it came without a proxy."""
        return urlsplit(self.server_url).hostname or ""


class Clients:
    """Finds out from where calls come, and bounds how many of one client that comes through a proxy are under way.

    All clients of a proxy share its few connections, so that bounds on connections do not part them.

    Args:
        trusted_proxies: networks and addresses of proxies whose X-Forwarded-* headers are believed.
        max_calls: at once of one IPv4 address or IPv6 /64, streams included.
        max_requests: of HTTP, transfers of objects included, at once of the same.
    """

    def __init__(
        self, trusted_proxies: Sequence[str], max_calls: int = MAX_CALLS, max_requests: int = MAX_REQUESTS
    ) -> None:
        self._trusted = [ip_network(network) for network in trusted_proxies]
        self._max_calls = max_calls
        self._max_requests = max_requests
        self._calls: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()

    def client(self, peer: str, metadata: Mapping[str, str]) -> Client:
        """The client of a call, from the address of the connection's peer and the call's headers (lower-case names)."""
        found = _parse(peer)
        forwarded = metadata.get("x-forwarded-for", "")
        if found is None or not forwarded or not self._is_trusted(found):
            return Client(str(found) if found else "")
        for entry in reversed(forwarded.split(",")):
            named = _parse(entry.strip())
            if named is None:
                break
            found = named
            if not self._is_trusted(named):
                break
        return Client(str(found), _server_url(metadata), is_behind_proxy=True)

    def counted(self, client: Client) -> AbstractContextManager[None]:
        """Counts a call while it is under way. Raises ResourceExhausted `server.too_many_calls` when it begins."""
        return _counted(self._calls, client, self._max_calls, "calls")

    def counted_request(self, client: Client) -> AbstractContextManager[None]:
        """Counts an HTTP request, whatever it is for; otherwise as `counted`."""
        return _counted(self._requests, client, self._max_requests, "HTTP requests")

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


@contextlib.contextmanager
def _counted(under_way: Counter[str], client: Client, most: int, what: str) -> Iterator[None]:
    if not client.is_behind_proxy:  # whatever it wrote into Host, of which `server_url` is made
        yield
        return
    key = _network_of(client.address)
    if under_way[key] >= most:
        message = f"{most} {what} from {client.address} are under way: wait until some have ended."
        raise ResourceExhausted("server.too_many_calls", message)
    under_way[key] += 1
    try:
        yield
    finally:
        under_way[key] -= 1
        if not under_way[key]:
            del under_way[key]


def grpc_peer(peer: str) -> str:
    """The IP address in gRPC's name of a peer, as "ipv4:127.0.0.1:5000" or "ipv6:[::1]:5000"; "" if it has none."""
    family, _, rest = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return ""
    return rest.replace("%5B", "[").replace("%5D", "]").rpartition(":")[0].strip("[]")


def _parse(text: str) -> Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _network_of(address: str) -> str:
    return str(ip_network((address, 64), strict=False)) if ":" in address else address


def _server_url(metadata: Mapping[str, str]) -> str:
    scheme = metadata.get("x-forwarded-proto", "").lower()
    host = metadata.get("x-forwarded-host", "").partition(",")[0].strip()
    return f"{scheme}://{host}" if scheme in ("http", "https") and _AUTHORITY.fullmatch(host) else ""
