"""Challenges, redirects and HSTS at a real Envoy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg.desired.route import Route
from pkg.testing.wait import WAIT_S
from svc.krane.ingress.hosts import HostOptions, redirect, routes_before
from svc.krane.ingress.port import Applied, Challenge
from svc.krane.ingress.testing import TRUSTED, IngressHarness, running_ingress
from svc.krane.ingress.testing_raw import Message, RawApp, RawClient, ask, raw_app
from svc.krane.ingress.testing_tls import connect
from svc.krane.ingress.tls import TlsSpec
from svc.krane.testing.certificates import by_id, certificate
from svc.krane.testing.routes import routes_to

COVERED, PLAIN, UNROUTED = "a.example", "plain.example", "unrouted.example"
PATH = "/.well-known/acme-challenge/"
PROXY = TRUSTED[0].partition("/")[0]
YEAR_S = 31_536_000


@pytest.fixture
async def app() -> AsyncIterator[RawApp]:
    async with raw_app() as it:
        yield it


@pytest.fixture
async def strict(short_dir: Path, app: RawApp) -> AsyncIterator[IngressHarness]:
    """An ingress that redirects and sends HSTS; COVERED has a certificate, PLAIN has none."""
    async with running_ingress(short_dir, redirect=True, hsts_max_age_s=YEAR_S) as it:
        await serve(it, app, 1)
        yield it


async def serve(up: IngressHarness, app: RawApp, version: int, *challenges: Challenge) -> None:
    up.ingress.set_endpoints("dep_a", [app.endpoint()])
    up.ingress.set_certificates(by_id(certificate(COVERED)), version)
    up.ingress.set_challenges({one.token: one for one in challenges}, version)
    up.ingress.set_routes(routes_to(dict.fromkeys((COVERED, PLAIN), "dep_a")), version)
    assert await up.ingress.wait_version(version, WAIT_S) == Applied(version, [])


async def get(
    up: IngressHarness, host: str, path: str = "/", *headers: str, source: str = "127.0.0.3", method: str = "GET"
) -> Message:
    """One request by plain HTTP."""
    head = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *headers))
    return await ask(up.port, f"{head}\r\n\r\n".encode(), source=source, to_head=method == "HEAD")


async def get_tls(up: IngressHarness, host: str, path: str = "/") -> Message:
    """One request by HTTPS."""
    client: RawClient = await connect(up.tls_port, host.partition(":")[0])
    await client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    try:
        return await client.answer()
    finally:
        client.close()


async def test_challenges_are_answered_whatever_is_routed(strict: IngressHarness, app: RawApp) -> None:
    """By plain HTTP without a redirect, until they go; every other path stays as it was."""
    hosts = (COVERED, PLAIN, UNROUTED)
    challenges = [Challenge(f"token-{n}_x", host, f"token-{n}_x.thumb") for n, host in enumerate(hosts)]
    await serve(strict, app, 2, *challenges)
    for n, host in enumerate(hosts):
        for spelt in (host, f"{host}.", f"{host}:80", host.upper()):  # authorities differ in what they write
            answer = await get(strict, spelt, f"{PATH}token-{n}_x")
            assert (answer.status, answer.text) == (200, f"token-{n}_x.thumb")
    by_tls = await get_tls(strict, COVERED, f"{PATH}token-0_x")
    assert by_tls.text == "token-0_x.thumb", "a proxy in front may lead the authority to HTTPS"
    assert app.requests == []
    assert (await get(strict, UNROUTED)).status == 404
    assert (await get(strict, UNROUTED, f"{PATH}token-0_x")).status == 404, "it is another hostname's"
    assert (await get(strict, PLAIN)).status == 200
    await serve(strict, app, 3)
    assert (await get(strict, UNROUTED, f"{PATH}token-2_x")).status == 404
    assert (await get(strict, COVERED, f"{PATH}token-0_x")).text == "ok", "what krane does not know is the app's"
    assert app.last.start == f"GET {PATH}token-0_x HTTP/1.1".encode()


async def test_challenges_are_applied_with_their_version(strict: IngressHarness, app: RawApp) -> None:
    """The authority may be told as soon as the version counts as applied, each time."""
    for version in range(2, 22):
        token = f"t{version}"
        await serve(strict, app, version, Challenge(token, UNROUTED, f"{token}.thumb"))
        assert (await get(strict, UNROUTED, PATH + token)).text == f"{token}.thumb"


async def test_a_challenge_that_is_none_is_told_and_holds_back_nothing(strict: IngressHarness, app: RawApp) -> None:
    """Nothing of it reaches Envoy's tables."""
    strict.ingress.set_challenges(
        {
            "a/../b": Challenge("a/../b", PLAIN, "x"),
            "t1": Challenge("t1", PLAIN, "%REQ(X)%"),
            "t2": Challenge("t2", "*", "t2.x"),
            "t3": Challenge("t3", PLAIN, "t3.x"),
        },
        2,
    )
    strict.ingress.set_routes(routes_to({PLAIN: "dep_a"}), 2)
    applied = await strict.ingress.wait_version(2, WAIT_S)
    assert (applied.version, [nack.hostname for nack in applied.nacks]) == (2, [""])
    for part in (f"{PLAIN}: the token", f"{PLAIN}: the answer", "*: the label"):
        assert part in applied.nacks[0].message
    assert (await get(strict, PLAIN, f"{PATH}t3")).text == "t3.x"
    assert (await get(strict, PLAIN, f"{PATH}t1")).text == "ok"


