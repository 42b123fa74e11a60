"""Selects the HTTP proxy for a server, for calls and uploads. Pure.

`https_proxy` applies to https, `http_proxy` to http, `all_proxy` to both; lower case takes precedence over upper case,
and an empty variable counts as unset. `no_proxy` lists hosts, domains, addresses and networks that are reached
directly, separated by commas or blanks; `*` means all. This machine is never reached through a proxy. The proxy is used
as a tunnel (CONNECT), also for http, so it sees neither the key nor the signed URL of an upload.
"""

import ipaddress
import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from sealift.client.address import Address, AddressError, canonical_host, ip_of
from sealift.client.errors import InputError


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that can CONNECT.

    Attributes:
        address: of the proxy. The connection to it is not encrypted; the one through it depends on the server's scheme.
        variable: the variable it was read from.
        userinfo: "user:password" from the variable, or ""; not in repr.
    """

    address: Address
    variable: str
    userinfo: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.address} (from {self.variable})"

    @property
    def url(self) -> str:
        """The URL for gRPC, with port, user and password. Secret if there is a password."""
        at = f"{self.userinfo}@" if self.userinfo else ""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return f"http://{at}{host}:{self.address.port}"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a CONNECT request. Secret if there is a password."""
        if not self.userinfo:
            return {}
        return {"Proxy-Authorization": "Basic " + b64encode(unquote(self.userinfo).encode()).decode("ascii")}


def proxy_for(server: Address, env: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy for `server`; None: connect directly.

    Raises:
        InputError: the variable that applies does not name an HTTP proxy.
    """
    if server.is_local or _is_exempt(server, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return None
    for name in (f"{server.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            # In a CGI program, the client controls HTTP_PROXY (httpoxy).
            if variable == "HTTP_PROXY" and "REQUEST_METHOD" in env:
                continue
            if text := env.get(variable, "").strip():
                return _proxy(text, variable, server)
    return None


def _proxy(text: str, variable: str, server: Address) -> Proxy:
    scheme, mark, rest = text.partition("://")
    if mark and scheme.lower() != "http":
        raise _refusal(variable, "only HTTP proxies (http://host:port) are supported", server)
    userinfo, _, netloc = (rest if mark else text).rpartition("@")
    try:
        address = Address.parse(f"http://{netloc}")
    except AddressError as error:
        raise _refusal(variable, str(error), server) from None
    return Proxy(address, variable, userinfo)


def _refusal(variable: str, why: str, server: Address) -> InputError:
    # the value is not shown: it may contain a password
    return InputError(
        f"{variable} is not a usable proxy for {server}: {why}; change it, or connect directly with "
        f"NO_PROXY={server.host}",
        code="proxy.invalid",
        field=variable,
    )


def _is_exempt(server: Address, listed: str) -> bool:
    return any(_matches(server, entry) for entry in re.split(r"[\s,]+", listed) if entry)


def _matches(server: Address, entry: str) -> bool:
    """Whether an entry of no_proxy matches the server: "*", a network, an address, or a domain with subdomains."""
    if entry == "*":
        return True
    ip = ip_of(server.host)
    if ip is not None and "/" in entry:
        try:
            return ip in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    host, port = _host_and_port(entry)
    if port and port != str(server.port):
        return False
    try:
        named = canonical_host(host.removeprefix("*").lstrip("."))
    except AddressError:
        return False
    if ip is not None:
        return ip_of(named) == ip
    return server.host == named or server.host.endswith(f".{named}")


def _host_and_port(entry: str) -> tuple[str, str]:
    if entry.count(":") > 1 and not entry.startswith("["):  # an IPv6 address without brackets
        return f"[{entry}]", ""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]+))?", entry)
    return (match[1], match[2] or "") if match else ("", "")
