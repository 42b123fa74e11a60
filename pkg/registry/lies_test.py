"""A registry that lies, or that someone else has taken over, gets nothing out of its client and breaks nothing."""

import gzip
import json
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from pkg.builders.pushed_image import exposed_ports, platform_of, read_pushed_image
from pkg.builds.failures import BuilderUnavailable
from pkg.images import ImageRef
from pkg.registry.auth import Challenge
from pkg.registry.client import RegistryClient
from pkg.registry.errors import RegistryError, RegistryProblem, of_answer, retry_after_s
from pkg.registry.manifests import INDEX_TYPES, MANIFEST_TYPES, Manifest
from pkg.registry.testing import PUSHER, DockerRegistry
from pkg.registry.testing_front import FaultyFront, faulty_front
from pkg.registry.transport import may_follow

DEEP = b'{"a": ' + b"[" * 200_000
DIGEST = "sha256:" + "a" * 64
PASSWORD = PUSHER.password.reveal()


@pytest.fixture
async def front() -> AsyncIterator[FaultyFront]:
    with DockerRegistry() as registry:
        async with faulty_front(registry.host) as one:
            yield one


@pytest.fixture
async def elsewhere() -> AsyncIterator[FaultyFront]:
    """Another server, which keeps what it is asked."""
    with DockerRegistry() as registry:
        async with faulty_front(registry.host) as one:
            yield one


async def failure_of(front: FaultyFront, answer: web.Response) -> RegistryError:
    """How asking for a manifest fails when everything is answered so."""
    front.fault = lambda method, path: web.Response(
        status=answer.status, body=answer.body, headers={k: v for k, v in answer.headers.items() if k != "Content-Type"}
    )
    async with RegistryClient(front.host, PUSHER) as client:
        with pytest.raises(RegistryError) as caught:
            await client.manifest("apps/a", "latest")
    assert PASSWORD not in str(caught.value.message)
    return caught.value


BASIC = PUSHER.basic().partition(" ")[2]


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(body=DEEP),
        web.Response(body=b"[]"),
        web.Response(body=b"\xff\x00"),
        web.Response(body=gzip.compress(bytes(1 << 30)), headers={"Content-Encoding": "gzip"}),
        web.Response(status=400, body=DEEP),
        web.Response(status=429, headers={"Retry-After": "9" * 6000}),
        web.Response(status=429, headers={"Retry-After": "Mon, 99 Xyz 99999999999 99:99:99 GMT"}),
        web.Response(status=401, headers={"WWW-Authenticate": "a" * 7000}),
        web.Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="http://[::1"'}),
        web.Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="https://"'}),
        web.Response(status=403, body=f"you are x-token {PASSWORD}".encode()),
        web.Response(status=403, body=json.dumps({"errors": [{"message": f"not {BASIC}"}]}).encode()),
        web.Response(status=307, headers={"Location": "http://[::1"}),
        web.Response(status=307, headers={"Location": "file:///etc/passwd"}),
        web.Response(status=307),
    ],
)
async def test_answers_that_make_no_sense(front: FaultyFront, answer: web.Response) -> None:
    """Promise: whatever comes is a problem of the registry, told at once, and its words hold no password of ours."""
    error = await failure_of(front, answer)
    assert error.problem in set(RegistryProblem)
    assert BASIC not in error.message


