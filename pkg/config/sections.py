"""Sections that several services share. A service that needs more keys in one extends it."""

import re
from collections.abc import Collection, Sequence
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pkg.config.base import Secret, Strict


class Log(Strict):
    """Logging: JSON lines on standard error.

    Attributes:
        level: lines below it are not written.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"


class Tracing(Strict):
    """Traces by OpenTelemetry.

    Attributes:
        endpoint: base URL of an OTLP/HTTP receiver, e.g. "http://127.0.0.1:4318"; empty turns tracing off.
    """

    endpoint: str = ""

    def problems(self) -> list[str]:
        """An endpoint is an http(s) URL."""
        return url_problems("endpoint", self.endpoint, may_have_login=True) if self.endpoint else []


class Metrics(Strict):
    """Prometheus metrics of a service without an HTTP listener.

    Attributes:
        listen: host:port that answers /metrics and /health/{live,ready,startup}; absent: not served. Keep it on
            loopback, it asks for no key.
    """

    listen: str | None = None

    def problems(self) -> list[str]:
        """An address is host:port."""
        return [] if self.listen is None else address_problems("listen", self.listen)


class Database(Strict):
    """The control database.

    Attributes:
        url: SQLAlchemy URL; "sqlite:////var/lib/sealift/control.db" or "postgresql://user:password@host/name".
    """

    url: Secret

    def problems(self) -> list[str]:
        """The two databases that every query is tested on."""
        scheme = self.url.reveal().partition(":")[0].partition("+")[0]
        return [] if scheme in {"sqlite", "postgresql"} else ["url: begins with neither sqlite: nor postgresql:"]


class Exec(Strict):
    """Commands that users run in instances.

    Attributes:
        max_running: at once, of the installation: 0..200; 0 refuses all.
        max_per_region: at once in one region: 1..200.
        max_per_environment: at once in one environment: 1..200.
        idle_timeout_s: a command without input and output for so long is ended: 1..86400.
        max_duration_s: a command is ended after so long: 1..604800.
    """

    max_running: int = 50
    max_per_region: int = 20
    max_per_environment: int = 5
    idle_timeout_s: int = 1800
    max_duration_s: int = 14400

    def problems(self) -> list[str]:
        """All are within their bounds."""
        bounds = (
            ("max_running", 0, 200),
            ("max_per_region", 1, 200),
            ("max_per_environment", 1, 200),
            ("idle_timeout_s", 1, 86_400),
            ("max_duration_s", 1, 604_800),
        )
        values = [(key, getattr(self, key), low, high) for key, low, high in bounds]
        return [
            f"{key}: expected {low} to {high}, got {one}" for key, one, low, high in values if not low <= one <= high
        ]


class Restate(Strict):
    """Where the workflow engine answers.

    Attributes:
        ingress: "unix:///path/to/ingress.sock" or "http://host:port".
        admin: the same for the admin API.
    """

    ingress: str
    admin: str

    def problems(self) -> list[str]:
        """Both are unix: or http(s) URLs."""
        allowed = {"unix", "http", "https"}
        return url_problems("ingress", self.ingress, allowed) + url_problems("admin", self.admin, allowed)


class Vault(Strict):
    """Encryption of stored secrets.

    Attributes:
        master_key_file: 0600 file with 32 random bytes; without it no stored secret can be read again.
    """

    master_key_file: Path


_SPACE = re.compile(r"\s")

LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1")


DNS_PORT = 53
HSTS_MAX_S = 2 * 365 * 86400


def hsts_problems(key: str, max_age_s: int) -> list[str]:
    """For `problems()` hooks: what is wrong with the lifetime of an HSTS header under `key`."""
    if 0 <= max_age_s <= HSTS_MAX_S:
        return []
    return [f"{key}: expected 0 to {HSTS_MAX_S} (two years), got {max_age_s}"]


class Ingress(Strict):
    """How deployed apps are reached.

    Attributes:
        apex_domain: every generated hostname is a label below it.
        scheme: of the URLs shown to users.
        port: of the URLs shown to users; the scheme's own port is left out.
        api_hostname: under which the api is reached through the ingress; "": it is not.
    """

    apex_domain: str = "sealift.localhost"
    scheme: Literal["http", "https"] = "http"
    port: int = 7480
    api_hostname: str = ""

    def problems(self) -> list[str]:
        """The port is one."""
        return [] if 1 <= self.port <= 65535 else [f"port: expected 1 to 65535, got {self.port}"]

    def url(self, hostname: str) -> str:
        """The URL under which users reach `hostname`."""
        usual = self.port == (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{hostname}" + ("" if usual else f":{self.port}")

    def authority(self, hostname: str) -> str:
        """What clients that use `url` say in their Host header."""
        return self.url(hostname).partition("://")[2]


def split_address(address: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port of "127.0.0.1:7400" or "[::1]:7400"; port 0 asks the system for a free one.

    Args:
        address: host:port.
        default_port: of an address without one, which may then be an IPv6 address without brackets; None: a port is
            required.

    Raises:
        ValueError: it is not of that form.
    """
    text = address
    if default_port is not None:
        if _is_ipv6(address):
            return address, default_port
        if ":" not in address or address.endswith("]"):
            text = f"{address}:{default_port}"
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    is_host = _is_ipv6(host[1:-1]) if bracketed else bool(host) and set(host).isdisjoint(":/[]")
    if not colon or not is_host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"expected host:port, got {address!r}")
    return (host[1:-1] if bracketed else host), int(port)


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False


