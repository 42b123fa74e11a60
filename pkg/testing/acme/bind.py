"""BIND, with one zone that a key may change."""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.message

from pkg.config import Secret
from pkg.dns_providers.config import Rfc2136
from pkg.testing.acme.processes import answers, running
from pkg.testing.ports import free_port
from pkg.testing.wait import WAIT_S

KEY_NAME = "sealift.test.key."

_ZONE = """$TTL 5
@ SOA ns.{zone}. h.{zone}. 1 60 60 60 5
@ NS ns.{zone}.
ns A 127.0.0.1
* A 127.0.0.1
@ A 127.0.0.1
"""
_CONFIG = """
key "{key_name}" {{ algorithm hmac-sha256; secret "{key}"; }};
options {{
  directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  pid-file "{folder}/named.pid"; session-keyfile "{folder}/named.session";
  recursion no; dnssec-validation no; allow-query {{ 127.0.0.1; }};
}};
controls {{}};
zone "{zone}" {{ type master; file "{folder}/zone"; update-policy {{ grant {key_name} zonesub TXT; }}; }};
"""


@dataclass(frozen=True)
class Bind:
    """A running one; every name of its zone is 127.0.0.1.

    Attributes:
        config: of who changes the zone.
    """

    config: Rfc2136
    port: int

    async def txt(self, name: str) -> set[str]:
        """The TXT records of a name."""
        query = dns.message.make_query(f"{name}.", "TXT")
        answer = await dns.asyncquery.udp(query, "127.0.0.1", port=self.port, timeout=WAIT_S)
        return {b"".join(record.strings).decode() for rrset in answer.answer for record in rrset if record.rdtype == 16}


@asynccontextmanager
async def bind(folder: Path, zone: str) -> AsyncIterator[Bind]:
    """A server with an empty zone, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port, key = free_port(), base64.b64encode(os.urandom(32)).decode()
    (folder / "zone").write_text(_ZONE.format(zone=zone))
    values = {"folder": folder, "port": port, "key": key, "key_name": KEY_NAME, "zone": zone}
    (folder / "named.conf").write_text(_CONFIG.format(**values))
    async with running("named", "-g", "-n", "1", "-c", str(folder / "named.conf"), log=folder / "named.log"):
        await answers(port)
        section = Rfc2136(server=f"127.0.0.1:{port}", zone=zone, key_name=KEY_NAME, key_secret=Secret(key))
        yield Bind(section, port)
