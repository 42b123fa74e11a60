"""Promise: whatever DNS does, a check ends in time and says in words what it found and what is wanted."""

from collections.abc import AsyncIterator
from typing import Any

import dns.rcode
import pytest

from pkg.domains import resolver
from pkg.domains.caa import Issuance
from pkg.domains.check import Expectation, check_domain
from pkg.domains.model import Report
from pkg.domains.names import parse_domain
from pkg.domains.resolver import Resolver
from pkg.domains.rules import InstallationNames
from pkg.domains.testing import NEGATIVE_TTL_S, TTL_S, DnsServer, dns_server

TOKEN = "sealift-domain-mine"
TARGET = "shop.apps.test"
CHALLENGE = "_sealift-challenge.www.shop.test"


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    """Where the apps' apex has a wildcard, and www.shop.test is set as it should be."""
    async with dns_server() as server:
        server.set("*.apps.test", "A", "203.0.113.7")
        server.set("*.apps.test", "AAAA", "2001:db8::7")
        server.set(CHALLENGE, "TXT", TOKEN)
        server.set("www.shop.test", "CNAME", f"{TARGET}.")
        yield server


async def check(zone: DnsServer, hostname: str = "www.shop.test", **more: Any) -> Report:
    expected = Expectation(
        name=parse_domain(hostname), token=TOKEN, target=TARGET, installation=InstallationNames("apps.test"), **more
    )
    return await check_domain(zone.resolver(), expected)


async def test_all_is_right(zone: DnsServer) -> None:
    report = await check(zone)
    assert (report.is_right, report.reason, report.warnings) == (True, "", ())
    assert [(r.type, r.found, r.is_right) for r in report.records] == [
        ("TXT", (TOKEN,), True),
        ("CNAME", (TARGET,), True),
    ]


async def test_nothing_is_set(zone: DnsServer) -> None:
    """The reason names what is missing, and how long a resolver may go on saying so."""
    report = await check(zone, "www.empty.test")
    assert (report.is_owned, report.is_pointed) == (False, False)
    delay = f"Resolvers may repeat this answer for {NEGATIVE_TTL_S} s."
    assert report.reason == (
        f"There is no TXT record _sealift-challenge.www.empty.test. {delay} www.empty.test has no address. {delay}"
    )
    assert [(r.type, r.wanted) for r in report.records] == [("TXT", (TOKEN,)), ("CNAME", (TARGET,))]


async def test_another_value(zone: DnsServer) -> None:
    """Other values beside the right one do not matter; without it they are shown."""
    zone.set(CHALLENGE, "TXT", "something else", "v=spf1 -all")
    report = await check(zone)
    assert report.is_owned is False
    assert report.records[0].found == ("something else", "v=spf1 -all")
    assert f"does not hold the wanted value. Resolvers may repeat this answer for {TTL_S} s." in report.reason
    zone.set(CHALLENGE, "TXT", "something else", TOKEN)
    assert (await check(zone)).is_right


async def test_a_provider_that_appends_the_zone(zone: DnsServer) -> None:
    zone.set(CHALLENGE, "TXT")
    zone.set(f"{CHALLENGE}.shop.test", "TXT", TOKEN)
    assert "enter the name as _sealift-challenge.www." in (await check(zone)).reason


async def test_a_value_in_quotes(zone: DnsServer) -> None:
    """Some providers take quotes for a part of the value."""
    zone.records[(CHALLENGE, "TXT")] = [f'"\\"{TOKEN}\\""']
    report = await check(zone)
    assert report.is_owned is False
    assert f"TXT {CHALLENGE} holds the value with quotes or spaces around it" in report.reason


async def test_a_provider_that_appends_the_zone_to_the_target(zone: DnsServer) -> None:
    zone.set("www.shop.test", "CNAME", f"{TARGET}.shop.test.")
    report = await check(zone)
    assert report.is_pointed is False
    assert f"leads to {TARGET}.shop.test: the DNS provider appends shop.test" in report.reason
    assert f"('{TARGET}.')" in report.reason


async def test_many_values_come_over_tcp(zone: DnsServer) -> None:
    """A truncated answer is asked for again; of many values few are shown."""
    zone.set(CHALLENGE, "TXT", *(f"value {number} {'x' * 200}" for number in range(30)), TOKEN)
    zone.truncated.add("www.shop.test")
    report = await check(zone)
    assert report.is_right
    assert len(report.records[0].found) == 10
    assert zone.asked[(CHALLENGE, "TXT", "tcp")] == 1
    assert zone.asked[("www.shop.test", "CNAME", "tcp")] == 1


async def test_through_other_names(zone: DnsServer) -> None:
    zone.set("www.shop.test", "CNAME", "cdn.shop.test.")
    zone.set("cdn.shop.test", "CNAME", "other.apps.test.")
    report = await check(zone)
    assert report.is_right, "any name below the apex is right"
    assert report.records[1].found == ("cdn.shop.test", "other.apps.test")


