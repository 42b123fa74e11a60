"""The section `[domains]`: how DNS is asked about domains of users."""

from ipaddress import ip_address

from pkg.config import Strict
from pkg.config.sections import DNS_PORT, split_address

MAX_RESOLVERS = 5
MAX_ADDRESSES = 50


class Domains(Strict):
    """Domains of users.

    Attributes:
        resolvers: DNS resolvers that are asked, as address or address:port, e.g. ["9.9.9.9", "127.0.0.1:5353"]; empty:
            those of the machine, in /etc/resolv.conf.
        addresses: of the ingress, as clients reach it, e.g. ["203.0.113.7", "2001:db8::7"]; a domain without a CNAME
            has to lead to one of them. Empty: what DNS says of the environment's own hostname.
    """

    resolvers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        """Resolvers and addresses are IP addresses, and few."""
        found = []
        for key, values, limit in (
            ("resolvers", self.resolvers, MAX_RESOLVERS),
            ("addresses", self.addresses, MAX_ADDRESSES),
        ):
            if len(values) > limit:
                found.append(f"{key}: at most {limit} are possible, got {len(values)}")
        for text in self.resolvers:
            try:
                parse_resolver(text)
            except ValueError:
                found.append(f"resolvers: expected an IP address, or address:port, got {text!r}")
        for text in self.addresses:
            try:
                ip_address(text)
            except ValueError:
                found.append(f"addresses: expected an IP address, got {text!r}")
        return found


def parse_resolver(text: str) -> tuple[str, int]:
    """Address and port of "9.9.9.9", "2620:fe::fe", "127.0.0.1:5353" or "[::1]:5353".

    Raises:
        ValueError: it is none of these.
    """
    host, port = split_address(text, DNS_PORT)
    if port == 0:
        raise ValueError(f"expected a port, got {text!r}")
    return str(ip_address(host)), port
