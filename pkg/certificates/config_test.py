"""Promise: what is set under [tls] has an effect, or is refused with the reason."""

import base64

import msgspec
import pytest

from pkg.certificates.config import Tls
from pkg.config import Secret
from pkg.dns_providers.config import Rfc2136

KEY = base64.b64encode(bytes(32)).decode()
DNS = Rfc2136(server="10.0.0.53", zone="example.com.", key_name="k.", key_secret=Secret(KEY))


def test_nothing_set_is_the_local_authority() -> None:
    """A default installation asks nobody for certificates."""
    tls = Tls()
    assert (tls.problems(), tls.uses_acme) == ([], False)
    assert Tls(email="a@example.com", dns=DNS).uses_acme


@pytest.mark.parametrize(
    ("tls", "key"),
    [
        (Tls(directory="https://acme.example/dir"), "directory"),
        (Tls(eab_key_id="k"), "eab_key_id"),
        (Tls(eab_hmac_key=Secret("k")), "eab_hmac_key"),
        (Tls(dns=DNS), "dns"),
        (Tls(ca_file="/ca.pem"), "ca_file"),
        (Tls(email="nobody"), "email"),
        (Tls(email="a@example.com", directory="http://acme.example/dir"), "directory"),
        (Tls(email="a@example.com", eab_key_id="k"), "eab_key_id"),
        (Tls(email="a@example.com", eab_key_id="k", eab_hmac_key=Secret("no base64")), "eab_hmac_key"),
        (Tls(email="a@example.com", ca_file="ca.pem"), "ca_file"),
    ],
)
def test_what_would_not_work_is_refused(tls: Tls, key: str) -> None:
    """An ACME setting without an e-mail, half a binding, a directory that sends keys in clear."""
    assert [line.partition(":")[0] for line in tls.problems()] == [key]


def test_the_dns_server_and_what_it_covers() -> None:
    """The port is 53 by default; a zone covers its names and nothing that only ends alike."""
    assert (DNS.problems(), DNS.address) == ([], ("10.0.0.53", 53))
    other = Rfc2136(server="127.0.0.1:5353", zone="a.b", key_name="k", key_secret=Secret("no base64"), propagation_s=99)
    assert other.address == ("127.0.0.1", 5353)
    assert [line.partition(":")[0] for line in other.problems()] == ["key_secret", "propagation_s"]
    assert all(map(DNS.covers, ("example.com", "*.example.com", "a.b.example.com")))
    assert not any(map(DNS.covers, ("badexample.com", "example.org", "*.com")))
    assert KEY not in repr(DNS)


@pytest.mark.parametrize("server", ["2001:db8::53", "[2001:db8::53]", "[2001:db8::53]:53"])
def test_a_dns_server_by_ipv6(server: str) -> None:
    """Promise: an IPv6 address needs no brackets where there is no port."""
    dns = msgspec.structs.replace(DNS, server=server)
    assert (dns.problems(), dns.address) == ([], ("2001:db8::53", 53))


@pytest.mark.parametrize("server", ["", ":53", "[]:53", "[10.0.0.1]:53", "10.0.0.1:0", "a:b:53", "udp://10.0.0.53"])
def test_a_dns_server_that_is_none(server: str) -> None:
    """Promise: it is refused at the start, as it was written."""
    assert msgspec.structs.replace(DNS, server=server).problems() == [
        f"server: expected host or host:port, got {server!r}"
    ]