async def test_cnames_in_a_circle(zone: DnsServer) -> None:
    zone.set("www.shop.test", "CNAME", "a.shop.test.")
    zone.set("a.shop.test", "CNAME", "b.shop.test.")
    zone.set("b.shop.test", "CNAME", "a.shop.test.")
    report = await check(zone)
    assert (report.is_owned, report.is_pointed) == (True, None)
    assert report.reason == "The CNAME records of www.shop.test lead in a circle, at a.shop.test."
    for number in range(12):
        zone.set(f"n{number}.shop.test", "CNAME", f"n{number + 1}.shop.test.")
    zone.set("www.shop.test", "CNAME", "n0.shop.test.")
    assert "through more than 8 names" in (await check(zone)).reason


async def test_a_cname_to_somebody_else(zone: DnsServer) -> None:
    zone.set("www.shop.test", "CNAME", "old-host.test.")
    zone.set("old-host.test", "A", "198.51.100.9")
    report = await check(zone)
    assert report.is_pointed is False
    record = report.records[1]
    assert (record.type, record.wanted, record.found) == ("CNAME", (TARGET,), ("198.51.100.9",))
    assert "A www.shop.test leads elsewhere (198.51.100.9); wanted is 203.0.113.7." in report.reason
    zone.set("www.shop.test", "CNAME", "gone.test.")
    assert "has no address (CNAME to gone.test)" in (await check(zone)).reason


async def test_the_top_of_a_zone_has_addresses(zone: DnsServer) -> None:
    """Where DNS permits no CNAME, the addresses of the ingress are wanted."""
    zone.set("_sealift-challenge.shop.test", "TXT", TOKEN)
    report = await check(zone, "shop.test")
    assert [(r.type, r.wanted) for r in report.records[1:]] == [("A", ("203.0.113.7",)), ("AAAA", ("2001:db8::7",))]
    zone.set("shop.test", "A", "203.0.113.7")
    assert (await check(zone, "shop.test")).is_right, "one kind of address is enough"
    zone.set("shop.test", "AAAA", "2001:db8::7")
    assert (await check(zone, "shop.test")).is_right


async def test_dual_stack_half_wrong(zone: DnsServer) -> None:
    """A client may take either address, so both have to be right; the wrong one is named."""
    zone.set("www.shop.test", "CNAME")
    zone.set("www.shop.test", "A", "203.0.113.7")
    zone.set("www.shop.test", "AAAA", "2001:db8::bad")
    report = await check(zone)
    assert report.is_pointed is False
    assert [(r.type, r.is_right) for r in report.records] == [("TXT", True), ("A", True), ("AAAA", False)]
    assert report.reason.startswith("AAAA www.shop.test leads elsewhere (2001:db8::bad); wanted is 2001:db8::7.")
    assert "wanted is none: this ingress has no such address" in (await check(zone, addresses=("203.0.113.7",))).reason


async def test_a_proxy_of_cloudflare(zone: DnsServer) -> None:
    """Its addresses hide where requests go: which switch to turn is said."""
    zone.set("www.shop.test", "CNAME")
    zone.set("www.shop.test", "A", "104.21.7.7")
    zone.set("www.shop.test", "AAAA", "2606:4700:3030::6815:707")
    report = await check(zone)
    assert report.is_pointed is False
    assert report.reason.count('set the record to "DNS only" there') == 2
    zone.set("www.shop.test", "AAAA")
    zone.set("www.shop.test", "A", "198.51.100.9")
    assert "Cloudflare" not in (await check(zone)).reason


async def test_many_addresses(zone: DnsServer) -> None:
    zone.set("www.shop.test", "CNAME")
    zone.set("www.shop.test", "A", "203.0.113.7", *(f"198.51.100.{number}" for number in range(1, 60)))
    report = await check(zone)
    assert report.is_pointed is False
    assert "and 56 more)" in report.reason
    assert len(report.reason) < 300


async def test_addresses_that_nobody_knows(zone: DnsServer) -> None:
    zone.set("*.apps.test", "A")
    zone.set("*.apps.test", "AAAA")
    zone.set("www.shop.test", "CNAME")
    zone.set("www.shop.test", "A", "203.0.113.7")
    report = await check(zone)
    assert report.is_pointed is None
    assert "have the operator set [domains] addresses" in report.reason


async def test_a_wildcard_is_asked_for_a_name_below(zone: DnsServer) -> None:
    zone.set("_sealift-challenge.shop.test", "TXT", TOKEN)
    assert (await check(zone, "*.shop.test")).is_pointed is False
    zone.set("*.shop.test", "CNAME", f"{TARGET}.")
    report = await check(zone, "*.shop.test")
    assert report.is_right
    assert report.records[1].name == "*.shop.test"


