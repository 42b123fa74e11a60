"""Promise: a deploy is enough for HTTPS, with the local authority or an ACME server, and renewals are not noticed."""

import contextlib
import json
import threading
from pathlib import Path

import pytest
from cryptography import x509

from pkg.domains.testing import dns_server
from pkg.testing.acme import is_installed
from tests.harness import apps
from tests.harness.acme import APEX, acme_stack
from tests.harness.background import in_background
from tests.harness.http import get
from tests.harness.stack import Stack
from tests.harness.tls import ask, shown
from tests.harness.wait import eventually

needs_pebble = pytest.mark.skipif(not is_installed(), reason="Debian's packages pebble and bind9 are not installed")
ISSUED_WITHIN_S = 60
LIFETIME_S = 120  # a third of it is left for a renewal, which takes seconds on a busy machine


def test_trust_makes_clients_trust(stack: Stack, project: str, tmp_path: Path) -> None:
    """The file of `sealift trust` is all that a strict client needs; the list says that the certificate is valid."""
    result = stack.deploy(apps.app(tmp_path / "app"), project)
    assert result.code == 0, result.err
    trusted = stack.sealift("trust", "--json", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert trusted.code == 0, trusted.err
    authority = Path(trusted.last_json["path"]).read_text()
    status, _ = ask(stack.endpoints["ingress_tls"], f"{project}.sealift.localhost", authority=authority)
    assert status == 200
    listed = stack.sealift("certificates", "show", f"{project}.sealift.localhost", "--json")
    assert listed.code == 0, listed.err
    assert listed.last_json["state"] == "valid"
    assert listed.last_json["names"] == ["sealift.localhost", "*.sealift.localhost"]


def _issuer(address: str, hostname: str) -> str:
    found = shown(address, hostname)
    return "" if found is None else found.issuer.rfc4514_string()


def _files_with(folder: Path, secret: str) -> list[str]:
    """The logs that hold it."""
    return [path.name for path in folder.rglob("*") if path.is_file() and secret in path.read_text(errors="replace")]


def _command_lines() -> str:
    """What `ps` shows of every process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_text(errors="replace"))
    return "\n".join(found)


@needs_pebble
@pytest.mark.timeout(600)
def test_a_deploy_is_enough_for_a_public_certificate(engine_socket: str, tmp_path: Path) -> None:
    """Proven through the ingress itself; HTTP then leads to HTTPS; renewed under load without a failed request."""
    with acme_stack(engine_socket, tmp_path / "pebble", lifetime_s=LIFETIME_S) as ours:
        stack, hostname = ours.stack, f"hello.{APEX}"
        assert stack.sealift("projects", "create", "hello").code == 0
        result = stack.deploy(apps.app(tmp_path / "app", "hello"), "hello")
        assert result.code == 0, result.err
        eventually(
            lambda: "Pebble" in _issuer(ours.address, hostname),
            within_s=ISSUED_WITHIN_S,
            what=str(ours.orders(hostname)),
        )
        assert ask(ours.address, hostname)[0] == 200
        assert ours.orders(hostname)[0] == ("done", "")
        first = shown(ours.address, hostname)
        assert isinstance(first, x509.Certificate)
        redirected = get(f"http://{hostname}:{stack.ingress_port}")
        assert redirected.status == 308
        failures: list[str] = []
        over = threading.Event()

        def load() -> None:
            while not over.wait(0.1):
                status, body = ask(ours.address, hostname)
                if status != 200:
                    failures.append(f"{status} {body}")

        thread = threading.Thread(target=load)
        thread.start()
        try:

            def is_renewed() -> bool:
                now = shown(ours.address, hostname)
                return now is not None and now.serial_number != first.serial_number

            eventually(is_renewed, within_s=LIFETIME_S + 30, what=f"renewed; {ours.orders(hostname)}")
            eventually(lambda: len(ours.certificates(hostname)) == 1, what="the old one is removed")
        finally:
            over.set()
            thread.join(20)
        assert failures == []
        assert ours.answers() == 0
        listed = stack.sealift("certificates", "--json")
        names = {json.loads(line)["name"] for line in listed.out.splitlines()}
        assert hostname in names
        assert "need a certificate for *.apps.test" in listed.err
        for secret in (ours.pebble.eab_key, "PRIVATE KEY"):
            assert _files_with(stack.state / "logs", secret) == []
            assert secret not in _command_lines()


@needs_pebble
@pytest.mark.timeout(600)
def test_a_domain_of_a_user_gets_its_certificate(engine_socket: str, tmp_path: Path) -> None:
    """Its records are set before it is added: HTTPS answers within seconds. Removed, it is served no more."""
    hostname = "www.shop.test"
    with (
        in_background(dns_server()) as zone,
        acme_stack(engine_socket, tmp_path / "pebble", dns_port=zone.port) as ours,
    ):
        stack = ours.stack
        for name in (APEX, f"hello.{APEX}"):
            zone.set(name, "A", "127.0.0.1")
        assert stack.sealift("projects", "create", "hello").code == 0
        result = stack.deploy(apps.app(tmp_path / "app", "hello"), "hello")
        assert result.code == 0, result.err
        added = stack.sealift("domains", "add", hostname, "--project", "hello", "--no-wait", "--json")
        assert added.code == 0, added.err
        for record in added.last_json["records"]:
            dot = "." if record["type"] == "CNAME" else ""
            zone.set(record["name"], record["type"], *(value + dot for value in record["wanted"]))
        verified = stack.sealift("domains", "verify", hostname)
        assert verified.code == 0, verified.err
        eventually(lambda: "Pebble" in _issuer(ours.address, hostname), what=str(ours.orders(hostname)))
        assert ask(ours.address, hostname) == (200, "hello")
        removed = stack.sealift("domains", "rm", hostname, "--yes")
        assert removed.code == 0, removed.err
        eventually(lambda: shown(ours.address, hostname) is None, what="it is served no more")
        assert ours.certificates(hostname) == []
