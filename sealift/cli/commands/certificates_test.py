"""`sealift certificates` and `sealift trust` as processes."""

import json
import time
from pathlib import Path

from sealift.cli.conftest import Program
from sealift.client.testing import FakeServer
from sealift.client.testing_certificates import AUTHORITY_PEM
from sealift.ctrl.v1 import acme_pb2

REASON = "ca.example says: DNS problem: NXDOMAIN looking up A for b.example (dns)."


def now_ms() -> int:
    return int(time.time() * 1000)


def add(server: FakeServer) -> None:
    """One that is valid, and one that could not be obtained."""
    server.certificates["a.example"] = acme_pb2.ManagedCertificate(
        name="a.example", names=["a.example", "*.a.example"], issuer=acme_pb2.CERTIFICATE_ISSUER_ACME,
        challenge="dns-01", state=acme_pb2.CERTIFICATE_STATE_VALID, certificate_id="cert_1", not_before=1,
        not_after=2_000_000_000_000, next_order_at=1_990_000_000_000,
    )  # fmt: skip
    server.certificates["b.example"] = acme_pb2.ManagedCertificate(
        name="b.example", names=["b.example"], issuer=acme_pb2.CERTIFICATE_ISSUER_ACME, challenge="http-01",
        state=acme_pb2.CERTIFICATE_STATE_MISSING, failures=2, failed_at=now_ms() - 60_000, error_message=REASON,
        error_code="certificate.validation_failed", next_order_at=now_ms() + 290_000,
    )  # fmt: skip
    server.orders["b.example"] = [
        acme_pb2.CertificateOrder(order_id="ord_2", status="failed", error_message=REASON, created_at=now_ms())
    ]


async def test_the_list_says_what_is_wrong(sealift: Program, server: FakeServer) -> None:
    """Promise: the authority's own words, when it is tried again, and which names can't have one."""
    add(server)
    server.notices = ["*.c.example has no certificate: a wildcard needs a DNS server."]
    listed = await sealift("certificates")
    assert listed.code == 0
    lines = listed.out.splitlines()
    assert lines[0].split()[:4] == ["NAMES", "STATE", "ISSUER", "EXPIRES"]
    assert lines[1].split()[:6] == ["a.example,", "*.a.example", "valid", "acme", "(dns-01)", "2033-05-18"]
    assert "NXDOMAIN" in listed.out
    assert "Next attempt: in 4" in " ".join(listed.out.split())
    assert "*.c.example has no certificate" in listed.err


async def test_json_has_the_protos_names(sealift: Program, server: FakeServer) -> None:
    """Promise: scripts get the names of the protos, enums in lower case."""
    add(server)
    first, second = (await sealift("certificates", "ls", "--json")).events
    assert (first["name"], first["state"], first["issuer"]) == ("a.example", "valid", "acme")
    assert second["error_message"] == REASON
    (shown,) = (await sealift("certificates", "show", "b.example", "--json")).events
    assert [order["order_id"] for order in shown["orders"]] == ["ord_2"]


async def test_one_is_shown_with_its_orders(sealift: Program, server: FakeServer) -> None:
    """Promise: an order that failed is shown with its reason; a name without a certificate is an error."""
    add(server)
    shown = await sealift("certificates", "show", "b.example")
    assert shown.code == 0
    assert "2 in a row" in shown.out
    assert "ord_2 failed" in shown.out
    missing = await sealift("certificates", "show", "c.example")
    assert (missing.code, "No certificate is for c.example" in missing.err) == (1, True)


async def test_a_retry(sealift: Program, server: FakeServer) -> None:
    """Promise: it says what is ordered; nothing of it is data."""
    add(server)
    done = await sealift("certificates", "retry", "b.example")
    assert (done.code, done.out) == (0, "")
    assert "b.example is ordered now" in done.err


async def test_trust_writes_a_file_and_says_how(sealift: Program) -> None:
    """Promise: the file is this user's; each command names it; nothing is trusted by the program itself."""
    shown = await sealift("trust")
    assert shown.code == 0
    path = Path(sealift.env["HOME"]) / ".config/sealift/ca-abababab.pem"
    assert path.read_text() == AUTHORITY_PEM
    assert path.stat().st_mode & 0o077 == 0
    assert "AB:AB:AB" in shown.out
    for word in (
        "Debian",
        "Fedora",
        "macOS",
        "Windows",
        "Chrome",
        "Firefox",
        "curl",
        "Python",
        "Node",
        "sealift login",
    ):
        assert word in shown.out
    assert shown.out.count(str(path)) >= 9


async def test_trust_for_scripts(sealift: Program) -> None:
    """Promise: --pem prints the certificate and stores nothing; --json names the file."""
    assert (await sealift("trust", "--pem")).out == AUTHORITY_PEM
    assert not (Path(sealift.env["HOME"]) / ".config/sealift").exists()
    values = json.loads((await sealift("trust", "--json")).out)
    assert values["fingerprint_sha256"] == "ab" * 32
    assert Path(values["path"]).read_text() == values["certificate_pem"]


async def test_nothing_is_to_be_trusted_with_a_public_authority(sealift: Program, server: FakeServer) -> None:
    """Promise: without an authority of its own the command fails, and says why."""
    server.authority = acme_pb2.GetCertificateAuthorityResponse()
    done = await sealift("trust", "--pem")
    assert (done.code, done.out) == (1, "")
    assert "no certificate authority of its own" in done.err