@pytest.mark.parametrize(
    "realm",
    ["http://evil.example/t", "http://127.0.0.1:1@evil.example/t", "http://localhost@evil.example/t", "ftp://x/t"],
)
async def test_a_token_server_elsewhere(front: FaultyFront, realm: str) -> None:
    """Promise: the account is sent over TLS or to this machine, whatever the registry names as its token server."""
    error = await failure_of(front, web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'}))
    assert error.problem is RegistryProblem.UNEXPECTED
    assert "its token server is" in error.message


@pytest.mark.parametrize(
    "answer",
    [
        {"token": "a b"}, {"token": "a\nX-Evil: 1"}, {"token": 7}, {"token": ["x"]}, {}, {"token": "\u2028"},
    ],
)  # fmt: skip
async def test_tokens_that_are_none(front: FaultyFront, answer: dict[str, object]) -> None:
    """Promise: nothing of a token server gets into a request but what may stand in its header."""

    def fault(method: str, path: str) -> web.Response:
        if path == "/token":
            return web.json_response(answer)
        realm = f'Bearer realm="http://{front.host}/token"'
        return web.json_response({}, status=401, headers={"WWW-Authenticate": realm})

    front.fault = fault
    async with RegistryClient(front.host, PUSHER) as client:
        with pytest.raises(RegistryError, match="sent no token"):
            await client.manifest("apps/a", "latest")


@pytest.mark.parametrize("expires_in", [float("nan"), float("inf"), -1, 0, "x", None, [], 10**400, True])
async def test_lifetimes_that_are_none(front: FaultyFront, expires_in: object) -> None:
    """Promise: a token always has a lifetime of seconds, which a daemon can be told."""
    realm = f'Bearer realm="http://{front.host}/token"'
    front.fault = lambda method, path: (
        web.json_response({"token": "t", "expires_in": expires_in}, dumps=json.dumps)
        if path == "/token"
        else web.json_response({}, status=401, headers={"WWW-Authenticate": realm})
    )
    async with RegistryClient(front.host, PUSHER) as client:
        assert 0 < int((await client.token(["repository:a:pull"])).lifetime_s) <= 24 * 3600


async def test_a_redirect_takes_no_account_along(front: FaultyFront, elsewhere: FaultyFront) -> None:
    """Promise: a blob may be on another server, which does not get the account; a loop ends; a push stays."""
    asked: list[tuple[str, str | None]] = []
    realm = {"WWW-Authenticate": 'Basic realm="x"'}

    def answer(method: str, path: str) -> web.Response:
        location = {"Location": f"http://{elsewhere.host}{path}"}
        return (
            web.Response(status=401, headers=realm)
            if len(front.requests) == 1
            else web.Response(status=307, headers=location)
        )

    front.fault = answer
    elsewhere.fault = lambda method, path: web.Response(status=200, body=b"{}")
    async with RegistryClient(front.host, PUSHER) as client:
        sent = client._http.request

        def request(method: str, url: object, **given: object) -> object:
            headers = given["headers"]
            assert isinstance(headers, dict)
            asked.append((str(url), headers.get("Authorization")))
            return sent(method, url, **given)  # type: ignore[arg-type]

        client._http.request = request  # type: ignore[assignment,method-assign]
        with pytest.raises(RegistryError, match="type"):
            await client.manifest("apps/a", "latest")
        assert any(front.host in url and authorization for url, authorization in asked)
        assert [authorization for url, authorization in asked if elsewhere.host in url] == [None]
        elsewhere.fault = answer
        with pytest.raises(RegistryError, match="redirects"):
            await client.manifest("apps/a", "latest")
        before = len(elsewhere.requests)
        with pytest.raises(RegistryError):
            await client.check_push("apps/a")
        assert len(elsewhere.requests) == before


async def test_redirects_do_not_leave_tls() -> None:
    """Promise: a registry with TLS can't make its client ask a server without, as that of a cloud's metadata."""
    assert may_follow("https://r.example/v2/a", "https://s3.example/b")
    assert not may_follow("https://r.example/v2/a", "http://169.254.169.254/latest")
    assert not may_follow("https://r.example/v2/a", "https://u:p@s3.example/b")
    assert not may_follow("http://127.0.0.1:5000/v2/a", "")


@pytest.mark.parametrize(
    "content",
    [
        {"config": [], "layers": 3, "manifests": "x"},
        {"config": {"digest": "../../x"}, "layers": [1, {"size": "many"}, {"size": -1}, {"size": 1e999}]},
        {"config": None, "layers": None, "manifests": [None, [], {"digest": 5, "annotations": []}]},
    ],
)
async def test_manifests_of_any_shape(front: FaultyFront, content: dict[str, object]) -> None:
    """Promise: what was pushed is told in words, or not found; no part of a manifest is taken for what it is not."""
    for media_type, kind in ((MANIFEST_TYPES[0], INDEX_TYPES), (INDEX_TYPES[0], MANIFEST_TYPES)):
        made = Manifest(DIGEST, media_type, content)
        assert (made.size_bytes, made.config_digest) == (0, "")
        body = json.dumps({**content, "mediaType": media_type}).encode()
        front.fault = lambda method, path, body=body: web.Response(body=body)  # type: ignore[misc]
        async with RegistryClient(front.host) as client:
            with pytest.raises((RegistryError, BuilderUnavailable)):
                await read_pushed_image(client, ImageRef(f"{front.host}/apps/a"), DIGEST)
        assert kind


async def test_names_that_are_none(front: FaultyFront) -> None:
    """Promise: a digest or a tag from a registry is one, before a path is made of it."""
    front.fault = lambda method, path: web.json_response(
        {"tags": ["one", "../two", 3, None, "x" * 200, "a/b"]}, headers={"Docker-Content-Digest": "sha256:../../x"}
    )
    async with RegistryClient(front.host) as client:
        assert await client.tags("apps/a") == ("one",)
        with pytest.raises(RegistryError):
            await client.head("apps/a", "one")


def test_what_an_image_says_of_itself() -> None:
    """Promise: the image behind FROM may be anybody's: what is no port and no platform is left out."""
    ports: dict[str, object] = {
        "80/tcp": {},
        "81": {},
        "82/udp": {},
        "0/tcp": {},
        "65536": {},
        "9" * 5000: {},
        "\u0663/tcp": {},
        "": {},
    }
    assert exposed_ports({"ExposedPorts": ports}) == (80, 81)
    assert exposed_ports({"ExposedPorts": ["80"]}) == ()
    assert platform_of("linux", "amd64") == "linux/amd64"
    assert [platform_of(*one) for one in (("x" * 99, "y"), ("\x1b[2J", "a"), (["a"], 1), ("linux", None))] == [""] * 4


def test_headers_are_read_in_linear_time() -> None:
    """Promise: no header takes long to read."""
    begin = time.process_time()
    for header in ("a" * 200_000, "Bearer " + "a=" * 100_000, "Bearer " + 'a="' * 100_000, " " * 200_000):
        Challenge.parse(header)
        retry_after_s(header)
        of_answer(401, header.encode(), header)
    assert time.process_time() - begin < 5
