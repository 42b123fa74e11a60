"""Promise: what an authority refuses is told in its own words, and its Retry-After is kept, over real HTTP."""

import datetime
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from hypothesis import given
from hypothesis import strategies as st

from pkg.acme import AcmeFailure, AcmeProblem, AcmeServer
from pkg.acme.failure import MAX_TEXT_CHARS, of_document
from pkg.acme.network import MAX_ANSWER_BYTES, MAX_REDIRECTS, NONCE_TRIES, retry_after
from pkg.acme.server import AccountKey
from pkg.certificates.config import Tls
from pkg.certificates.local import new_key_pem
from pkg.certificates.model import ChallengeKind

# As Let's Encrypt sends it.
RATE_LIMITED = {
    "type": "urn:ietf:params:acme:error:rateLimited",
    "detail": "too many new orders recently: see https://letsencrypt.org/docs/rate-limits/",
    "status": 429,
}
CAA = {
    "type": "urn:ietf:params:acme:error:caa",
    "detail": "CAA record for example.com prevents issuance",
    "status": 403,
    "subproblems": [
        {
            "type": "urn:ietf:params:acme:error:caa",
            "detail": "CAA record for www.example.com prevents issuance",
            "identifier": {"type": "dns", "value": "www.example.com"},
        }
    ],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@asynccontextmanager
async def server(status: int, body: str, **headers: str) -> AsyncIterator[AcmeServer]:
    """An authority that answers every signed request so; HERE in the body stands for its host and port."""
    sent = {"Content-Type": "application/problem+json", **headers}

    async def directory(request: web.Request) -> web.Response:
        base = f"http://{request.host}"
        names = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
        return web.json_response({name: f"{base}/{name}" for name in names})

    async def nonce(request: web.Request) -> web.Response:
        return web.Response(headers={"Replay-Nonce": "oFvnlFP1wIhRlYS2jTaXbA"})

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body.replace("HERE", request.host), headers=sent)

    app = web.Application()
    app.router.add_get("/dir", directory)
    app.router.add_route("HEAD", "/newNonce", nonce)
    app.router.add_post("/{path:.*}", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/dir"
    opened = AcmeServer(Tls(email="a@example.test", directory=url))
    try:
        yield opened
    finally:
        await opened.close()
        await runner.cleanup()


async def failure_of(opened: AcmeServer) -> AcmeFailure:
    """What a new order comes to."""
    with pytest.raises(AcmeFailure) as caught:
        await opened.new_order(AccountKey(new_key_pem(), "http://127.0.0.1/1"), new_key_pem(), ["a.example.test"])
    return caught.value


async def test_a_rate_limit() -> None:
    """HTTP 429: nothing is ordered before the time that it names."""
    async with server(429, json.dumps(RATE_LIMITED), **{"Retry-After": "3600"}) as opened:
        failure = await failure_of(opened)
    assert (failure.problem, failure.retry_after_ms) == (AcmeProblem.RATE_LIMITED, 3_600_000)
    assert "too many new orders recently" in failure.message


async def test_a_caa_record_that_forbids() -> None:
    """With the subproblem of the name that it is about."""
    async with server(403, json.dumps(CAA)) as opened:
        failure = await failure_of(opened)
    assert failure.problem is AcmeProblem.VALIDATION
    assert "www.example.com: CAA record for www.example.com prevents issuance" in failure.message


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (503, "<html>maintenance</html>", AcmeProblem.UNREACHABLE),
        (429, "slow down", AcmeProblem.RATE_LIMITED),
        (500, "[]", AcmeProblem.UNREACHABLE),
        (200, "[]", AcmeProblem.UNREACHABLE),
        (200, "{}", AcmeProblem.UNREACHABLE),
        (201, "what", AcmeProblem.UNREACHABLE),
        (201, "[" * 100_000, AcmeProblem.UNREACHABLE),
        (400, "[" * 100_000, AcmeProblem.UNREACHABLE),
    ],
)
async def test_answers_that_are_no_acme(status: int, body: str, problem: AcmeProblem) -> None:
    """A proxy in between, maintenance, another program at the address."""
    async with server(status, body) as opened:
        assert (await failure_of(opened)).problem is problem


