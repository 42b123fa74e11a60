"""Promises of the S3 adapter alone, on a server that verifies signatures."""

import asyncio
import datetime
import hashlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import botocore.auth
import pytest
from yarl import URL

from pkg.config import ConfigError, Secret, Strict, load
from pkg.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from pkg.observability import tracing
from pkg.storage import preparing
from pkg.storage.contract import CONTENT, PATH, content_of, put_url, store_verified
from pkg.storage.factory import AnyStorageConfig
from pkg.storage.s3 import store as store_module
from pkg.storage.s3.config import S3Config
from pkg.storage.s3.store import S3Store
from pkg.storage.s3.testing import S3Front, SwiftServer, fronted
from pkg.storage.testing import put, routes_served
from pkg.testing.certificates import Authority
from pkg.testing.wait import WAIT_S

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@asynccontextmanager
async def opened(config: S3Config, served_at: str = "") -> AsyncIterator[S3Store]:
    """A store, closed at the end; nothing is asked of the server."""
    store = config.open(served_at)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is slow to answer here, and no operator waits for the words about it."""
    monkeypatch.setattr(store_module, "CHECK_READ_TIMEOUT_S", WAIT_S / 2)
    monkeypatch.setattr(store_module, "PREPARE_TIMEOUT_S", WAIT_S)


@pytest.fixture
async def front(s3_server: SwiftServer) -> AsyncIterator[S3Front]:
    async with fronted(s3_server) as proxy:
        yield proxy


@pytest.fixture
async def store(s3_server: SwiftServer) -> AsyncIterator[S3Store]:
    async with opened(s3_server.config()) as made:
        await preparing.prepare(made)
        yield made


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def failure(config: S3Config) -> str:
    """What the operator reads of a store that does not work."""
    async with opened(config) as store:
        with pytest.raises(Unavailable, match=r"object\.unavailable") as caught:
            await store.check()
    return caught.value.message


async def test_the_bucket_is_made_once(s3_server: SwiftServer) -> None:
    """Promise: an absent bucket is made at the start, also by several processes at once; before, its lack is named."""
    config = s3_server.config()
    assert "has no bucket" in await failure(config)
    async with opened(config) as first, opened(config) as second:
        # as processes do it, which wait for a server that says that it is busy
        await asyncio.gather(preparing.prepare(first), preparing.prepare(second), preparing.prepare(first))
        await store_verified(first)
        await second.prepare()
        assert await content_of(second) == CONTENT
        assert [info.path for info in await first.list()] == [PATH]


async def test_a_server_that_comes_later_is_prepared_then(
    s3_server: SwiftServer, front: S3Front, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a process that starts before the server makes the bucket later, and says until then why not."""
    monkeypatch.setattr(preparing, "AGAIN_AFTER_S", 0.01)
    front.is_away = True
    async with opened(s3_server.config(url=front.url, region="auto")) as store:
        waiting = asyncio.create_task(preparing.prepare(store))
        async with asyncio.timeout(WAIT_S):
            while not caplog.messages:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            front.is_away = False
            await waiting
        assert len(caplog.messages) == 1
        assert "the object store does not work" in caplog.messages[0]
        await put(store, PATH, b"abc")


async def test_what_is_misconfigured_is_named_with_its_key(s3_server: SwiftServer) -> None:
    """Promise: each mistake has words that name the key to change, and no secret."""
    config = s3_server.config
    wrong_secret = await failure(config(access_key_secret=Secret("not-this")))
    assert "[objects] access_key_secret" in wrong_secret
    assert "not-this" not in wrong_secret
    # a server that knows no such key says so, or that the signature is wrong
    assert "access_key_id" in await failure(config(access_key_id="nobody:nobody"))
    assert "[objects] url" in await failure(config(url="http://127.0.0.1:9"))
    unknown = await failure(config(url="http://no-such-host.invalid"))
    assert "is unknown: correct [objects] url" in unknown


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "AuthorizationHeaderMalformed", "another region than 'us-east-1': set [objects] region"),
        (403, "InvalidAccessKeyId", "correct [objects] access_key_id"),
        (403, "AccessDenied", "or change [objects] access_key_id"),
        (301, "PermanentRedirect", "set [objects] url and region to those of the bucket"),
        (409, "BucketAlreadyExists", "belongs to another account: choose another [objects] bucket"),
        (418, "Teapot", "answered 418 Teapot: Teapot it is. Is [objects] url that of an S3 server?"),
    ],
)
async def test_what_other_servers_refuse(
    s3_server: SwiftServer, front: S3Front, status: int, code: str, words: str
) -> None:
    """Promise: codes that Swift does not use have their words, too."""
    front.refusal = (status, code)
    assert words in await failure(s3_server.config(url=front.url))


