"""Promise: clients that trust the local authority take its certificates, for their names and nothing else."""

import datetime
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import DNSName
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from pkg.certificates import local
from pkg.certificates.local import Issued
from pkg.certificates.schedule import DAY_MS
from pkg.clock import now_ms

NAMES = ("sealift.localhost", "*.sealift.localhost")


@pytest.fixture(scope="module")
def authority() -> Issued:
    return local.make_authority("inst_06b7k3000000000000000000", now_ms())


@pytest.fixture(scope="module")
def issued(authority: Issued) -> Issued:
    return local.issue(authority.chain_pem, authority.key_pem, NAMES, now_ms())


@pytest.mark.parametrize("name", ["sealift.localhost", "hello.sealift.localhost"])
def test_a_strict_verifier_takes_it(authority: Issued, issued: Issued, name: str) -> None:
    """By the rules of the Web PKI, which browsers apply."""
    store = Store([x509.load_pem_x509_certificate(authority.chain_pem.encode())])
    leaf = x509.load_pem_x509_certificates(issued.chain_pem.encode())[0]
    verifier = PolicyBuilder().store(store).time(datetime.datetime.now(datetime.UTC))
    verifier.build_server_verifier(DNSName(name)).verify(leaf, [])
    with pytest.raises(VerificationError):
        verifier.build_server_verifier(DNSName("a.b.sealift.localhost")).verify(leaf, [])


def test_openssl_takes_it_with_strict_checks(authority: Issued, issued: Issued, tmp_path: Path) -> None:
    """-x509_strict refuses missing key identifiers and constraints that are not critical."""
    ca, leaf = tmp_path / "ca.pem", tmp_path / "leaf.pem"
    ca.write_text(authority.chain_pem)
    leaf.write_text(issued.chain_pem)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname"]
    done = subprocess.run(
        [*command, "hello.sealift.localhost", "-CAfile", ca, leaf], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_python_client_takes_it(authority: Issued, issued: Issued, tmp_path: Path) -> None:
    """A handshake with the strict flags that newer Pythons set by default."""
    (tmp_path / "chain.pem").write_text(issued.chain_pem)
    (tmp_path / "key.pem").write_bytes(issued.key_pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    client = ssl.create_default_context(cadata=authority.chain_pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with serving.wrap_socket(theirs, server_side=True) as wrapped:
            wrapped.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(ours, server_hostname="hello.sealift.localhost") as wrapped:
        assert wrapped.recv(5) == b"hello"
    thread.join()


def test_a_long_name_needs_no_common_name(authority: Issued) -> None:
    """A common name has at most 64 characters; the subject is then empty and the names are critical (RFC 5280)."""
    name = ".".join(["a" * 60, "b" * 60, "example"])
    leaf = x509.load_pem_x509_certificates(
        local.issue(authority.chain_pem, authority.key_pem, (name,), now_ms()).chain_pem.encode()
    )[0]
    alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (list(leaf.subject), alternatives.critical) == ([], True)
    assert alternatives.value.get_values_for_type(DNSName) == [name]


def test_it_never_outlives_its_authority(authority: Issued) -> None:
    """A client checks both dates."""
    late = authority.not_after - DAY_MS
    made = local.issue(authority.chain_pem, authority.key_pem, NAMES, late)
    assert made.not_after // 1000 == authority.not_after // 1000


def test_keys_are_not_shown(authority: Issued, issued: Issued) -> None:
    """A value in a traceback reveals no key."""
    for one in (authority, issued):
        key = serialization.load_pem_private_key(one.key_pem, None)
        assert key.key_size == 256  # type: ignore[union-attr]
        assert "PRIVATE" not in repr(one)
