"""Parses and compares server URLs by RFC 3986. Pure.

Scheme and host are compared without case, a missing port is the scheme's default, a trailing dot of the host (the DNS
root) is ignored, and an internationalized host is converted to its IDNA form. Parts that a server URL can't have (a
path, a query, a user) are refused, never silently dropped.
"""

import ipaddress
import re
from dataclasses import dataclass

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_CHARS = 2048
MAX_HOST_CHARS = 253
FORM = "http[s]://host[:port]"

_WHOLE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[0-9]*))?")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# IDNA 2003, which Python implements, and IDNA 2008 encode these differently.
_AMBIGUOUS = frozenset("ßς\u200c\u200d")


class AddressError(ValueError):
    """An invalid server URL. The message has the reason, and no part of the URL that may be secret."""


@dataclass(frozen=True)
class Address:
    """A server in canonical form: equal addresses mean the same server.

    Attributes:
        scheme: "http" or "https".
        host: lower case, ASCII, without brackets, port and final dot.
        port: 1..65535.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address in `text`; surrounding blanks and one trailing slash are accepted.

        Raises:
            AddressError: not a server URL, or with more than scheme, host and port.
        """
        whole = text.strip(" \t\r\n")
        _check_characters(whole)
        match = _WHOLE.fullmatch(whole)
        if match is None:
            raise AddressError(f"it has no scheme{_with_scheme(whole)}")
        scheme = match["scheme"].lower()
        if scheme not in DEFAULT_PORTS:
            raise AddressError(f"{scheme}:// is neither http:// nor https://")
        if "@" in match["authority"]:
            raise AddressError("it contains a user or a password")
        host, port = _split(match["authority"], scheme)
        address = cls(scheme, host, port)
        if match["rest"] not in ("", "/"):
            raise AddressError(f"it has more than host and port: use {address}")
        return address

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        ip = ip_of(self.host)
        return ip is not None and (ip.is_loopback or ip.is_unspecified)

    @property
    def connect_host(self) -> str:
        """The host to connect to. `*.localhost` is loopback (RFC 6761), but glibc does not resolve it."""
        return "127.0.0.1" if self.host.endswith(".localhost") else self.host

    @property
    def netloc(self) -> str:
        """Host and port as in a URL, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address in `host` (IPv4 if it is mapped into IPv6); None for a name."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def canonical_host(text: str) -> str:
    """A host (an IPv6 address in brackets) in canonical form.

    Raises:
        AddressError: not a valid host.
    """
    if text.startswith("["):
        try:
            return ipaddress.IPv6Address(text.strip("[]").lower() if "%" not in text else "").compressed
        except ValueError:
            raise AddressError(
                "the text in brackets is not an IPv6 address (zones like %eth0 are not supported)"
            ) from None
    host = _ascii(text).lower().removesuffix(".")
    if not host:
        raise AddressError("it has no host")
    if len(host) > MAX_HOST_CHARS or not _HOST.fullmatch(host) or any(len(label) > 63 for label in host.split(".")):
        raise AddressError("its host is not a valid hostname")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise AddressError("its host looks like an IPv4 address, but is not of the form 192.0.2.1") from None
    return host


def _check_characters(whole: str) -> None:
    if not whole:
        raise AddressError("it is empty")
    if len(whole) > MAX_CHARS:
        raise AddressError(f"it is longer than {MAX_CHARS} characters")
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in whole):
        raise AddressError("it contains a blank, a backslash or another invalid character")


def _with_scheme(whole: str) -> str:
    """A suggestion such as `: did you mean http://127.0.0.1:7400?`; "" if that is not valid either."""
    # The ingress answers at names below localhost; the api itself, without TLS, is at 127.0.0.1 and localhost.
    for scheme in ("https",) if ".localhost" in whole.lower() else ("http", "https"):
        try:
            guess = Address.parse(f"{scheme}://{whole}")
        except AddressError:
            return ""
        if guess.is_tls or guess.is_local:
            return f": did you mean {guess}?"
    return ""


def _split(authority: str, scheme: str) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise AddressError("its host or port is not valid (IPv6 addresses need brackets)")
    port = int(match["port"][-9:]) if match["port"] else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65_535 or len((match["port"] or "").lstrip("0")) > 5:
        raise AddressError("its port is not between 1 and 65535")
    return canonical_host(match["host"]), port


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    if _AMBIGUOUS & set(host):
        raise AddressError("its host is ambiguous: use the form that starts with xn--")
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise AddressError("its host is not a valid internationalized domain name") from None
