"""Which records a domain needs. Pure."""

from collections.abc import Collection
from ipaddress import ip_address

from pkg.domains.model import RecordCheck
from pkg.domains.names import DomainName
from pkg.domains.rules import challenge_name


def wanted_records(name: DomainName, token: str, target: str, addresses: Collection[str]) -> tuple[RecordCheck, ...]:
    """The records to set, before anything was found: a TXT record, and a CNAME or, where DNS has none, addresses.

    Args:
        name: the domain.
        token: of the workspace.
        target: hostname of the environment.
        addresses: of the ingress, as far as they are known.
    """
    ownership = RecordCheck("TXT", challenge_name(name), (token,))
    if not name.is_registrable:
        return ownership, RecordCheck("CNAME", name.hostname, (target,))
    v4, v6 = (tuple(a for a in addresses if ip_address(a).version == version) for version in (4, 6))
    records = [RecordCheck("A", name.hostname, v4)] if v4 or not v6 else []
    return ownership, *records, *([RecordCheck("AAAA", name.hostname, v6)] if v6 else [])