@pytest.mark.parametrize(
    ("count", "token", "is_good"),
    [(1, "a" * 128, True), (1, "a" * 132, False), (1, "../x", False), (1, "", False), (101, "a" * 128, False)],
)
async def test_an_order_that_asks_for_too_much(count: int, token: str, is_good: bool) -> None:
    """No endless list is read, and no token is taken that could not be stored and served."""
    challenge = {"type": "http-01", "url": "http://127.0.0.1/c", "status": "pending", "token": token}
    both = {"status": "pending", "identifier": {"type": "dns", "value": "a.example.test"}}
    body = json.dumps(both | {"authorizations": ["http://HERE/one"] * count, "challenges": [challenge]})
    async with server(200, body, **{"Replay-Nonce": "oFvnlFP1wIhRlYS2jTaXbA"}) as opened:
        url = opened.directory.replace("/dir", "/order")
        account = AccountKey(new_key_pem(), "http://127.0.0.1/1")
        if is_good:
            [found] = await opened.authorizations(account, url, ChallengeKind.HTTP_01)
            assert found.challenge is not None
            assert found.challenge.token == token
        else:
            with pytest.raises(AcmeFailure) as caught:
                await opened.authorizations(account, url, ChallengeKind.HTTP_01)
            assert caught.value.problem is AcmeProblem.UNREACHABLE


async def test_nonces_that_are_always_refused_are_given_up() -> None:
    """After a bound, and not as an endless loop."""
    bad = {"type": "urn:ietf:params:acme:error:badNonce", "detail": "no", "status": 400}
    async with server(400, json.dumps(bad)) as opened:
        failure = await failure_of(opened)
    assert failure.problem is AcmeProblem.UNREACHABLE
    assert f"{NONCE_TRIES} nonces" in failure.message


@given(JSON, st.booleans())
def test_no_document_breaks_it(document: Any, in_validation: bool) -> None:
    """Whatever an authority sends: a bounded text that a terminal can show."""
    failure = of_document(document, "ca.example", in_validation=in_validation)
    assert len(failure.message) <= MAX_TEXT_CHARS
    assert failure.message.isprintable()


@given(st.text(max_size=40))
def test_no_header_breaks_it(header: str) -> None:
    """What is no time counts as none."""
    assert retry_after(header) >= 0


def test_both_forms_of_the_header() -> None:
    """Seconds, and a date."""
    assert retry_after("120") == 120_000
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    assert 3_590_000 < retry_after(format_datetime(at, usegmt=True)) <= 3_600_000
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@asynccontextmanager
async def answering(handle: Handler) -> AsyncIterator[tuple[AcmeServer, str]]:
    """A server whose every answer is `handle`'s, and its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    opened = AcmeServer(Tls(email="a@example.test", directory=f"{origin}/dir"))
    try:
        yield opened, origin
    finally:
        await opened.close()
        await runner.cleanup()


@pytest.mark.parametrize("encoding", ["identity", "chunked", "gzip"])
async def test_an_answer_without_an_end_is_cut(encoding: str) -> None:
    """Neither a long one, nor one that becomes long when it is decompressed, fills the memory."""
    sent = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        if encoding == "gzip":
            body = gzip.compress(bytes(64 * MAX_ANSWER_BYTES))
            return web.Response(body=body, headers={"Content-Encoding": "gzip"})
        response = web.StreamResponse()
        if encoding == "identity":
            response.content_length = 1 << 40
        await response.prepare(request)
        while sent < 1 << 30:
            await response.write(bytes(1 << 16))
            sent += 1 << 16
        return response

    async with answering(handle) as (opened, _):
        assert "more than 1 MiB" in (await failure_of(opened)).message
    assert sent < 64 * MAX_ANSWER_BYTES  # what the sockets between them hold


@pytest.mark.parametrize("target", ["http://127.0.0.2:PORT/dir", "https://127.0.0.1:PORT/dir", "/dir"])
async def test_a_redirect_leads_nowhere_else(target: str) -> None:
    """Another host or scheme is not asked, and a circle ends."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.host)
        return web.Response(status=302, headers={"Location": target.replace("PORT", request.host.partition(":")[2])})

    async with answering(handle) as (opened, origin):
        failure = await failure_of(opened)
    assert failure.problem is AcmeProblem.UNREACHABLE
    assert "is not followed" in failure.message
    assert set(asked) == {origin.removeprefix("http://")}
    assert len(asked) <= MAX_REDIRECTS


async def test_a_redirect_to_the_same_server_is_followed() -> None:
    """Of what is only read. A signed request is valid at its own URL alone."""
    posted: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        if request.method == "POST":
            posted.append(request.path)
            return web.Response(status=307, headers={"Location": "/elsewhere"})
        if request.path == "/dir":
            return web.Response(status=301, headers={"Location": "/directory/"})
        headers = {"Replay-Nonce": "oFvnlFP1wIhRlYS2jTaXbA"}
        return web.json_response({"newOrder": "/o", "newNonce": f"http://{request.host}/n"}, headers=headers)

    async with answering(handle) as (opened, origin):
        with pytest.raises(AcmeFailure, match="is not followed"):
            await opened.order(AccountKey(new_key_pem(), f"{origin}/1"), f"{origin}/order")
    assert posted == ["/order"]
