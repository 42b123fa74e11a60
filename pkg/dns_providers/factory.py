"""Opens the provider of a section."""

from pkg.dns_providers.config import Rfc2136
from pkg.dns_providers.port import DnsProvider


def open_provider(section: Rfc2136) -> DnsProvider:
    """The adapter that the section configures."""
    from pkg.dns_providers.rfc2136.provider import Rfc2136Provider  # its library is only loaded where it is used

    return Rfc2136Provider(section)
