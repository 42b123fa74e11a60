"""A stack whose certificates are by ACME, from Pebble, proven through its real ingress."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pkg.testing.acme.pebble import EAB_KEY_ID, Pebble, pebble
from pkg.testing.ports import free_port
from tests.harness.background import in_background
from tests.harness.stack import Stack

APEX = "apps.test"


@dataclass(frozen=True)
class AcmeStack:
    """Both; every name is 127.0.0.1 for Pebble, which looks at the ingress."""

    stack: Stack
    pebble: Pebble

    @property
    def address(self) -> str:
        """Where the ingress answers by HTTPS."""
        return str(self.stack.endpoints["ingress_tls"])

    def orders(self, name: str) -> list[tuple[str, str]]:
        """Status and error of each order for a name, the oldest first."""
        query = "SELECT status, COALESCE(error_message, '') FROM certificate_orders WHERE name = ? ORDER BY id"
        return [(str(status), str(error)) for status, error in self.stack.rows(query, name)]

    def certificates(self, name: str) -> list[str]:
        """The ids of the certificates of a name that are served or about to be, the oldest first."""
        return [str(row[0]) for row in self.stack.rows("SELECT id FROM certificates WHERE name = ? ORDER BY id", name)]

    def answers(self) -> int:
        """How many answers to challenges there are."""
        return int(self.stack.rows("SELECT count(*) FROM acme_challenges")[0][0])


@contextlib.contextmanager
def acme_stack(
    engine_socket: str,
    folder: Path,
    *,
    lifetime_s: int = 90 * 86400,
    looks_after_s: int = 0,
    dns_port: int | None = None,
) -> Iterator[AcmeStack]:
    """Pebble that refuses half of all nonces and asks for an external account, and a stack that uses it.

    `dns_port`: of the DNS server that both ask; None: every name is 127.0.0.1 for Pebble.
    """
    port = free_port()
    opened = pebble(folder, http_port=port, lifetime_s=lifetime_s, looks_after_s=looks_after_s, dns_port=dns_port)
    with in_background(opened) as running:
        toml = (
            f'[ingress]\napex_domain = "{APEX}"\n'
            f'[tls]\nemail = "operator@example.test"\ndirectory = "{running.directory}"\n'
            f'ca_file = "{running.ca_file}"\n'
            f'eab_key_id = "{EAB_KEY_ID}"\neab_hmac_key = "{running.eab_key}"\n'
        )
        if dns_port is not None:
            toml += f'[domains]\nresolvers = ["127.0.0.1:{dns_port}"]\n'
        with Stack(engine_socket, toml=toml, ports={"ingress": port}) as stack:
            yield AcmeStack(stack, running)
