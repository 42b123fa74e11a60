"""Domains as users write them: checked, and as A-labels. Pure."""

import re
from dataclasses import dataclass
from functools import cache

import idna
from publicsuffixlist import PublicSuffixList

from pkg.errors import InvalidArgument
from pkg.hostnames import MAX_HOSTNAME_OCTETS, is_address

MAX_TYPED_CHARS = 1000  # the rules for international names take more time than their length
WILDCARD = "*."
_SHOWN_CHARS = 80
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # what UTS 46 takes for a dot


@dataclass(frozen=True, slots=True)
class DomainName:
    """A domain that may exist in public DNS.

    Attributes:
        hostname: A-labels in lower case, without a trailing dot; begins with "*." for a wildcard.
        registrable: the name that its owner registered, e.g. "example.co.uk": the public suffix and one label.
    """

    hostname: str
    registrable: str

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all names below its base."""
        return self.hostname.startswith(WILDCARD)

    @property
    def base(self) -> str:
        """The name without the wildcard."""
        return self.hostname.removeprefix(WILDCARD)

    @property
    def is_registrable(self) -> bool:
        """Whether it is the top of a zone for certain, where DNS permits no CNAME."""
        return self.hostname == self.registrable

    @property
    def unicode(self) -> str:
        """As people write it."""
        return unicode_of(self.hostname)


def parse_domain(text: str, *, field: str = "hostname") -> DomainName:
    """`text` as a domain: by UTS 46 and IDNA 2008, lower case, without a trailing dot. Loads a list at its first call.

    Raises:
        InvalidArgument: naming `field` and the reason, with what was probably meant: a URL, a port, a path, an address
            of mail or IP, a wildcard that is not the first label, an empty or overlong or forbidden label, a name over
            253 octets, a public suffix.
    """
    typed = text.strip(" ")
    if len(typed) > MAX_TYPED_CHARS:
        raise InvalidArgument(field, f"a domain has at most {MAX_HOSTNAME_OCTETS} octets, this one {len(typed)}")
    _refuse_other_things(typed, field)
    wildcard = WILDCARD if typed[:2] in ("*.", "*\u3002", "*\uff0e", "*\uff61") else ""
    base = _ascii(typed[len(wildcard) :], typed, field)
    if len(wildcard + base) > MAX_HOSTNAME_OCTETS:
        raise InvalidArgument(
            field, f"a domain has at most {MAX_HOSTNAME_OCTETS} octets, this one {len(wildcard + base)}"
        )
    registrable = _suffixes().privatesuffix(base)
    if registrable is None:
        meant = f"add a name below it, such as www.{base}"
        raise InvalidArgument(
            field, f"{_shown(typed)} is a public suffix, below which anybody registers names: {meant}"
        )
    return DomainName(wildcard + base, registrable)


def unicode_of(hostname: str) -> str:
    """A hostname in A-labels as people write it; the same text if it is not one."""
    wildcard = WILDCARD if hostname.startswith(WILDCARD) else ""
    try:
        return wildcard + idna.decode(hostname.removeprefix(WILDCARD))
    except (idna.IDNAError, UnicodeError):
        return hostname


def _refuse_other_things(typed: str, field: str) -> None:
    """What is no name at all, with the name that it holds, if it does."""
    if not typed:
        raise InvalidArgument(field, "is required: the domain, such as www.example.com")
    if any(ord(character) < 33 or ord(character) == 127 for character in typed):
        raise InvalidArgument(field, f"{_shown(typed)} holds a space or a control character: give one domain")
    scheme, colon_slashes, rest = typed.partition("://")
    if colon_slashes:
        raise InvalidArgument(field, f"{_shown(typed)} is a URL with the scheme {_shown(scheme)}{_meant(rest)}")
    if "@" in typed:
        raise InvalidArgument(
            field, f"{_shown(typed)} has an @, as mail addresses do{_meant(typed.rpartition('@')[2])}"
        )
    if "/" in typed or "?" in typed or "#" in typed or "\\" in typed:
        raise InvalidArgument(field, f"{_shown(typed)} has a path; a domain stands for all paths{_meant(typed)}")
    if is_address(typed.strip("[]")):
        raise InvalidArgument(field, f"{_shown(typed)} is an IP address: certificates and routes are for names")
    if ":" in typed:
        raise InvalidArgument(field, f"{_shown(typed)} has a port; a domain is served on the ingress's{_meant(typed)}")


def _ascii(base: str, typed: str, field: str) -> str:
    if "*" in base:
        raise InvalidArgument(field, f"{_shown(typed)}: a wildcard is the whole first label, as in *.example.com")
    base = base[:-1] if base and _DOTS.fullmatch(base[-1]) else base
    for label in _DOTS.split(base):
        if not label:
            raise InvalidArgument(field, f"{_shown(typed)} has an empty label: two dots, or a dot first")
        if "_" in label:
            raise InvalidArgument(field, f"{_shown(typed)}: {_shown(label)} has an underscore, which no web site has")
    try:
        hostname = idna.encode(base, uts46=True, std3_rules=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError, IndexError) as error:
        raise InvalidArgument(
            field,
            f"{_shown(typed)} is not a domain: {str(error)[:200]}; labels have 1 to 63 letters, digits and inner "
            "hyphens",
        ) from None
    hostname = hostname.removesuffix(".")
    if is_address(hostname):  # after the mapping: full-width digits are digits
        raise InvalidArgument(field, f"{_shown(typed)} is an IP address: certificates and routes are for names")
    return hostname


def _meant(text: str) -> str:
    host = re.split(r"[/?#\\:]", text, maxsplit=1)[0]
    return f": give the domain alone, {_shown(host)}" if "." in host else ": give the domain alone"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


@cache
def _suffixes() -> PublicSuffixList:
    """The list that the library brings; takes 0.2 s."""
    return PublicSuffixList()
