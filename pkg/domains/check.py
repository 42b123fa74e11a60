"""Asks DNS whether a domain is the workspace's, and whether requests for it come here."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_address, ip_network

from pkg.domains import caa
from pkg.domains.cloudflare import is_cloudflare
from pkg.domains.model import RecordCheck, Report
from pkg.domains.names import DomainName
from pkg.domains.records import wanted_records
from pkg.domains.resolver import Answer, Lookups
from pkg.domains.rules import InstallationNames

CHECK_TIMEOUT_S = 30.0
MAX_CNAMES = 8
MAX_FOUND = 10
LOOPBACK = ("127.0.0.1", "::1")
_QUOTES = "\"'\u201c\u201d `\t"
_CLOUDFLARE = ' That is Cloudflare\'s proxy: set the record to "DNS only" there.'
WILDCARD_PROBE = "sealift-check"  # a name that only the wildcard answers for


# A record, whether it proves the domain, and the values that were found.
Ownership = tuple[RecordCheck, bool | None, tuple[str, ...]]

# A resolver of a company's network answers about its machines, too, and anybody may add any name.
HIDDEN = "an address of a private network"
_PRIVATE = [
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "::/127", "fc00::/7", "fe80::/10", "fec0::/10",
    )
]  # fmt: skip


@dataclass(frozen=True)
class Expectation:
    """What DNS should say.

    Attributes:
        name: the domain.
        token: of the workspace.
        target: the environment's own hostname.
        installation: a CNAME to one of these, or to a name below the apex, is right, too.
        addresses: of the ingress, as the operator set them; empty: those of `target`.
        issuance: what CAA records have to permit.
    """

    name: DomainName
    token: str
    target: str
    installation: InstallationNames
    addresses: tuple[str, ...] = ()
    issuance: caa.Issuance = field(default_factory=caa.Issuance)


async def check_domain(dns: Lookups, expected: Expectation) -> Report:
    """One check; ends within `CHECK_TIMEOUT_S`, and never raises for what DNS does."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            proof = asyncio.ensure_future(_ownership(dns, expected))
            (ownership, is_owned, txt), (target, is_pointed), warning = await asyncio.gather(
                proof,
                _target(dns, expected, proof),
                caa.forbidden(dns, expected.name, expected.issuance),
            )
    except TimeoutError:
        wanted = wanted_records(expected.name, expected.token, expected.target, expected.addresses)
        reason = f"DNS did not answer within {CHECK_TIMEOUT_S:.0f} s."
        return Report(tuple(replace(record, reason=reason) for record in wanted[:1]) + wanted[1:])
    warnings = tuple(filter(None, (warning, "" if is_pointed else _out_of_reach(expected))))
    return Report((ownership, *target), is_owned, is_pointed, warnings, txt)


async def _ownership(dns: Lookups, expected: Expectation) -> Ownership:
    record = wanted_records(expected.name, expected.token, expected.target, ())[0]
    answer = await dns.lookup(record.name, "TXT")
    if answer.problem:
        reason = f"DNS did not answer for TXT {record.name}: {answer.problem}."
        return replace(record, reason=reason), None, ()
    found = replace(record, found=answer.values[:MAX_FOUND])
    if expected.token in answer.values:
        return replace(found, is_right=True), True, answer.values
    if expected.token in (value.strip(_QUOTES) for value in answer.values):
        reason = f"TXT {record.name} holds the value with quotes or spaces around it: enter it without.{_delay(answer)}"
    elif answer.values:
        reason = f"TXT {record.name} does not hold the wanted value.{_delay(answer)}"
    else:
        reason = await _misplaced(dns, expected, record) or f"There is no TXT record {record.name}.{_delay(answer)}"
    return replace(found, reason=reason), False, answer.values


async def _misplaced(dns: Lookups, expected: Expectation, record: RecordCheck) -> str:
    """Many providers append the zone to the name that is typed."""
    zone = expected.name.registrable
    doubled = f"{record.name}.{zone}"
    if expected.token not in (await dns.lookup(doubled, "TXT")).values:
        return ""
    typed = record.name.removesuffix(f".{zone}")
    return f"The TXT record is at {doubled}: the DNS provider appends {zone}, so enter the name as {typed}."


async def _target(
    dns: Lookups, expected: Expectation, proof: asyncio.Future[Ownership]
) -> tuple[tuple[RecordCheck, ...], bool | None]:
    asked = f"{WILDCARD_PROBE}.{expected.name.base}" if expected.name.is_wildcard else expected.name.hostname
    cname = RecordCheck("CNAME", expected.name.hostname, (expected.target,))
    chain, problem = await _cnames(dns, expected, asked)
    if problem:
        return (replace(cname, found=chain[:MAX_FOUND], reason=problem),), None
    if chain and _is_ours(chain[-1], expected.installation):
        return (replace(cname, found=chain[:MAX_FOUND], is_right=True),), True
    own, own_problem = await _own_addresses(dns, expected)
    v4, v6 = await asyncio.gather(dns.lookup(asked, "A"), dns.lookup(asked, "AAAA"))
    if v4.problem and v6.problem:
        reason = f"DNS did not answer for {asked}: {v4.problem}."
        return _unanswered(expected, own, cname, reason), None
    if not (await asyncio.shield(proof))[1]:
        v4, v6 = _without_private(v4, own), _without_private(v6, own)
    found = (*v4.values, *v6.values)
    if not found:
        to = f" (CNAME to {chain[-1]})" if chain else ""
        reason = _appended(expected, chain) or f"{expected.name.hostname} has no address{to}.{_delay(v4)}"
        return _unanswered(expected, own, cname, reason), False
    if not own:
        reason = (
            f"{expected.name.hostname} has addresses, and those of the ingress are not known ({own_problem}): set a "
            f"CNAME to {expected.target}, or have the operator set [domains] addresses."
        )
        return (replace(cname, found=found[:MAX_FOUND], reason=reason),), None
    return _addresses(expected, own, v4, v6, cname)


