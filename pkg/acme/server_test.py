"""What a client of ACME servers promises, against Pebble and BIND that refuse half of all nonces."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import DNSName

from pkg.acme import AcmeFailure, AcmeProblem, AcmeServer
from pkg.acme.server import AccountKey, OrderState
from pkg.certificates.config import Tls
from pkg.certificates.local import new_key_pem
from pkg.certificates.model import ChallengeKind
from pkg.dns_providers.rfc2136.provider import Rfc2136Provider
from pkg.testing.acme import is_installed
from pkg.testing.acme.answers import answering
from pkg.testing.acme.bind import bind
from pkg.testing.acme.pebble import Pebble, pebble

pytestmark = pytest.mark.skipif(not is_installed(), reason="Debian's packages pebble and bind9 are not installed")

POLLS = 100


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Pebble]:
    async with pebble(tmp_path / "pebble") as found:
        yield found


@pytest.fixture
async def server(running: Pebble) -> AsyncIterator[AcmeServer]:
    opened = AcmeServer(running.tls())
    yield opened
    await opened.close()


async def registered(server: AcmeServer) -> AccountKey:
    key = new_key_pem()
    return AccountKey(key, await server.register(AccountKey(key)))


async def settled(server: AcmeServer, account: AccountKey, url: str, *, unlike: str) -> OrderState:
    """The order's state once it is another one."""
    for _ in range(POLLS):
        state = await server.order(account, url)
        if state.status not in {unlike, "processing"}:
            return state
        await asyncio.sleep(0.1)
    raise AssertionError(f"the order stays {state}")


async def test_a_certificate_by_http(running: Pebble, server: AcmeServer) -> None:
    """From the account to the chain, for the key that was asked for; every call may be repeated."""
    account, key = await registered(server), new_key_pem()
    assert await server.register(AccountKey(account.key_pem)) == account.url
    url = await server.new_order(account, key, ["a.example.test"])
    [found] = await server.authorizations(account, url, ChallengeKind.HTTP_01)
    assert (found.hostname, found.status) == ("a.example.test", "pending")
    assert found.challenge is not None
    assert found.challenge.value.startswith(f"{found.challenge.token}.")
    async with answering(running.http_port, {found.challenge.token: found.challenge.value}.get):
        await server.answer(account, found.challenge.url)
        await server.answer(account, found.challenge.url)
        assert (await settled(server, account, url, unlike="pending")).status == "ready"
    await server.finalize(account, url, key, ["a.example.test"])
    assert (await settled(server, account, url, unlike="ready")).status == "valid"
    assert (await server.finalize(account, url, key, ["a.example.test"])).status == "valid"
    leaf = x509.load_pem_x509_certificates((await server.certificate(account, url)).encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(DNSName) == ["a.example.test"]
    assert await server.renewal_window(await server.certificate(account, url)) is None  # this Pebble has none


async def test_an_unanswered_challenge_says_why(running: Pebble, server: AcmeServer) -> None:
    """In the words of the authority, as a failed validation, with the name."""
    account = await registered(server)
    url = await server.new_order(account, new_key_pem(), ["a.example.test"])
    [found] = await server.authorizations(account, url, ChallengeKind.HTTP_01)
    assert found.challenge is not None
    async with answering(running.http_port, lambda token: "wrong"):
        await server.answer(account, found.challenge.url)
        assert (await settled(server, account, url, unlike="pending")).status == "invalid"
    [found] = await server.authorizations(account, url, ChallengeKind.HTTP_01)
    assert found.failure is not None
    assert found.failure.problem is AcmeProblem.VALIDATION
    assert "a.example.test" in found.failure.message
    assert "key authorization" in found.failure.message.lower()


async def test_what_a_server_refuses(running: Pebble, server: AcmeServer) -> None:
    """An account without its binding, a name that no certificate may have, an account that is not there."""
    bare = AcmeServer(Tls(email="a@example.test", directory=running.directory, ca_file=str(running.ca_file)))
    with pytest.raises(AcmeFailure, match="externalAccountRequired") as caught:
        await bare.register(AccountKey(new_key_pem()))
    assert caught.value.problem is AcmeProblem.ACCOUNT
    await bare.close()
    account = await registered(server)
    with pytest.raises(AcmeFailure, match=r"127\.0\.0\.1 says: ") as caught:
        await server.new_order(account, new_key_pem(), ["no_name.example.test"])
    assert caught.value.problem is AcmeProblem.REFUSED
    gone = f"{(await server.new_order(account, new_key_pem(), ['a.example.test'])).rpartition('/')[0]}/gone"
    with pytest.raises(AcmeFailure, match="HTTP 404"):  # an order that expired there: the next attempt makes another
        await server.authorizations(account, gone, ChallengeKind.HTTP_01)
    with pytest.raises(AcmeFailure) as caught:
        await server.new_order(AccountKey(new_key_pem(), account.url), new_key_pem(), ["a.example.test"])
    assert "PRIVATE" not in caught.value.message


async def test_a_server_that_does_not_answer(running: Pebble, tmp_path: Path) -> None:
    """Nobody there, and one whose own certificate is not trusted."""
    for directory, expected in (("https://127.0.0.1:9/dir", "does not answer"), (running.directory, "is not trusted")):
        server = AcmeServer(Tls(email="a@example.test", directory=directory))
        with pytest.raises(AcmeFailure, match=expected) as caught:
            await server.register(AccountKey(new_key_pem()))
        assert caught.value.problem is AcmeProblem.UNREACHABLE
        await server.close()


async def test_a_wildcard_by_dns(tmp_path: Path) -> None:
    """The domain and its wildcard are proven by two records of one name, which go afterwards."""
    names = ["example.test", "*.example.test"]
    async with bind(tmp_path / "bind", "example.test") as named:
        provider = Rfc2136Provider(named.config)
        async with pebble(tmp_path / "pebble", dns_port=named.port) as running:
            server = AcmeServer(running.tls())
            account, key = await registered(server), new_key_pem()
            url = await server.new_order(account, key, names)
            found = await server.authorizations(account, url, ChallengeKind.DNS_01)
            values = {one.challenge.value for one in found if one.challenge is not None}
            for value in (*values, *values):
                await provider.add_txt("_acme-challenge.example.test", value)
            assert await named.txt("_acme-challenge.example.test") == values
            for one in found:
                assert one.challenge is not None
                await server.answer(account, one.challenge.url)
            assert (await settled(server, account, url, unlike="pending")).status == "ready"
            await server.finalize(account, url, key, names)
            assert (await settled(server, account, url, unlike="ready")).status == "valid"
            for value in (*values, *values):
                await provider.remove_txt("_acme-challenge.example.test", value)
            assert await named.txt("_acme-challenge.example.test") == set()
            await server.close()
