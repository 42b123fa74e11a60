"""What the ingress answers by itself comes in the form that the client takes, and carries nothing a client planted."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pkg.desired.route import STOPPED, Route
from pkg.testing.wait import WAIT_S
from svc.krane.ingress.replies import STOPPED_RETRY_AFTER_S
from svc.krane.ingress.testing import running_ingress
from svc.krane.ingress.testing_raw import Message, Raw, ask

shared = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = "typo.sealift.localhost"
BROWSER = b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
HTML, JSON, TEXT = b"text/html; charset=utf-8", b"application/json", b"text/plain; charset=utf-8"


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check_never_stored(answer: Message) -> None:
    assert answer.one("cache-control") == b"no-store"
    assert answer.one("x-content-type-options") == b"nosniff"


@shared
@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, TEXT),
        (b"*/*", TEXT),
        (b"text/plain", TEXT),
        (BROWSER.removeprefix(b"Accept: "), HTML),
        (b"TEXT/HTML", HTML),
        (b"application/json", JSON),
        (b"application/problem+json, */*", JSON),
        (b"application/json, text/html;q=0.1", JSON),
        (b"text/plain, application/json", JSON),
        (b"text/html, application/json", HTML),
        (b"application/jsonl-but-not", JSON),
    ],
)
async def test_the_form_follows_accept(raw: Raw, accept: bytes | None, form: bytes) -> None:
    """A browser gets a page, a program that asks for JSON an object, curl a text; the status is the same."""
    answer = await raw.ask("/", *([b"Accept: " + accept] if accept else []), host=UNKNOWN)
    assert (answer.status, answer.one("content-type")) == (404, form)
    assert answer.one("x-sealift-error") == b"ingress.unknown_host"
    check_never_stored(answer)


@shared
async def test_a_page_stands_alone_and_names_the_request(raw: Raw) -> None:
    """No script, no other resource, the request id as in the header, readable on a phone and in the dark."""
    answer = await raw.ask("/", BROWSER, b"X-Request-Id: of-the-client.1", host=UNKNOWN)
    page = Tags(answer.text)
    assert answer.text.startswith("<!doctype html>")
    assert UNKNOWN in page.text
    assert "Request id: of-the-client.1" in page.text
    assert answer.one("x-request-id") == b"of-the-client.1"
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "link", "iframe", "form", "a"})
    assert not [name for _, attributes in page.tags for name in attributes if name in ("src", "href", "style")]
    assert not re.search(r"url\(|@import", answer.text)
    assert (answer.one("content-security-policy") or b"").startswith(b"default-src 'none'")
    names = {attributes.get("name") for tag, attributes in page.tags if tag == "meta"}
    assert {"viewport", "color-scheme", "robots"} <= names
    assert "prefers-color-scheme:dark" in answer.text
    assert len(answer.body) < 4096


@shared
@pytest.mark.parametrize(
    "planted",
    ["<script>alert(1)</script>", "a&b;'\"", "%3Cscript%3E", "`code`", "{x}%REQ(COOKIE)%", "\x7f", "př"],
)
async def test_what_a_client_planted_is_no_part_of_a_page(raw: Raw, planted: str) -> None:
    """Host, path, request id: whatever is in them, a page has the same tags, and JSON is one object with strings."""
    plain = Tags((await raw.ask("/", BROWSER, host=UNKNOWN)).text).tags
    sent = planted.encode()
    head = b"GET /" + planted.replace(" ", "").encode("unicode_escape") + b" HTTP/1.1\r\nHost: " + sent
    for accept in (BROWSER, b"Accept: application/json"):
        lines = [head, b"X-Request-Id: " + sent, b"Cookie: secret", accept]
        answer = await ask(raw.port, b"\r\n".join(lines) + b"\r\n\r\n")
        assert answer.status in (400, 404)
        assert b"secret" not in answer.body
        if answer.one("content-type") == JSON:
            found = json.loads(answer.text)
            assert all(isinstance(value, str) for value in found.values())
        elif answer.one("content-type") == HTML:
            assert Tags(answer.text).tags in (plain, [one for one in plain if one[0] not in ("footer", "code")])
            assert "alert(1)" not in answer.text
        else:  # Envoy refused the head before it knew of Accept
            assert answer.one("content-type") == TEXT
    for host in (UNKNOWN, Raw.HOST):
        answer = await raw.ask("/", BROWSER, b"X-Request-Id: " + sent, host=f"{host}:{planted}")
        assert "<script>" not in answer.text


@shared
async def test_json_has_code_message_and_request_id(raw: Raw) -> None:
    """A program needs no parsing of texts."""
    answer = await raw.ask("/", b"Accept: application/json", b"X-Request-Id: r-1", host=UNKNOWN)
    found = json.loads(answer.text)
    assert found.keys() == {"code", "message", "request_id"}
    assert (found["code"], found["request_id"]) == ("ingress.unknown_host", "r-1")
    assert f"no app is served at {UNKNOWN}" in found["message"]
    refused = await raw.ask("/", b"Accept: application/json", b"Transfer-Encoding: gzip, chunked", method="POST")
    if refused.one("content-type") == JSON:
        assert json.loads(refused.text)["request_id"] == ""


@shared
async def test_head_has_the_headers_of_the_page_alone(raw: Raw) -> None:
    """As HTTP wants it, also for a page."""
    answer = await raw.ask("/", BROWSER, host=UNKNOWN, method="HEAD")
    assert (answer.status, answer.body, answer.one("content-type")) == (404, b"", HTML)
    check_never_stored(answer)


@shared
async def test_a_grpc_client_gets_a_status_and_words(raw: Raw) -> None:
    """Its library would make nothing of a page: 404 is UNIMPLEMENTED (12), as gRPC maps it."""
    for kind in (b"application/grpc", b"application/grpc+proto"):
        answer = await raw.ask("/pkg.Service/Call", b"Content-Type: " + kind, BROWSER, host=UNKNOWN, method="POST")
        assert (answer.status, answer.one("content-type")) == (200, b"application/grpc")
        assert answer.one("grpc-status") == b"12"
        assert b"no app is served at typo.sealift.localhost" in (answer.one("grpc-message") or b"")
        assert answer.one("x-sealift-error") == b"ingress.unknown_host"
    answer = await raw.ask("/", b"Content-Type: application/grpc-web", host=UNKNOWN, method="POST")
    assert (answer.status, answer.one("content-type")) == (404, TEXT)


async def test_a_stopped_app_says_so(short_dir: Path) -> None:
    """503 with Retry-After: the name stays the app's, and search engines keep its pages."""
    async with running_ingress(short_dir) as up:
        up.ingress.set_routes({UNKNOWN: Route.answering(UNKNOWN, STOPPED)}, 1)
        assert (await up.ingress.wait_version(1, WAIT_S)).version == 1
        for accept, form in ((BROWSER, HTML), (b"Accept: application/json", JSON), (b"Accept: */*", TEXT)):
            request = b"GET /x?y HTTP/1.1\r\nHost: " + UNKNOWN.encode() + b"\r\n" + accept + b"\r\n\r\n"
            answer = await ask(up.port, request)
            assert (answer.status, answer.one("content-type")) == (503, form)
            assert answer.one("x-sealift-error") == b"ingress.stopped"
            assert answer.one("retry-after") == str(STOPPED_RETRY_AFTER_S).encode()
            assert (answer.one("x-request-id") or b"").decode() in answer.text
            assert f"{UNKNOWN} is stopped" in answer.text
            assert not answer.all("x-sealift-deployment")
            check_never_stored(answer)
        lines = ["POST /p.S/M HTTP/1.1", f"Host: {UNKNOWN}", "Content-Type: application/grpc", "Content-Length: 0"]
        answer = await ask(up.port, "\r\n".join([*lines, "", ""]).encode())
        assert (answer.status, answer.one("grpc-status")) == (200, b"14")