async def test_failures_are_no_answers(zone: DnsServer) -> None:
    """SERVFAIL and silence prove nothing: what was known stays, and the reason says what the resolver said."""
    zone.rcodes[CHALLENGE] = dns.rcode.SERVFAIL
    report = await check(zone)
    assert (report.is_owned, report.is_pointed) == (None, True)
    assert "DNS did not answer for TXT" in report.reason
    assert "SERVFAIL; the zone's own servers fail, or its DNSSEC signatures are wrong" in report.reason
    zone.rcodes = {"www.shop.test": dns.rcode.REFUSED}
    report = await check(zone)
    assert (report.is_owned, report.is_pointed) == (True, None)
    assert "REFUSED" in report.reason


async def test_silence_ends(zone: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "LOOKUP_TIMEOUT_S", 0.5)
    monkeypatch.setattr(resolver, "TRY_TIMEOUT_S", 0.2)
    zone.silent = {CHALLENGE, "www.shop.test"}
    report = await check(zone)
    assert (report.is_owned, report.is_pointed) == (None, None)
    assert "no answer within" in report.reason


async def test_a_resolver_that_is_away() -> None:
    """Nothing listens at its port: an answer in words, as any other."""
    async with dns_server() as server:
        config = server.config
    expected = Expectation(parse_domain("www.shop.test"), TOKEN, TARGET, InstallationNames("apps.test"))
    report = await check_domain(Resolver(config), expected)
    assert (report.is_owned, report.is_pointed) == (None, None)
    assert "DNS did not answer" in report.reason


async def test_names_of_this_machine_need_no_resolver(zone: DnsServer) -> None:
    """The default apex is below localhost, whose addresses are fixed."""
    zone.set("www.shop.test", "CNAME")
    zone.set("www.shop.test", "A", "127.0.0.1")
    expected = Expectation(
        parse_domain("www.shop.test"), TOKEN, "shop.sealift.localhost", InstallationNames("sealift.localhost")
    )
    report = await check_domain(zone.resolver(), expected)
    assert (report.is_right, report.warnings) == (True, ())


async def test_a_name_of_this_machine_is_no_target(zone: DnsServer) -> None:
    """Who adds a domain to an installation with the default apex is told that no record can lead to it."""
    installation = InstallationNames("sealift.localhost")
    expected = Expectation(parse_domain("www.empty.test"), TOKEN, "shop.sealift.localhost", installation)
    (warning,) = (await check_domain(zone.resolver(), expected)).warnings
    assert "shop.sealift.localhost is a name of the server's own machine" in warning
    assert "[ingress] apex_domain" in warning
    assert (await check(zone, "www.empty.test")).warnings == ()


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("A", "10.1.2.3"), ("A", "127.0.0.1"), ("A", "169.254.169.254"), ("A", "100.64.0.9"), ("A", "192.168.0.1"),
        ("AAAA", "fd00::5"), ("AAAA", "::1"), ("AAAA", "fe80::1"), ("AAAA", "::ffff:10.1.2.3"),
    ],
)  # fmt: skip
async def test_private_addresses_are_shown_to_the_owner_alone(zone: DnsServer, kind: str, address: str) -> None:
    """Resolvers of a network know its machines, and anybody may add any name: only who proves it sees this."""
    zone.set("www.shop.test", "CNAME")
    zone.set("www.shop.test", kind, address)
    owner = await check(zone)
    assert address in str(owner)
    zone.set(CHALLENGE, "TXT")
    stranger = await check(zone)
    assert (stranger.is_owned, stranger.is_pointed) == (False, False)
    assert address not in str(stranger)
    assert "leads elsewhere (an address of a private network)" in stranger.reason
    assert address in str(await check(zone, addresses=(address,))), "the ingress's own is no secret"


async def test_caa_is_told(zone: DnsServer) -> None:
    """The nearest records above decide; they are a warning, since the route works without a certificate."""
    issuance = Issuance(("letsencrypt.org",), "http-01", "https://le.test/acct/1")
    assert (await check(zone, issuance=issuance)).warnings == ()
    zone.set("shop.test", "CAA", '0 issue "other-ca.test"')
    report = await check(zone, issuance=issuance)
    assert report.is_right
    assert len(report.warnings) == 1
    assert """CAA records of shop.test ('0 issue other-ca.test') forbid""" in report.warnings[0]
    assert 'add 0 issue "letsencrypt.org"' in report.warnings[0]
    zone.set("shop.test", "CAA", '0 issue "other-ca.test"', '0 issue "letsencrypt.org; validationmethods=http-01"')
    assert (await check(zone, issuance=issuance)).warnings == ()
    zone.set(
        "shop.test", "CAA", '0 issue "letsencrypt.org; validationmethods=dns-01; accounturi=https://le.test/acct/2"'
    )
    (narrow,) = (await check(zone, issuance=issuance)).warnings
    wanted = "letsencrypt.org; accounturi=https://le.test/acct/1; validationmethods=http-01"
    assert f'add 0 issue "{wanted}"' in narrow
    zone.rcodes["shop.test"] = dns.rcode.SERVFAIL
    assert "then issues nothing" in (await check(zone, issuance=issuance)).warnings[0]
