"""Hostnames from outside: checked, normalised, and divided into ours and others."""

import re
from ipaddress import ip_address

from pkg.errors import InvalidArgument

MAX_HOSTNAME_OCTETS = 253
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def parse_hostname(text: str, *, field: str = "hostname") -> str:
    """`text` as a hostname: lower case, without a trailing dot.

    Raises:
        InvalidArgument: naming `field`: not ASCII, an IP address, a wildcard, a port or URL, a label that is empty,
            longer than 63 octets or not of letters, digits and inner hyphens, or over 253 octets in all.
    """
    if len(text) > MAX_HOSTNAME_OCTETS + 1:
        raise InvalidArgument(field, f"a hostname has at most {MAX_HOSTNAME_OCTETS} octets, this one {len(text)}")
    if not text.isascii():
        raise InvalidArgument(field, f"{text!r} is not ASCII; write an international name in its xn-- form")
    hostname = text.lower().removesuffix(".")
    if len(hostname) > MAX_HOSTNAME_OCTETS:
        raise InvalidArgument(field, f"a hostname has at most {MAX_HOSTNAME_OCTETS} octets, this one {len(hostname)}")
    for label in hostname.split("."):
        if not _LABEL.fullmatch(label):
            why = "labels have 1 to 63 letters, digits and hyphens, no hyphen first or last"
            raise InvalidArgument(field, f"{text!r} is not a hostname: {label!r} is no label; {why}")
    if is_address(hostname):
        raise InvalidArgument(field, f"{text!r} is an IP address, not a hostname")
    return hostname


def is_hostname(text: str) -> bool:
    """Whether `text` is a hostname as `parse_hostname` returns it."""
    try:
        return parse_hostname(text) == text
    except InvalidArgument:
        return False


def is_reserved(hostname: str, apex: str) -> bool:
    """Whether `hostname` is the apex or below it, so that it cannot be a domain of a user."""
    return hostname == apex or hostname.endswith(f".{apex}")


def label_of(hostname: str, apex: str) -> str | None:
    """The label of a hostname directly below the apex; None for any other."""
    label = hostname.removesuffix(f".{apex}")
    return label if label != hostname and _LABEL.fullmatch(label) else None


def is_generated(hostname: str, apex: str) -> bool:
    """Whether `hostname` has the form of the generated ones: one label below the apex."""
    return label_of(hostname, apex) is not None


def is_address(text: str) -> bool:
    """Whether `text` is an IP address, or what programs take for one."""
    try:
        ip_address(text)
    except ValueError:
        # inet_aton takes "127.1" and "0x7f.1" for addresses, and so do URL parsers: the last label decides
        return _NUMBER.fullmatch(text.lower().removesuffix(".").rpartition(".")[2]) is not None
    return True
