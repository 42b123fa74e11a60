"""CAA records (RFC 8659): may a certificate authority issue for a domain? Pure, but for `forbidden`, which asks DNS."""

from collections.abc import Collection, Iterable

from pkg.domains.names import DomainName
from pkg.domains.resolver import Lookups

_CRITICAL = 128
_KNOWN_TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail", "contactemail", "contactphone"})


async def forbidden(dns: Lookups, name: DomainName, identities: Collection[str]) -> str:
    """Which records keep the authority from issuing, for people; "" for none, or when DNS does not say.

    Args:
        dns: is asked for the name and then for those above it, up to the first that has such records.
        name: the domain.
        identities: names of the authority, e.g. "letsencrypt.org"; empty: not known, nothing is asked.
    """
    if not identities:
        return ""
    labels = name.base.split(".")
    for index in range(len(labels)):
        place = ".".join(labels[index:])
        answer = await dns.lookup(place, "CAA")
        if answer.problem:
            return (
                f"DNS did not answer for CAA {place} ({answer.problem}): a certificate authority then issues nothing."
            )
        if answer.values:
            if permits(answer.values, identities, is_wildcard=name.is_wildcard):
                return ""
            shown = ", ".join(repr(value) for value in answer.values[:5])
            allowed = " or ".join(f'0 issue "{identity}"' for identity in identities)
            return (
                f"CAA records of {place} ({shown}) forbid the certificate authority: add {allowed}, or no certificate "
                "is issued."
            )
    return ""


def permits(records: Iterable[str], identities: Collection[str], *, is_wildcard: bool) -> bool:
    """Whether one of the identities may issue, given all records ("flags tag value") of the name that decides."""
    issuers: dict[str, list[str]] = {}
    for record in records:
        flags, _, rest = record.partition(" ")
        tag, _, value = rest.partition(" ")
        tag = tag.lower()
        if tag not in _KNOWN_TAGS and flags.isdecimal() and int(flags) & _CRITICAL:
            return False
        issuers.setdefault(tag, []).append(value.partition(";")[0].strip().lower())
    deciding = issuers.get("issuewild") if is_wildcard and "issuewild" in issuers else issuers.get("issue")
    return deciding is None or not {identity.lower() for identity in identities}.isdisjoint(deciding)
