"""Pebble, an ACME server for tests, and the DNS that it asks."""

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from pkg.certificates.config import Tls
from pkg.config import Secret
from pkg.testing.acme.processes import answers, running
from pkg.testing.certificates import Authority
from pkg.testing.ports import free_ports

EAB_KEY_ID = "kid-1"


@dataclass(frozen=True)
class Pebble:
    """A running one.

    Attributes:
        directory: its URL.
        ca_file: that its own certificate is checked with.
        http_port: where it looks for answers to HTTP-01, of every hostname on 127.0.0.1.
        eab_key: of the external account binding that it asks for; "" if it asks for none.
        dns_management: URL of its DNS' management.
    """

    directory: str
    ca_file: Path
    http_port: int
    eab_key: str
    dns_management: str = ""
    _folder: Path = field(default=Path(), repr=False)

    def tls(self, **more: Any) -> Tls:
        """The configuration of who uses it."""
        binding: dict[str, Any] = {}
        if self.eab_key:
            binding = {"eab_key_id": EAB_KEY_ID, "eab_hmac_key": Secret(self.eab_key)}
        return Tls(
            email="operator@example.test", directory=self.directory, ca_file=str(self.ca_file), **binding, **more
        )

    async def dns(self, action: str, **body: Any) -> None:
        """Changes what its DNS answers, e.g. `dns("add-caa", host="a.test.", policies=[...])`."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.dns_management}/{action}", json=body) as response,
        ):
            assert response.status == 200, await response.text()

    def log(self) -> str:
        """What it printed."""
        return (self._folder / "pebble.log").read_text(errors="replace")


@asynccontextmanager
async def pebble(
    folder: Path,
    *,
    requires_eab: bool = True,
    refused_nonces_percent: int = 50,
    lifetime_s: int = 90 * 86400,
    dns_port: int | None = None,
    http_port: int = 0,
    looks_after_s: int = 0,
) -> AsyncIterator[Pebble]:
    """A strict one with a new authority, until the block ends.

    Args:
        folder: for its files.
        requires_eab: whether accounts need an external account binding.
        refused_nonces_percent: of all requests.
        lifetime_s: of the certificates that it issues.
        dns_port: of the DNS server that it asks; None: its own test DNS, in which every name is 127.0.0.1.
        http_port: where it looks for answers to HTTP-01; 0: any free port.
        looks_after_s: it takes up to so long to look, as real ones do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, management, free_port, tls_port, own_dns, dns_management = free_ports(6)
    http_port = http_port or free_port
    ca_file = folder / "server-ca.pem"
    authority = Authority("pebble's own")
    ca_file.write_bytes(authority.pem)
    certificate, key = authority.issue("localhost", "127.0.0.1").write(folder, "server")
    eab_key = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=") if requires_eab else ""
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": http_port,
        "tlsPort": tls_port,
        "ocspResponderURL": "",
        "certificateValidityPeriod": lifetime_s,
        "externalAccountBindingRequired": requires_eab,
        "externalAccountMACKeys": {EAB_KEY_ID: eab_key} if requires_eab else {},
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    env = {
        **os.environ,
        "PEBBLE_WFE_NONCEREJECT": str(refused_nonces_percent),
        **({"PEBBLE_VA_SLEEPTIME": str(looks_after_s)} if looks_after_s else {"PEBBLE_VA_NOSLEEP": "1"}),
        "PEBBLE_AUTHZREUSE": "0",
    }
    async with AsyncExitStack() as stack:
        if dns_port is None:
            challtestsrv = (
                "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "",
                "-dns01", f"127.0.0.1:{own_dns}", "-management", f"127.0.0.1:{dns_management}",
            )  # fmt: skip
            await stack.enter_async_context(running("pebble-challtestsrv", *challtestsrv, log=folder / "dns.log"))
            await answers(dns_management)
        arguments = (
            "-config",
            str(folder / "pebble.json"),
            "-strict",
            "-dnsserver",
            f"127.0.0.1:{dns_port or own_dns}",
        )
        await stack.enter_async_context(running("pebble", *arguments, log=folder / "pebble.log", env=env))
        await answers(port)
        url = f"http://127.0.0.1:{dns_management}"
        yield Pebble(f"https://127.0.0.1:{port}/dir", ca_file, http_port, eab_key, url, folder)
