"""Figure: a domain is added whose DNS records are set already, until it answers by HTTPS with a certificate by ACME.

The authority is Pebble, which answers at once; it and Sealift ask a DNS server of this process. Pebble looks for
answers to challenges on a port of its own, so connections to that are handed on to the ingress.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

from pkg.domains.testing import dns_server
from pkg.testing.acme.pebble import Pebble, pebble
from tests.bench.figure import Figure
from tests.harness import apps
from tests.harness.background import in_background
from tests.harness.stack import Stack, finish
from tests.harness.tls import ask

PROJECT = "bench-domain"
ZONE = "shop.test"
WITHIN_S = 120.0
POLL_S = 0.02
REFUSED_NONCES_PERCENT = 5  # Pebble's own default


def measure(engine_socket: str, scratch: Path, rounds: int) -> list[Figure]:
    """Adds a domain in each round, one after the other."""
    return asyncio.run(_measure(engine_socket, scratch, rounds))


async def _measure(engine_socket: str, scratch: Path, rounds: int) -> list[Figure]:
    took: list[float] = []
    with in_background(dns_server()) as zone:
        authority = pebble(
            scratch / "pebble",
            requires_eab=False,
            refused_nonces_percent=REFUSED_NONCES_PERCENT,
            dns_port=zone.port,
        )
        async with authority as acme:
            for name in (f"*.{ZONE}", "sealift.localhost", "*.sealift.localhost"):
                zone.set(name, "A", "127.0.0.1")
            with Stack(engine_socket, toml=_config(acme, zone.port)) as stack:
                async with _handed_on(acme.http_port, stack.ingress_port):
                    directory = apps.app(scratch / "domain", "one")
                    await asyncio.to_thread(_deployed, stack, directory)
                    for number in range(rounds):
                        hostname = f"shop-{number}.{ZONE}"
                        name, value = await asyncio.to_thread(_wanted, stack, hostname)
                        zone.set(name, "TXT", value)
                        took.append(await asyncio.to_thread(_added, stack, hostname))
    return [Figure("domain added, records already set, until HTTPS answers (Pebble)", "value", took, "ms")]


def _config(acme: Pebble, dns_port: int) -> str:
    return (
        f'[domains]\nresolvers = ["127.0.0.1:{dns_port}"]\naddresses = ["127.0.0.1"]\n'
        f'[tls]\nemail = "operator@example.test"\ndirectory = "{acme.directory}"\nca_file = "{acme.ca_file}"\n'
    )


def _deployed(stack: Stack, directory: Path) -> None:
    """An app is live."""
    stack.sealift("projects", "create", PROJECT)
    deployed = stack.deploy(directory, PROJECT)
    if deployed.code:
        raise RuntimeError(f"the app is not live: {deployed.err}")


def _wanted(stack: Stack, hostname: str) -> tuple[str, str]:
    """Name and value of the domain's TXT record, which stay the same when it is added again."""
    shown = stack.sealift("domains", "add", hostname, "--project", PROJECT, "--no-wait", "--json")
    records = json.loads(shown.out.splitlines()[0])["records"]
    stack.sealift("domains", "rm", hostname, "--yes")
    return next((record["name"], record["wanted"][0]) for record in records if record["type"] == "TXT")


def _added(stack: Stack, hostname: str) -> float:
    """Milliseconds from the start of the command until the app answers by HTTPS under the name."""
    started_at = time.perf_counter()
    command = stack.start_cli("domains", "add", hostname, "--project", PROJECT)
    while ask(stack.endpoints["ingress_tls"], hostname)[0] != 200:
        if time.perf_counter() - started_at > WITHIN_S:
            shown = stack.sealift("domains", "show", hostname)
            raise RuntimeError(f"{hostname} does not answer by HTTPS within {WITHIN_S:.0f} s: {shown.out}")
        time.sleep(POLL_S)
    took_ms = (time.perf_counter() - started_at) * 1000
    finish(command)
    return took_ms


@contextlib.asynccontextmanager
async def _handed_on(port: int, to_port: int) -> AsyncIterator[None]:
    """Connections to the one port of loopback go to the other one, until the block ends."""

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", to_port)
        try:
            await asyncio.gather(_copied(reader, other_writer), _copied(other_reader, writer))
        finally:
            writer.close()
            other_writer.close()

    server = await asyncio.start_server(hand_on, "127.0.0.1", port)
    async with server:
        yield


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