async def test_the_region_is_found_or_named(s3_server: SwiftServer, http: aiohttp.ClientSession) -> None:
    """Promise: with region "auto", URLs are signed for the server's; with another one, the start names the right one.

    boto3 corrects the region in its own requests alone: without a look, only clients would fail, with a signature.
    """
    async with opened(s3_server.config(region="auto")) as store:
        await preparing.prepare(store)
        await put(store, PATH, b"abc")
        async with http.get(URL(store.presign_get(PATH, ttl_s=60), encoded=True)) as response:
            assert response.status == 200
    async with opened(s3_server.config(region="eu-central-1")) as store:
        with pytest.raises(Unavailable, match=r'set \[objects\] region = "us-east-1", or "auto"'):
            await store.prepare()


async def test_clocks_that_differ_are_named(s3_server: SwiftServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a machine whose clock is wrong reads by how much, and not that its key is wrong."""
    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *args, **kw: real(*args, **kw) - datetime.timedelta(hours=2)
    )
    message = await failure(s3_server.config())
    assert "clock" in message
    assert "Synchronize" in message


async def test_a_busy_server_is_tried_three_times(s3_server: SwiftServer, front: S3Front) -> None:
    """Promise: SlowDown is tried again, three times in all, and then told as such; a check asks once."""
    async with opened(s3_server.config(url=front.url)) as store:
        await preparing.prepare(store)
        front.refusal = (503, "SlowDown")
        front.seen.clear()
        with pytest.raises(Unavailable, match="too busy"):
            await store.head(PATH)
        assert len(front.seen) == 3
        front.seen.clear()
        with pytest.raises(Unavailable, match="too busy"):
            await asyncio.gather(*(store.check() for _ in range(20)))
        assert len(front.seen) == 1
        front.refusal = (403, "AccessDenied")
        with pytest.raises(Unavailable, match=r"denies the access key .* to list, read, write"):
            await content_of(store)
        front.refusal = (507, "InsufficientCapacity")
        with pytest.raises(ResourceExhausted, match=r"object\.disk_full"):
            await store_verified(store)
        front.refusal = None
        await store_verified(store)


async def test_a_server_that_says_nothing(s3_server: SwiftServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: neither a check nor the start waits for long on a server that accepts and is silent."""
    monkeypatch.setattr(store_module, "CHECK_READ_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = s3_server.config(url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        assert "did not answer in time" in await failure(config)
        assert time.monotonic() - begun < 25  # half a second; three attempts of the usual length are 90 s


async def test_a_certificate_that_nobody_knows(s3_server: SwiftServer, tmp_path: Path) -> None:
    """Promise: a TLS failure is told as such, with what to set."""
    pair = Authority().issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.write(tmp_path, "s3"))
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with listening:
        message = await failure(s3_server.config(url=f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"))
    assert "TLS with" in message
    assert "AWS_CA_BUNDLE" in message


async def test_no_object_is_sent_in_a_way_that_only_aws_understands(
    s3_server: SwiftServer, front: S3Front, http: aiohttp.ClientSession
) -> None:
    """Promise: every PUT has its length and no checksum in a trailer, which boto3 sends by default since 1.36.

    https://github.com/boto/boto3/issues/4398
    """
    front.is_strict = True
    async with opened(s3_server.config(url=front.url)) as store:
        await store.prepare()
        await put(store, PATH, b"x" * (3 << 20))
        assert (found := await store.head(PATH)) is not None
        assert found.size_bytes == 3 << 20
        signed = store.presign_put("uploads/a/b.tar.gz", size_bytes=3, sha256="0" * 64, ttl_s=60)
        async with http.put(URL(signed.url, encoded=True), data=b"abc") as response:
            assert response.status == 200
    assert any(one.startswith("PUT ") and PATH in one for one in front.seen)


async def test_a_put_url_binds_the_size_and_can_be_used_again(store: S3Store, http: aiohttp.ClientSession) -> None:
    """Promise: what the adapter says of itself: a URL takes other content of that size, as long as it lives."""
    assert not store.capabilities.binds_uploads
    assert not store.capabilities.checks_sha256
    url = put_url(store, b"first")
    assert "content-length" in parse_qs(urlsplit(str(url)).query)["X-Amz-SignedHeaders"][0]
    for content in (b"first", b"other"):
        async with http.put(url, data=content) as response:
            assert response.status == 200
    assert await content_of(store) == b"other"


async def test_old_clients_are_asked_for_no_header(s3_server: SwiftServer, front: S3Front) -> None:
    """Promise: only a client that sends headers gets a URL that needs one; the server then checks the content."""
    front.checks_sha256 = True
    async with opened(s3_server.config(url=front.url)) as store:
        await preparing.prepare(store)
        old = store.presign_put(PATH, size_bytes=3, sha256=SHA256, ttl_s=60)
        assert (old.headers, "checksum" in old.url) == ({}, False)
        new = store.presign_put(PATH, size_bytes=3, sha256=SHA256, ttl_s=60, sends_headers=True)
        assert list(new.headers) == ["x-amz-checksum-sha256"]
        async with aiohttp.ClientSession() as http:
            async with http.put(URL(old.url, encoded=True), data=b"abc") as response:
                assert response.status == 200
            async with http.put(URL(new.url, encoded=True), data=b"abc", headers=new.headers) as response:
                assert response.status == 400
            async with http.put(URL(new.url, encoded=True), data=b"abc") as response:
                assert response.status == 403


async def test_urls_expire(store: S3Store, http: aiohttp.ClientSession) -> None:
    """Promise: the life of a URL is the one that it was signed with."""
    await put(store, PATH, b"abc")
    assert parse_qs(urlsplit(store.presign_get(PATH, ttl_s=77)).query)["X-Amz-Expires"] == ["77"]
    get = store.presign_get(PATH, ttl_s=1)
    async with asyncio.timeout(WAIT_S):
        while True:
            async with http.get(URL(get, encoded=True)) as response:
                if response.status == 403:
                    break
                assert response.status == 200
            await asyncio.sleep(0.2)


async def test_urls_that_leave_the_installation_have_the_external_endpoint(
    s3_server: SwiftServer, front: S3Front, http: aiohttp.ClientSession
) -> None:
    """Promise: uploads use the external URL, which is signed for its own host; what stays inside does not."""
    async with opened(s3_server.config(external_url=front.url)) as store:
        await preparing.prepare(store)
        assert front.seen == []
        await put(store, PATH, b"abc")
        assert front.seen == [f"PUT /{store._config.bucket}/{PATH}"]
        url = store.presign_get(PATH, ttl_s=60)
        assert url.startswith(s3_server.url)
        async with http.get(URL(url, encoded=True)) as response:
            assert (response.status, await response.read()) == (200, b"abc")
        moved = URL(str(put_url(store, b"abc")).replace(front.url, s3_server.url), encoded=True)
        async with http.put(moved, data=b"abc") as response:
            assert response.status == 403


async def test_a_failed_download_is_no_short_object(s3_server: SwiftServer, front: S3Front, tmp_path: Path) -> None:
    """Promise: a server that goes away is told with the next step, and leaves no part of an object."""
    async with opened(s3_server.config(url=front.url)) as store:
        await preparing.prepare(store)
        await store_verified(store)
        front.is_away = True
        with pytest.raises(Unavailable, match=r"closed the connection|nothing answers"):
            await store.fetch(PATH, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
        front.is_away = False
        assert (await store.fetch(PATH, tmp_path / "copy")).size_bytes == len(CONTENT)


@asynccontextmanager
async def relayed(config: S3Config) -> AsyncIterator[S3Store]:
    """A store whose routes are served, as the api does it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with opened(config, f"http://127.0.0.1:{listener.getsockname()[1]}") as store:
            await preparing.prepare(store)
            async with routes_served(store, listener):
                yield store


async def test_contexts_without_an_etag_come_through_the_api(
    s3_server: SwiftServer, http: aiohttp.ClientSession
) -> None:
    """Promise: an old BuildKit sees no ETag, and otherwise what S3 would answer: bytes, date, ranges, refusals."""
    async with relayed(s3_server.config()) as store:
        await store_verified(store)
        async with http.get(URL(store.presign_get(PATH, ttl_s=60), encoded=True)) as response:
            assert "ETag" in response.headers
            modified = response.headers["Last-Modified"]
        url = store.presign_get(PATH, ttl_s=60, with_etag=False)
        async with http.get(URL(url, encoded=True), headers={"If-None-Match": '"x"'}) as response:
            assert (response.status, await response.read()) == (200, CONTENT)
            assert "ETag" not in response.headers
            assert response.headers["Last-Modified"] == modified
        async with http.get(URL(url, encoded=True), headers={"Range": "bytes=10-19"}) as response:
            assert (response.status, await response.read()) == (206, CONTENT[10:20])
            assert response.headers["Content-Range"] == f"bytes 10-19/{len(CONTENT)}"
        async with http.get(URL(url, encoded=True), headers={"Range": "bytes=99999999-"}) as response:
            assert response.status == 416
        for wrong in (url.replace("proj_a", "proj_b"), url.replace("signature=", "signature=0"), url.partition("?")[0]):
            async with http.get(URL(wrong, encoded=True)) as response:
                assert response.status == 403
        await store.delete(PATH)
        async with http.get(URL(url, encoded=True)) as response:
            assert response.status == 404
            assert "object.not_found" in await response.text()


async def test_without_the_api_there_is_no_way_around_etags(store: S3Store) -> None:
    """Promise: a URL whose answer has an ETag is never given to a builder that must not see one."""
    with pytest.raises(FailedPrecondition, match=r"object\.etag_unavoidable.*api_url"):
        store.presign_get(PATH, ttl_s=60, with_etag=False)


async def test_each_request_is_a_span(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a trace shows what was asked of the S3 server, and of which object; no URL, no key."""
    seen: list[tuple[str, dict[str, object]]] = []

    class Recording(tracing.Tracing):
        @contextmanager
        def span(self, name: str, traceparent: str | None = None, **attributes: object) -> Iterator[tracing.Span]:
            seen.append((name, attributes))
            with super().span(name, traceparent, **attributes) as span:
                yield span

    monkeypatch.setattr(tracing, "current", Recording)
    await store_verified(store)
    bucket = store._config.bucket
    assert seen == [
        (f"s3.{operation}", {"bucket": bucket, "object_path": PATH})
        for operation in ("head_object", "put_object", "head_object")
    ]


async def test_an_upload_that_is_not_what_was_announced(store: S3Store) -> None:
    """Promise: verified content never comes from bytes with another hash, also when they are swapped in between."""
    await put(store, "uploads/proj_a/one", b"x" * len(CONTENT))
    source = store.open_read("uploads/proj_a/one")
    with pytest.raises(InvalidArgument, match=r"object\.sha256_mismatch"):
        await store.put(PATH, source, size_bytes=len(CONTENT), sha256=SHA256)
    assert await store.head(PATH) is None


class Config(Strict):
    """A service's."""

    objects: AnyStorageConfig


def problems(tmp_path: Path, text: str) -> list[str]:
    """Of a section."""
    (tmp_path / "c.toml").write_text(f'[objects]\nbackend = "s3"\n{text}')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "c.toml", Config)
    return caught.value.problems


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    """Promise: an operator repairs the section in one go."""
    assert problems(tmp_path, "") == [
        "objects.url: is required (string)",
        "objects.bucket: is required (string)",
        "objects.access_key_id: is required (string)",
        "objects.access_key_secret: is required (secret string)",
    ]
    found = problems(
        tmp_path,
        'url = "s3.example.com"\nexternal_url = "https://u:p4ss@s3.example.com"\nbucket = "A"\naccess_key_id = ""\n'
        'access_key_secret = ""\nupload_url_ttl_s = 5\n',
    )
    assert [line.partition(":")[0] for line in found] == [
        "objects.upload_url_ttl_s", "objects.url", "objects.external_url", "objects.bucket", "objects.access_key_id",
        "objects.access_key_secret",
    ]  # fmt: skip
    assert "p4ss" not in str(found)


def test_an_endpoint_of_aws_without_a_region() -> None:
    """Promise: an endpoint from which AWS redirects uploads, for which no URL is signed, is refused with the right one.

    https://github.com/aws/aws-cli/issues/2424
    """

    def section(url: str, region: str) -> S3Config:
        return S3Config(url=url, region=region, bucket="b01", access_key_id="a", access_key_secret=Secret("s"))

    (wrong,) = section("https://s3.amazonaws.com", "eu-central-1").problems()
    assert 'write "https://s3.eu-central-1.amazonaws.com"' in wrong
    for url, region in (
        ("https://s3.amazonaws.com", "us-east-1"),
        ("https://s3.amazonaws.com", "auto"),
        ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://s3.example.com", "eu-central-1"),
    ):
        assert section(url, region).problems() == []
    assert "eu-west-1" in section("https://s3.amazonaws.com", "auto").region_problem("eu-west-1")


def test_who_is_elsewhere_needs_an_external_url() -> None:
    """Promise: a URL that others can't reach is refused where there are others, naming them."""

    def section(external_url: str = "") -> S3Config:
        return S3Config(
            url="http://127.0.0.1:9000", external_url=external_url, bucket="b01", access_key_id="a",
            access_key_secret=Secret("s"),
        )  # fmt: skip

    who = "builders on other machines fetch from it"
    assert section().problems_in_use(is_api=True) == []
    (missing,) = section().problems_in_use(who_is_elsewhere=who)
    assert missing == f"external_url: is required, as {who}"
    for url in ("http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000", "http://0.0.0.0:9000"):
        (loopback,) = section(url).problems_in_use(who_is_elsewhere=who)
        assert loopback.startswith("external_url: ")
    assert section("https://s3.example.com").problems_in_use(who_is_elsewhere=who) == []
    (no_api,) = section().problems_in_use(needs_no_etag=True)
    assert no_api.startswith("api_url: is required")
