"""A check against a real DNS server: BIND, whose zone is changed while it runs."""

from dataclasses import replace
from pathlib import Path

from pkg.dns_providers.factory import open_provider
from pkg.domains.check import Expectation, check_domain
from pkg.domains.config import Domains
from pkg.domains.names import parse_domain
from pkg.domains.resolver import Resolver
from pkg.domains.rules import InstallationNames, challenge_name
from pkg.testing.acme.bind import bind

TOKEN = "sealift-domain-1"
ZONE_TTL_S = 5


async def test_a_zone_of_bind(tmp_path: Path) -> None:
    """Promise: what BIND says of a missing, a wrong and a right record is understood, with its times to live."""
    name, other = parse_domain("shop.test"), parse_domain("www.shop.test")
    expected = Expectation(name, TOKEN, "hello.sealift.localhost", InstallationNames("sealift.localhost"))
    async with bind(tmp_path / "bind", "shop.test") as server:
        resolver = Resolver(Domains(resolvers=(f"127.0.0.1:{server.port}",)))
        missing = await check_domain(resolver, expected)
        assert (missing.is_owned, missing.is_pointed) == (False, True)
        delay = f"Resolvers may repeat this answer for {ZONE_TTL_S} s."
        assert missing.reason == f"There is no TXT record _sealift-challenge.shop.test. {delay}"
        provider = open_provider(server.config)
        await provider.add_txt(challenge_name(name), "another")
        assert "does not hold the wanted value" in (await check_domain(resolver, expected)).reason
        await provider.add_txt(challenge_name(name), TOKEN)
        right = await check_domain(resolver, expected)
        assert right.is_right, right.reason
        assert right.records[0].found == ("another", TOKEN)
        assert (await check_domain(resolver, replace(expected, name=other))).is_pointed, "the zone's wildcard"
        await provider.add_txt(challenge_name(other), TOKEN)
        hidden = await check_domain(resolver, replace(expected, name=other))
        assert (hidden.is_owned, hidden.is_pointed) == (True, False), "a record below ends the wildcard (RFC 4592)"
        refused = await check_domain(resolver, replace(expected, name=parse_domain("a.b.example")))
        assert (refused.is_owned, refused.is_pointed) == (None, None)
        assert "REFUSED" in refused.reason, "BIND answers for its own zones only"
