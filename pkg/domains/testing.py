"""For tests: a DNS server on loopback whose answers, delays and faults a test chooses."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from pkg.domains.config import Domains
from pkg.domains.resolver import Resolver

NEGATIVE_TTL_S = 120
TTL_S = 60
_MAX_UDP_BYTES = 1232
_MAX_BYTES = 65535


class DnsServer:
    """Answers as a resolver does: with the records that a test set, along their CNAMEs.

    Attributes:
        rcodes: instead of an answer, by name.
        silent: names that get no answer at all.
        truncated: names whose answers are cut short over UDP.
        asked: how often, by (name, type, "udp" or "tcp").
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.rcodes: dict[str, dns.rcode.Rcode] = {}
        self.silent: set[str] = set()
        self.truncated: set[str] = set()
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self.port = 0

    @property
    def config(self) -> Domains:
        """For a `Resolver` that asks this server."""
        return Domains(resolvers=(f"127.0.0.1:{self.port}",))

    def resolver(self) -> Resolver:
        """One that asks this server."""
        return Resolver(self.config)

    def set(self, name: str, record_type: str, *values: str) -> None:
        """Replaces the records of that name and type; none: removes them. TXT values are written without quotes."""
        texts = [f'"{value}"' for value in values] if record_type == "TXT" else list(values)
        if texts:
            self.records[(name, record_type)] = texts
        else:
            self.records.pop((name, record_type), None)

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        """The answer to one question; None for none."""
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        record_type = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked[(name, record_type, transport)] += 1
        if name in self.silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if name in self.rcodes:
            response.set_rcode(self.rcodes[name])
            return response.to_wire(max_size=_MAX_BYTES)
        self._fill(response, name, record_type)
        if transport == "udp" and (
            name in self.truncated or len(response.to_wire(max_size=_MAX_BYTES)) > _MAX_UDP_BYTES
        ):
            response.answer.clear()
            response.flags |= dns.flags.TC
        return response.to_wire(max_size=_MAX_BYTES)

    def _fill(self, response: dns.message.Message, name: str, record_type: str) -> None:
        for _ in range(20):
            if values := self._find(name, record_type):
                response.answer.append(dns.rrset.from_text(f"{name}.", TTL_S, "IN", record_type, *values))
                return
            aliases = self._find(name, "CNAME") if record_type != "CNAME" else []
            if not aliases:
                break
            response.answer.append(dns.rrset.from_text(f"{name}.", TTL_S, "IN", "CNAME", *aliases))
            name = aliases[0].removesuffix(".").lower()
        soa = f"ns.test. host.test. 1 3600 600 86400 {NEGATIVE_TTL_S}"
        response.authority.append(dns.rrset.from_text("test.", 3600, "IN", "SOA", soa))
        if not any(known == name or known.endswith(f".{name}") for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _find(self, name: str, record_type: str) -> list[str]:
        found = self.records.get((name, record_type))
        return found or self.records.get((f"*.{name.partition('.')[2]}", record_type), [])


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self._server.answer(data, "udp")
        if answer is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    """A server on a free port of loopback, UDP and TCP, without any records."""
    server = DnsServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = server.answer(await reader.readexactly(size), "tcp")
            if answer is not None:
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    tcp = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = tcp.sockets[0].getsockname()[1]
    udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Udp(server), local_addr=("127.0.0.1", server.port)
    )
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()