async def test_plain_http_leads_to_https_where_there_is_a_certificate(strict: IngressHarness, app: RawApp) -> None:
    """With 308, so that methods and bodies stay; the path, the query and the port are those of HTTPS."""
    for host in (COVERED, f"{COVERED}:80", f"{COVERED}:7480", COVERED.upper()):
        answer = await get(strict, host, "/a%2Fb?c=d&e=/")
        name = host.partition(":")[0]
        assert (answer.status, answer.one("location")) == (
            308,
            f"https://{name}:{strict.tls_port}/a%2Fb?c=d&e=/".encode(),
        )
    assert (await get(strict, COVERED, method="POST", source=PROXY)).status == 308
    assert app.requests == []
    assert (await get(strict, PLAIN)).status == 200
    assert (await get_tls(strict, COVERED)).status == 200
    assert app.last.one("x-forwarded-proto") == b"https"
    claim = "X-Forwarded-Proto: https"
    assert (await get(strict, COVERED, "/", claim)).status == 308, "nobody is believed"
    assert (await get(strict, COVERED, "/", claim, source=PROXY)).status == 200, "a proxy in front did TLS"
    for plain in ("X-Forwarded-Proto: HTTP", "X-Forwarded-Proto:"):
        assert (await get(strict, COVERED, "/", plain, source=PROXY)).status == 308


async def test_a_certificate_that_comes_or_goes_takes_the_redirect_along(strict: IngressHarness, app: RawApp) -> None:
    """No hostname leads to an HTTPS that is not there."""
    strict.ingress.set_certificates(by_id(certificate(PLAIN)), 2)
    strict.ingress.set_routes(routes_to(dict.fromkeys((COVERED, PLAIN), "dep_a")), 2)
    assert await strict.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    assert (await get(strict, PLAIN)).status == 308
    assert (await get(strict, COVERED)).status == 200


async def test_names_below_a_wildcard_lead_to_https_if_its_certificate_is_for_them(
    strict: IngressHarness, app: RawApp
) -> None:
    """One label below; deeper names are served as they were. A challenge of one takes nothing from it."""
    strict.ingress.set_certificates(by_id(certificate("*.wild.example")), 2)
    strict.ingress.set_challenges({"t": Challenge("t", "d.c.wild.example", "t.x")}, 2)
    strict.ingress.set_routes(routes_to({"*.wild.example": "dep_a"}), 2)
    assert await strict.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    answer = await get(strict, "one.wild.example:7480", "/x")
    assert (answer.status, answer.one("location")) == (
        308,
        f"https://one.wild.example:{strict.tls_port}/x".encode(),
    )
    assert (await get(strict, "two.one.wild.example")).status == 200
    assert (await get_tls(strict, "one.wild.example")).status == 200
    assert (await get(strict, "d.c.wild.example", f"{PATH}t")).text == "t.x"
    assert (await get(strict, "d.c.wild.example")).status == 200


async def test_hsts_is_sent_by_https_only(strict: IngressHarness, app: RawApp) -> None:
    """What an app says of it itself stands."""
    assert (await get_tls(strict, COVERED)).all("strict-transport-security") == [f"max-age={YEAR_S}".encode()]
    assert (await get(strict, PLAIN)).all("strict-transport-security") == []
    own = b"max-age=5; includeSubDomains"
    app.on("/own", b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: " + own + b"\r\nContent-Length: 0\r\n\r\n")
    assert (await get_tls(strict, COVERED, "/own")).all("strict-transport-security") == [own]


async def test_hsts_is_in_replies_of_the_ingress(strict: IngressHarness, app: RawApp) -> None:
    """An app that answers nonsense, and a name with a certificate and no route: once, and by HTTPS only."""
    app.on("/nonsense", b"nonsense\r\n\r\n")
    replies = [await get_tls(strict, COVERED, "/nonsense")]
    strict.ingress.set_routes(routes_to({PLAIN: "dep_a"}), 2)
    assert await strict.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    replies.append(await get_tls(strict, COVERED))
    assert [one.status for one in replies] == [502, 404]
    for reply in replies:
        assert reply.all("strict-transport-security") == [f"max-age={YEAR_S}".encode()]
    assert (await get(strict, UNROUTED)).all("strict-transport-security") == []


async def test_neither_by_default(up: IngressHarness, app: RawApp) -> None:
    """A certificate alone changes nothing of plain HTTP."""
    await serve(up, app, 1)
    assert (await get(up, COVERED)).status == 200
    assert (await get_tls(up, COVERED)).all("strict-transport-security") == []


async def test_errors_are_told_by_https_as_by_http(up: IngressHarness, app: RawApp) -> None:
    """An app without a healthy instance, and a name below a wildcard that has none."""
    up.ingress.set_certificates(by_id(certificate("*.example")), 1)
    up.ingress.set_endpoints("dep_a", [])
    up.ingress.set_routes({COVERED: Route.to(COVERED, "dep_a")}, 1)
    assert (await up.ingress.wait_version(1, WAIT_S)).version == 1
    answer = await get_tls(up, COVERED)
    assert (answer.status, "has no healthy instance" in answer.text) == (503, True)
    assert (await get_tls(up, "nobody.example")).status == 404


def test_the_usual_port_is_not_written() -> None:
    """Redirects to 443 name no port."""
    (route,) = routes_before(COVERED, HostOptions(is_redirected=True), TlsSpec("0.0.0.0", 7443, 443, redirect=True))
    assert route["redirect"] == {
        "scheme_redirect": "https", "response_code": "PERMANENT_REDIRECT", "host_redirect": COVERED,
    }  # fmt: skip
    assert redirect(COVERED, TlsSpec("0.0.0.0", 7443, 7443))["port_redirect"] == 7443
    assert "host_redirect" not in redirect("*.example", TlsSpec("0.0.0.0", 7443, 443))
