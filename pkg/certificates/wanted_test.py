"""Promise: each name that can have a certificate is wanted once, by the way that can prove it; others are explained."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from pkg.certificates.config import Tls
from pkg.certificates.model import ChallengeKind, Issuer
from pkg.certificates.wanted import ActiveDomain, RoutedName, Wants, wanted
from pkg.config import Secret
from pkg.dns_providers.config import Rfc2136
from pkg.hostnames import Sticky

APEX = "apps.example.com"
ACME = Tls(email="a@example.com")
KEY = Secret(base64.b64encode(bytes(32)).decode())
WITH_DNS = Tls(email="a@example.com", dns=Rfc2136(server="10.0.0.53", zone="example.com", key_name="k", key_secret=KEY))
ROUTES = [
    RoutedName(f"hello.{APEX}", Sticky.LIVE, "ws_1"),
    RoutedName(f"hello-env-production.{APEX}", Sticky.ENVIRONMENT, "ws_1"),
    RoutedName(f"hello-git-main.{APEX}", Sticky.BRANCH, "ws_1"),
    RoutedName("www.shop.example", Sticky.ENVIRONMENT, "ws_1"),
]
DOMAINS = [ActiveDomain("www.shop.example", "ws_1"), ActiveDomain("*.shop.example", "ws_1")]


def find(tls: Tls, *, apex: str = APEX, api: str = "") -> Wants:
    return wanted(tls, apex=apex, api_hostname=api, routes=ROUTES, domains=DOMAINS)


def test_the_local_authority_covers_all() -> None:
    """One certificate for every generated hostname, and one for each domain."""
    found = find(Tls(), api=APEX)
    assert [one.names for one in found.certificates] == [
        ("*.shop.example",), (APEX, f"*.{APEX}"), ("www.shop.example",)
    ]  # fmt: skip
    assert {one.issuer for one in found.certificates} == {Issuer.LOCAL}
    assert found.notices == ()


def test_acme_without_dns_proves_each_stable_hostname_by_http() -> None:
    """Names that come and go with a deployment would use up what an authority issues in a week."""
    found = find(ACME, api="deploy.example.com")
    assert {one.name: one.challenge for one in found.certificates} == {
        f"hello.{APEX}": ChallengeKind.HTTP_01,
        f"hello-env-production.{APEX}": ChallengeKind.HTTP_01,
        "deploy.example.com": ChallengeKind.HTTP_01,
        "www.shop.example": ChallengeKind.HTTP_01,
    }
    assert len(found.notices) == 2
    assert "*.shop.example" in found.notices[1]


def test_acme_with_dns_proves_the_wildcard() -> None:
    """By DNS what the zone holds, by HTTP the rest."""
    found = find(WITH_DNS, api=f"api.{APEX}")
    assert {one.names: one.challenge for one in found.certificates} == {
        (APEX, f"*.{APEX}"): ChallengeKind.DNS_01,
        ("www.shop.example",): ChallengeKind.HTTP_01,
    }


def test_localhost_is_for_the_local_authority() -> None:
    """No other one may issue for it; domains beside it are by ACME."""
    found = find(ACME, apex="sealift.localhost", api="sealift.localhost")
    assert {one.name: one.issuer for one in found.certificates} == {
        "sealift.localhost": Issuer.LOCAL, "www.shop.example": Issuer.ACME
    }  # fmt: skip


def test_nothing_is_wanted_without_tls() -> None:
    """And it is said."""
    found = find(Tls(enabled=False))
    assert (found.certificates, len(found.notices)) == ((), 1)


labels = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
hostnames = st.lists(labels, min_size=1, max_size=4).map(".".join)


@given(
    st.sampled_from([Tls(), ACME, WITH_DNS]),
    st.lists(st.tuples(hostnames, st.sampled_from(Sticky), st.booleans()), max_size=8),
    st.lists(st.tuples(hostnames, st.booleans()), max_size=8),
)
def test_a_name_is_wanted_once(
    tls: Tls, routes: list[tuple[str, Sticky, bool]], domains: list[tuple[str, bool]]
) -> None:
    """Whatever is routed and active: no two for a name, and no challenge that can't prove a wildcard."""
    found = wanted(
        tls,
        apex=APEX,
        api_hostname="",
        routes=[RoutedName(f"{name}.{APEX}" if below else name, sticky, "ws") for name, sticky, below in routes],
        domains=[ActiveDomain(f"*.{name}" if is_wildcard else name, "ws") for name, is_wildcard in domains],
    )
    names = [name for one in found.certificates for name in one.names]
    assert len(names) == len(set(names))
    for one in found.certificates:
        assert (one.issuer is Issuer.LOCAL) == (one.challenge is ChallengeKind.NONE)
        if any(name.startswith("*.") for name in one.names):
            assert one.challenge is not ChallengeKind.HTTP_01
