"""TXT records by dynamic update."""

import asyncio
import socket

import dns.asyncquery
import dns.exception
import dns.name
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.update

from pkg.dns_providers.config import Rfc2136
from pkg.dns_providers.port import DnsFailure

TIMEOUT_S = 10.0
TTL_S = 60

_MEANINGS = {
    dns.rcode.NOTAUTH: "the key is not known there, or the server is not the primary one of the zone",
    dns.rcode.REFUSED: "the key may not change this record",
    dns.rcode.NOTZONE: "the name is not in the zone",
    dns.rcode.SERVFAIL: "the server could not store it",
}


class Rfc2136Provider:
    """Implements `DnsProvider`. Each change is a connection of its own, 10 seconds at most."""

    def __init__(self, config: Rfc2136) -> None:
        self._config = config
        self._zone = dns.name.from_text(config.zone.rstrip(".") + ".")
        self._keyring = dns.tsigkeyring.from_text({config.key_name.rstrip(".") + ".": config.key_secret.reveal()})
        self._algorithm = dns.name.from_text(config.algorithm)

    async def add_txt(self, name: str, value: str) -> None:
        """See `DnsProvider`."""
        update = self._update()
        update.add(dns.name.from_text(f"{name}."), TTL_S, "TXT", f'"{value}"')
        await self._send(update, name)

    async def remove_txt(self, name: str, value: str) -> None:
        """See `DnsProvider`."""
        update = self._update()
        update.delete(dns.name.from_text(f"{name}."), "TXT", f'"{value}"')
        await self._send(update, name)

    def _update(self) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(self._zone, keyring=self._keyring, keyalgorithm=self._algorithm)

    async def _send(self, update: dns.update.UpdateMessage, name: str) -> None:
        server, (host, port) = self._config.server, self._config.address
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answer = await dns.asyncquery.tcp(update, str(found[0][4][0]), port=port, timeout=TIMEOUT_S)
        except (dns.tsig.PeerError, dns.tsig.BadTime, dns.tsig.BadSignature) as error:
            message = f"the DNS server {server} refused the key {self._config.key_name}: {type(error).__name__}"
            raise DnsFailure(f"{message}; check key_name, key_secret, algorithm and the clocks") from None
        except (OSError, EOFError, TimeoutError, dns.exception.DNSException) as error:
            why = str(error) or type(error).__name__
            raise DnsFailure(f"the DNS server {server} does not answer: {why}") from None
        if answer.rcode() != dns.rcode.NOERROR:
            meaning = _MEANINGS.get(answer.rcode(), "see its log")
            raise DnsFailure(
                f"the DNS server {server} refused to change {name}: {dns.rcode.to_text(answer.rcode())} ({meaning})"
            )
