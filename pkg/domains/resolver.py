"""Questions to DNS resolvers, within bounds: each ends in seconds, and every failure is an answer in words."""

from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.CAA import CAA
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.TXT import TXT

from pkg.domains.config import Domains, parse_resolver

TRY_TIMEOUT_S = 2.0  # one question to one resolver
LOOKUP_TIMEOUT_S = 5.0  # with all repetitions
READ_AGAIN_S = 30.0  # /etc/resolv.conf: a laptop changes networks
MAX_VALUES = 100
MAX_VALUE_CHARS = 300
_UDP_BYTES = 1232  # what passes every path unfragmented; a longer answer comes over TCP


@dataclass(frozen=True)
class Answer:
    """What DNS says about one name and type. No values and no problem: there is no such record.

    Attributes:
        values: lower case but for TXT, without trailing dots; of CAA "flags tag value"; at most 100.
        ttl_s: for how long resolvers may repeat this, also of an absence; 0 when unknown.
        problem: why there is no answer, for people; "" when there is one.
    """

    values: tuple[str, ...] = ()
    ttl_s: int = 0
    problem: str = ""


class Lookups(Protocol):
    """Something that asks DNS."""

    async def lookup(self, name: str, record_type: str) -> Answer:
        """Asks for records of a type at a hostname, following CNAMEs unless these are asked for. Never raises."""
        ...


class Resolver:
    """Asks the configured resolvers, or those of the machine, which may change meanwhile. Keeps no cache."""

    def __init__(self, config: Domains) -> None:
        self._config = config
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.timeout = TRY_TIMEOUT_S
        self._resolver.use_edns(0, 0, _UDP_BYTES)
        self._problem = ""
        self._read_at: float | None = None

    async def lookup(self, name: str, record_type: str) -> Answer:
        """See `Lookups`."""
        if self._read_at is None or (not self._config.resolvers and monotonic() - self._read_at > READ_AGAIN_S):
            self._read()
        if self._problem:
            return Answer(problem=self._problem)
        try:
            found = await self._resolver.resolve(
                dns.name.from_text(name),
                record_type,
                raise_on_no_answer=False,
                search=False,
                lifetime=LOOKUP_TIMEOUT_S,
            )
        except dns.resolver.NXDOMAIN as absent:
            return Answer(ttl_s=_ttl_of_absence(absent))
        except (dns.exception.DNSException, OSError, UnicodeError, ValueError) as error:
            return Answer(problem=_explained(error))
        if found.rrset is None:
            return Answer(ttl_s=_soa_ttl(found.response))
        texts = sorted({_text(rdata)[:MAX_VALUE_CHARS] for rdata in list(found.rrset)[:MAX_VALUES]})
        return Answer(tuple(texts), ttl_s=int(found.rrset.ttl))

    def _read(self) -> None:
        """Takes the resolvers from the configuration or from /etc/resolv.conf."""
        self._read_at = monotonic()
        try:
            self._resolver.nameservers = _nameservers(self._config)
            self._problem = ""
        except dns.exception.DNSException as error:
            self._problem = f"this machine has no DNS resolver ({error}); set [domains] resolvers"


def _nameservers(config: Domains) -> list[dns.nameserver.Nameserver]:
    if config.resolvers:
        pairs = [parse_resolver(text) for text in config.resolvers]
    else:
        pairs = [(str(address), 53) for address in dns.resolver.Resolver().nameservers]
    return [dns.nameserver.Do53Nameserver(address, port) for address, port in pairs]


def _text(rdata: dns.rdata.Rdata) -> str:
    match rdata:
        case TXT():
            return b"".join(rdata.strings).decode("utf-8", "replace")
        case CNAME():
            return str(rdata.target.to_text(omit_final_dot=True)).lower()
        case CAA():
            return f"{rdata.flags} {rdata.tag.decode('ascii', 'replace')} {rdata.value.decode('utf-8', 'replace')}"
        case _:
            return rdata.to_text().lower()


def _ttl_of_absence(absent: dns.resolver.NXDOMAIN) -> int:
    return max((_soa_ttl(response) for response in _responses(absent)), default=0)


def _responses(absent: dns.resolver.NXDOMAIN) -> list[dns.message.Message]:
    return list(absent.responses().values())  # type: ignore[no-untyped-call]


def _soa_ttl(response: dns.message.Message) -> int:
    """How long an absence is remembered (RFC 2308)."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(int(rrset.ttl), int(rrset[0].minimum))
    return 0


def _explained(error: Exception) -> str:
    """Why there was no answer, in a few words."""
    if isinstance(error, dns.exception.Timeout):
        return f"no answer within {LOOKUP_TIMEOUT_S:.0f} s"
    if isinstance(error, dns.resolver.NoNameservers):
        answers = sorted({str(one[3])[:80] for one in error.kwargs.get("errors", ()) if len(one) > 3})
        said = ", ".join(answers) or "no usable answer"
        hint = "; the zone's own servers fail, or its DNSSEC signatures are wrong" if "SERVFAIL" in said else ""
        return f"the resolver answered {said}{hint}"
    if isinstance(error, dns.message.ChainTooLong):
        return "its CNAME records lead in a circle, or through too many names"
    return f"{type(error).__name__}: {str(error)[:200]}"