def address_problems(key: str, address: str) -> list[str]:
    """For `problems()` hooks: what is wrong with a host:port under `key`."""
    try:
        split_address(address)
    except ValueError as error:
        return [f"{key}: {error}"]
    return []


def is_loopback(address: str) -> bool:
    """Whether a host:port can be reached from this machine only."""
    return is_loopback_host(split_address(address)[0])


def is_loopback_host(host: str) -> bool:
    """Whether a host without a port is this machine for itself: "localhost", or an address of loopback."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def stays_here(url: str) -> bool:
    """Whether a URL names the machine that follows it, whichever that is."""
    parts = url_parts(url)
    host = (parts.hostname if parts else "") or ""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def stays_here_problems(key: str, url: str, who_is_elsewhere: str) -> list[str]:
    """What is wrong with a URL that other machines shall use: it names this machine, whoever asks.

    Args:
        key: of the URL.
        url: what it is set to.
        who_is_elsewhere: who shall use it, e.g. "clients on other machines upload to it"; "" for nobody.
    """
    if not who_is_elsewhere or not stays_here(url):
        return []
    return [f"{key}: {url!r} is this machine, for every machine, and {who_is_elsewhere}"]


def url_parts(url: str) -> SplitResult | None:
    """The parts of a URL with a scheme; None for what is no URL: a host or a port that can't be one."""
    try:
        parts = urlsplit(url)
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        return None
    has_space = parts.scheme != "unix" and _SPACE.search(url) is not None
    return parts if parts.scheme and is_port and not has_space else None


def url_problems(
    key: str, url: str, schemes: Collection[str] = ("http", "https"), *, may_have_login: bool = False
) -> list[str]:
    """For `problems()` hooks: what is wrong with the URL of a server under `key`.

    Args:
        key: of the URL.
        url: what it is set to.
        schemes: that it may have.
        may_have_login: a user and a password in it are no problem: errors, logs and clients don't get it.
    """
    parts = url_parts(url)
    if parts is not None and "@" in parts.netloc and not may_have_login:
        return [f"{key}: must not hold a user or a password, got {url!r}"]
    if parts is None or parts.scheme not in schemes:
        is_url = False
    else:
        is_url = bool(parts.path if parts.scheme == "unix" else parts.hostname)
    return [] if is_url else [f"{key}: expected a URL of scheme {' or '.join(sorted(schemes))}, got {url!r}"]


MAX_NETWORKS = 64


def network_problems(key: str, values: Sequence[str]) -> list[str]:
    """What is wrong with a list of trusted addresses ("10.0.0.5") and networks ("10.0.0.0/8"); 64 at most."""
    found = [line for value in values if (line := _network_problem(value))]
    if len(values) > MAX_NETWORKS:
        found.append(f"{len(values)} entries; at most {MAX_NETWORKS}")
    return [f"{key}: {line}" for line in found]


def range_problems(key: str, value: str) -> list[str]:
    """What is wrong with the range of a network of instances: IPv4, /28 or larger, "" for none."""
    try:
        fits = not value or IPv4Network(value).prefixlen <= 28
    except ValueError:
        fits = False
    expected = 'a range of IPv4 such as "10.160.128.0/17", /28 or larger'
    return [] if fits else [f"{key}: expected {expected}, got {value!r}"]


def _network_problem(value: str) -> str:
    try:
        wide = ip_network(value, strict=False)
    except ValueError:
        return f"{value!r} is neither an IP address nor a network such as 10.0.0.0/8"
    if wide.prefixlen == 0:
        return f"{value!r} is everybody: any client could then claim any address, host or scheme"
    if wide.network_address != ip_address(value.partition("/")[0]):
        return f"{value!r} has bits set beyond its prefix; the network is {wide}"
    return ""
