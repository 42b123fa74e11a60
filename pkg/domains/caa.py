"""CAA records (RFC 8659, with the parameters of RFC 8657): may a certificate authority issue for a domain?

Pure, but for `forbidden`, which asks DNS.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pkg.domains.names import DomainName
from pkg.domains.resolver import Lookups

_CRITICAL = 128
_KNOWN_TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail", "contactemail", "contactphone"})


@dataclass(frozen=True)
class Issuance:
    """How certificates are obtained, as CAA records may restrict it.

    Attributes:
        authorities: names of the authority, e.g. "letsencrypt.org"; empty: not known, nothing is checked.
        method: by which a name is proven, e.g. "http-01"; "": not known.
        account_url: of the account that orders; "": not known.
    """

    authorities: tuple[str, ...] = ()
    method: str = ""
    account_url: str = ""


async def forbidden(dns: Lookups, name: DomainName, issuance: Issuance) -> str:
    """Which records keep the authority from issuing, for people; "" for none, or when DNS does not say.

    The name is asked for first, then those above it, up to the first that has such records.
    """
    if not issuance.authorities:
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
            if permits(answer.values, issuance, is_wildcard=name.is_wildcard):
                return ""
            shown = ", ".join(repr(value) for value in answer.values[:5])
            allowed = " or ".join(_wanted(answer.values, authority, issuance) for authority in issuance.authorities)
            return (
                f"CAA records of {place} ({shown}) forbid the certificate authority: add {allowed}, or no certificate "
                "is issued."
            )
    return ""


def permits(records: Iterable[str], issuance: Issuance, *, is_wildcard: bool) -> bool:
    """Whether one of the authorities may issue, given all records ("flags tag value") of the name that decides."""
    issuers: dict[str, list[str]] = {}
    for record in records:
        flags, _, rest = record.partition(" ")
        tag, _, value = rest.partition(" ")
        tag = tag.lower()
        if tag not in _KNOWN_TAGS and flags.isdecimal() and int(flags) & _CRITICAL:
            return False
        issuers.setdefault(tag, []).append(value)
    deciding = issuers.get("issuewild") if is_wildcard and "issuewild" in issuers else issuers.get("issue")
    return deciding is None or any(_names_us(value, issuance) for value in deciding)


def _names_us(value: str, issuance: Issuance) -> bool:
    authority, *parameters = (part.strip() for part in value.split(";"))
    if authority.lower() not in {name.lower() for name in issuance.authorities}:
        return False
    for parameter in parameters:
        tag, _, wanted = (part.strip() for part in parameter.partition("="))
        if tag.lower() == "validationmethods" and issuance.method:
            if issuance.method not in (method.strip().lower() for method in wanted.split(",")):
                return False
        elif tag.lower() == "accounturi" and issuance.account_url and wanted != issuance.account_url:
            return False
    return True


def _wanted(records: Iterable[str], authority: str, issuance: Issuance) -> str:
    """The record to add; as narrow as one that is there for the authority, since a wider one would undo it."""
    ours = [record for record in records if authority.lower() in record.lower()]
    value = authority
    if any("accounturi" in record.lower() for record in ours) and issuance.account_url:
        value += f"; accounturi={issuance.account_url}"
    if any("validationmethods" in record.lower() for record in ours) and issuance.method:
        value += f"; validationmethods={issuance.method}"
    return f'0 issue "{value}"'