def _appended(expected: Expectation, chain: tuple[str, ...]) -> str:
    """Many providers append the zone to a target without a dot at its end, too."""
    zone = f".{expected.name.registrable}"
    if not chain or not _is_ours(chain[-1].removesuffix(zone), expected.installation) or not chain[-1].endswith(zone):
        return ""
    appended = f"the DNS provider appends {zone[1:]}, so enter the value with a dot at its end"
    return f"The CNAME record leads to {chain[-1]}: {appended} ('{expected.target}.')."


def _addresses(
    expected: Expectation, own: Collection[str], v4: Answer, v6: Answer, cname: RecordCheck
) -> tuple[tuple[RecordCheck, ...], bool | None]:
    """Every address must be the ingress's: a client takes any of them."""
    records: list[RecordCheck] = []
    name = expected.name.hostname
    for record_type, answer, version in (("A", v4, 4), ("AAAA", v6, 6)):
        wanted = tuple(address for address in own if ip_address(address).version == version)
        record = RecordCheck(record_type, name, wanted, answer.values[:MAX_FOUND])
        stray = [value for value in answer.values if value not in wanted]
        if answer.problem:
            records.append(replace(record, reason=f"DNS did not answer for {record_type} {name}: {answer.problem}."))
        elif stray:
            shown = ", ".join(stray[:3]) + (f" and {len(stray) - 3} more" if len(stray) > 3 else "")
            to = " or ".join(wanted) if wanted else "none: this ingress has no such address, remove the record"
            proxy = _CLOUDFLARE if any(is_cloudflare(value) for value in stray if value != HIDDEN) else ""
            reason = f"{record_type} {name} leads elsewhere ({shown}); wanted is {to}.{proxy}{_delay(answer)}"
            records.append(replace(record, reason=reason))
        elif answer.values:
            records.append(replace(record, is_right=True))
    if all(record.is_right for record in records):
        return tuple(records), True
    if not expected.name.is_registrable and not any(record.is_right for record in records):
        # the simplest remedy where DNS permits it
        found = (*v4.values, *v6.values)[:MAX_FOUND]
        reason = " ".join(record.reason for record in records)
        return (replace(cname, found=found, reason=reason),), _known(v4, v6)
    return tuple(records), _known(v4, v6)


def _without_private(answer: Answer, own: Collection[str]) -> Answer:
    """The answer to a stranger: each private address that is not the ingress's is only said to be one."""
    shown = [value if value in own or not _is_private(value) else HIDDEN for value in answer.values]
    return replace(answer, values=tuple(dict.fromkeys(shown)))


def _is_private(value: str) -> bool:
    address = ip_address(value)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    return any(address in network for network in _PRIVATE)


def _known(*answers: Answer) -> bool | None:
    return None if any(answer.problem for answer in answers) else False


async def _cnames(dns: Lookups, expected: Expectation, asked: str) -> tuple[tuple[str, ...], str]:
    """The names that the domain's CNAME leads to, up to the first that is ours; what is wrong with them, or ""."""
    chain: list[str] = []
    place = asked
    while len(chain) < MAX_CNAMES:
        answer = await dns.lookup(place, "CNAME")
        if answer.problem:
            return tuple(chain), f"DNS did not answer for CNAME {place}: {answer.problem}."
        if not answer.values:
            return tuple(chain), ""
        place = answer.values[0]
        if place in (asked, *chain):
            return (*chain, place), f"The CNAME records of {expected.name.hostname} lead in a circle, at {place}."
        chain.append(place)
        if _is_ours(place, expected.installation):
            return tuple(chain), ""
    return tuple(chain), f"The CNAME records of {expected.name.hostname} lead through more than {MAX_CNAMES} names."


async def _own_addresses(dns: Lookups, expected: Expectation) -> tuple[tuple[str, ...], str]:
    """Of the ingress, and why they are not known."""
    if expected.addresses:
        return expected.addresses, ""
    if _is_local(expected.target):  # resolvers need not know it
        return LOOPBACK, ""
    v4, v6 = await asyncio.gather(dns.lookup(expected.target, "A"), dns.lookup(expected.target, "AAAA"))
    found = (*v4.values, *v6.values)
    return found, "" if found else v4.problem or v6.problem or f"{expected.target} has none in DNS"


def _unanswered(
    expected: Expectation, own: tuple[str, ...], cname: RecordCheck, reason: str
) -> tuple[RecordCheck, ...]:
    """What to set where nothing was found."""
    if not expected.name.is_registrable:
        return (replace(cname, reason=reason),)
    first, *rest = wanted_records(expected.name, expected.token, expected.target, own)[1:]
    return (replace(first, reason=reason), *rest)


def _out_of_reach(expected: Expectation) -> str:
    """Why no record can lead here, for an installation with the default apex; else ""."""
    if not _is_local(expected.target) or expected.addresses:
        return ""
    return (
        f"{expected.target} is a name of the server's own machine, to which no public DNS record leads: for "
        "domains, the operator sets [ingress] apex_domain to a name with a wildcard DNS record, and bind."
    )


def _is_local(hostname: str) -> bool:
    return hostname.rpartition(".")[2] == "localhost"  # RFC 6761


def _is_ours(hostname: str, installation: InstallationNames) -> bool:
    return hostname in installation.all or hostname.endswith(f".{installation.apex_domain}")


def _delay(answer: Answer) -> str:
    """How long a correction may take to be seen."""
    return f" Resolvers may repeat this answer for {answer.ttl_s} s." if answer.ttl_s > 0 else ""
