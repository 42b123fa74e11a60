"""The client on a real docker-registry in every variant, and on a front that fails as registries do."""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from pkg.config import Secret
from pkg.images import ImageRef
from pkg.registry.auth import Challenge, Credentials
from pkg.registry.client import RegistryClient, repository_of
from pkg.registry.errors import RegistryError, RegistryProblem
from pkg.registry.manifests import INDEX_TYPES, MANIFEST_TYPES
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry, Login, put_image, put_manifest
from pkg.registry.testing_front import FaultyFront, faulty_front, refusal
from pkg.registry.testing_token import SERVICE
from pkg.registry.transport import is_loopback
from pkg.testing.certificates import Authority

LOGINS: tuple[Login, ...] = ("", "basic", "token")
VARIANTS = [(login, tls) for login in LOGINS for tls in (False, True)]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda one: f"{one[0] or 'open'}{'-tls' if one[1] else ''}")
def registry(request: pytest.FixtureRequest) -> Iterator[DockerRegistry]:
    """One of each kind."""
    login, tls = request.param
    with DockerRegistry(login=login, tls=tls) as one:
        yield one


@pytest.fixture(scope="module")
def open_registry() -> Iterator[DockerRegistry]:
    with DockerRegistry() as one:
        yield one


@pytest.fixture(scope="module")
def token_registry() -> Iterator[DockerRegistry]:
    with DockerRegistry(login="token") as one:
        yield one


@pytest.fixture
async def front(open_registry: DockerRegistry) -> AsyncIterator[FaultyFront]:
    async with faulty_front(open_registry.host) as one:
        yield one


async def problem_of(client: RegistryClient, repository: str = "apps/a") -> RegistryError:
    """How asking for a manifest fails."""
    async with client:
        with pytest.raises(RegistryError) as caught:
            await client.manifest(repository, "latest")
    return caught.value


async def test_images_are_read_and_deleted(registry: DockerRegistry) -> None:
    """Promise: with whatever login and with TLS, an image is found by tag and digest, read, and deleted by digest."""
    async with registry.client() as client:
        image = await put_image(client, "apps/a", "one")
        assert await client.head("apps/a", "one") == await client.head("apps/a", image.digest) == image.digest
        manifest = await client.manifest("apps/a", "one")
        assert manifest is not None
        assert (manifest.digest, manifest.is_index, manifest.size_bytes) == (image.digest, False, len(image.layer))
        config = await client.config("apps/a", manifest.config_digest)
        assert config is not None
        assert config["config"]["ExposedPorts"] == {"8080/tcp": {}}
        assert await client.tags("apps/a") == ("one",)
        assert await client.delete("apps/a", image.digest)
        assert await client.head("apps/a", "one") is None
        assert not await client.delete("apps/a", image.digest)
        await client.check_push("apps/other")


async def test_what_is_not_there_is_no_error(open_registry: DockerRegistry) -> None:
    """Promise: an unknown repository, tag, digest or blob is told from a registry that fails."""
    nothing = "sha256:" + "0" * 64
    async with open_registry.client() as client:
        await put_image(client, "apps/known", "one")
        for repository in ("apps/known", "apps/never"):
            assert await client.head(repository, "two") is None
            assert await client.manifest(repository, nothing) is None
            assert await client.config(repository, nothing) is None
        assert await client.tags("apps/never") == ()


async def test_an_index_lists_its_images(open_registry: DockerRegistry) -> None:
    """Promise: an index, of OCI or of Docker, is told from an image, and names its images."""
    async with open_registry.client() as client:
        image = await put_image(client, "apps/many", "one")
        for media_type in INDEX_TYPES:
            child = {"mediaType": MANIFEST_TYPES[1], "digest": image.digest, "size": 1}
            child["platform"] = {"os": "linux", "architecture": "amd64"}
            index = {"schemaVersion": 2, "mediaType": media_type, "manifests": [child]}
            digest = await put_manifest(client, "apps/many", "all", index)
            found = await client.manifest("apps/many", "all")
            assert found is not None
            assert (found.digest, found.is_index, found.config_digest) == (digest, True, "")
            assert [one["digest"] for one in found.children] == [image.digest]


async def test_tags_of_many_pages(open_registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: tags are complete when the registry sends them in pages."""
    monkeypatch.setattr("pkg.registry.client.TAGS_A_PAGE", 2)
    tags = ("t1", "t2", "t3", "t4", "t5")
    async with open_registry.client() as client:
        for tag in tags:
            await put_image(client, "apps/tagged", tag)
        assert sorted(await client.tags("apps/tagged")) == list(tags)


@pytest.mark.parametrize("login", ["basic", "token"])
async def test_a_wrong_password_is_not_a_missing_right(login: Login) -> None:
    """Promise: 401 names the setting to check, for a wrong password and for none; the password is not in the text."""
    with DockerRegistry(login=login) as registry:
        wrong = Credentials("x-token", Secret("not-the-password"))
        for credentials in (wrong, None):
            error = await problem_of(RegistryClient(registry.host, credentials))
            is_anonymous_token = login == "token" and credentials is None
            assert error.code == ("registry.denied" if is_anonymous_token else "registry.unauthorized")
            assert "[registry]" in error.message
            assert "not-the-password" not in error.message + repr(credentials)


async def test_an_account_that_may_only_pull(token_registry: DockerRegistry) -> None:
    """Promise: a known account without the right to push is told so, and can pull."""
    async with token_registry.client(PUSHER) as client:
        await put_image(client, "apps/a", "one")
    async with token_registry.client(PULLER) as client:
        assert await client.head("apps/a", "one")
        with pytest.raises(RegistryError, match=r"registry\.denied.*right to push") as caught:
            await client.check_push("apps/a")
        assert not caught.value.problem.is_temporary


async def test_a_registry_that_does_not_delete() -> None:
    """Promise: a registry with deletion turned off says so."""
    with DockerRegistry(deletes=False) as registry:
        async with registry.client() as client:
            image = await put_image(client, "apps/a", "one")
            with pytest.raises(RegistryError, match=r"registry\.delete_off"):
                await client.delete("apps/a", image.digest)


async def test_connections_that_fail() -> None:
    """Promise: an unknown authority, a name that does not exist, and nobody there each have their own code."""
    with DockerRegistry(tls=True) as registry:
        error = await problem_of(RegistryClient(registry.host))
        assert (error.problem, error.problem.is_temporary) == (RegistryProblem.UNTRUSTED, False)
        assert f"/etc/docker/certs.d/{registry.host}/ca.crt" in error.message
        host = registry.host
    assert (await problem_of(RegistryClient(host))).problem is RegistryProblem.UNREACHABLE
    unresolved = await problem_of(RegistryClient("registry.invalid"))
    assert (unresolved.problem, unresolved.problem.is_temporary) == (RegistryProblem.UNRESOLVED, True)


async def test_an_authority_of_its_own(tmp_path: Path) -> None:
    """Promise: a registry with a certificate of its own authority is asked once that is named; a wrong file is, too."""
    with DockerRegistry(login="token", tls=True) as registry:
        config = registry.config()
        async with RegistryClient(registry.host, PUSHER, ca_file=config.ca_file) as client:
            await client.check_push("apps/a")
        for ca_file in (tmp_path / "absent.pem", tmp_path / "empty.pem"):
            (tmp_path / "empty.pem").write_text("nothing\n")
            error = await problem_of(RegistryClient(registry.host, ca_file=ca_file))
            assert error.problem is RegistryProblem.UNTRUSTED
            assert f"{ca_file} can't be read as certificates" in error.message


async def test_a_proxy_that_ends_tls_and_does_not_say_so(open_registry: DockerRegistry, tmp_path: Path) -> None:
    """Promise: a registry that sends pushes to addresses without TLS is told of with the cure, and gets no password so.

    https://github.com/distribution/distribution/issues/996
    """
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.load_cert_chain(*authority.issue("127.0.0.1").write(tmp_path, "front"))
    async with (
        faulty_front(open_registry.host, certificate) as front,
        RegistryClient(front.host, PUSHER, ca_file=tmp_path / "ca.pem") as client,
    ):
        with pytest.raises(RegistryError, match=r"registry\.other_scheme.*X-Forwarded-Proto"):
            await client.check_push("apps/a")
        assert [method for method, path in front.requests if "uploads" in path] == ["POST"]
        link = {"Link": f'<http://{front.host}/v2/apps/a/tags/list>; rel="next"'}
        front.fault = lambda method, path: web.json_response({"tags": ["one"]}, headers=link)
        with pytest.raises(RegistryError, match=r"registry\.other_scheme"):
            await client.tags("apps/a")


async def test_a_known_account_without_rights(token_registry: DockerRegistry) -> None:
    """Promise: 401 after the token server has accepted the account means missing rights, not a wrong password.

    https://github.com/goharbor/harbor/issues/966
    """
    async with faulty_front(token_registry.host) as front:
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        realm = f'Bearer realm="{token_registry.realm}",service="{SERVICE}"'

        def refuse(challenge: str) -> Callable[[str, str], web.Response | None]:
            return lambda method, path: web.json_response(body, status=401, headers={"WWW-Authenticate": challenge})

        for credentials, challenge, expected in (
            (PUSHER, realm, RegistryProblem.DENIED),
            (None, realm, RegistryProblem.UNAUTHORIZED),
            (PUSHER, f'{realm},error="invalid_token"', RegistryProblem.UNEXPECTED),
            (Credentials("x-token", Secret("wrong")), realm, RegistryProblem.UNAUTHORIZED),
        ):
            front.fault = refuse(challenge)
            assert (await problem_of(RegistryClient(front.host, credentials))).problem is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",service="s",scope="r:x:pull,push"', Challenge("bearer", "https://a/t", "s")),
        ('Bearer realm="https://a/t",service="s", Basic realm="b"', Challenge("bearer", "https://a/t", "s")),
        ('Negotiate, Bearer realm="https://a/t",error="insufficient_scope"',
         Challenge("bearer", "https://a/t", error="insufficient_scope")),
        ('NTLM TlRMTVNTUAAC==, BASIC realm="b"', Challenge("basic", "b")),
        ("Negotiate", Challenge("negotiate")),
        ("", Challenge("")),
    ],
)  # fmt: skip
def test_what_a_challenge_asks_for(header: str, expected: Challenge) -> None:
    """Promise: of several challenges the one that is known is read, with its own parameters.

    https://github.com/google/go-containerregistry/pull/1075, https://github.com/prowler-cloud/prowler/pull/12691
    """
    assert Challenge.parse(header) == expected


async def test_several_headers_with_challenges(token_registry: DockerRegistry) -> None:
    """Promise: a registry behind a proxy that offers another scheme first is asked for a token all the same."""
    async with faulty_front(token_registry.host) as front:
        realm = f'Bearer realm="{token_registry.realm}",service="{SERVICE}"'
        asked: list[str] = []

        def offer(method: str, path: str) -> web.Response | None:
            asked.append(path)
            if len(asked) > 1:
                return None
            answer = web.Response(status=401, headers={"WWW-Authenticate": "Negotiate"})
            answer.headers.add("WWW-Authenticate", realm)
            return answer

        front.fault = offer
        async with RegistryClient(front.host, PUSHER) as client:
            await client.check_push("apps/a")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("[::1]", True),
        ("[::1]:5000", True),
        ("127.0.0.1", True),
        ("127.1.2.3:5000", True),
        ("localhost", True),
        ("[2001:db8::1]", False),
        ("registry.example.com:5000", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_what_is_on_loopback(host: str, expected: bool) -> None:
    """Promise: a registry is known to be on this machine however its host is written."""
    assert is_loopback(host) is expected


async def test_http_is_for_loopback_alone(open_registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a registry without TLS elsewhere than on loopback gets no request, and a message that says why."""
    monkeypatch.setattr("pkg.registry.client.is_loopback", lambda host: False)
    error = await problem_of(RegistryClient(open_registry.host))
    assert error.problem is RegistryProblem.PLAIN_HTTP
    assert "loopback only" in error.message


@pytest.mark.parametrize(
    ("status", "code", "expected", "is_temporary"),
    [
        (403, "DENIED", "denied", False),
        (404, "NAME_UNKNOWN", "no_repository", False),
        (413, "", "too_large", False),
        (429, "TOOMANYREQUESTS", "rate_limited", True),
        (500, "UNKNOWN", "unavailable", True),
        (503, "UNAVAILABLE", "unavailable", True),
        (507, "", "full", True),
        (418, "", "unexpected", False),
    ],
)
async def test_each_status_has_its_code(
    front: FaultyFront, status: int, code: str, expected: str, is_temporary: bool
) -> None:
    """Promise: what a registry answers becomes one code each, with the registry's own words."""
    front.fault = lambda method, path: refusal(status, code, "because of this") if "uploads" in path else None
    async with RegistryClient(front.host) as client:
        with pytest.raises(RegistryError, match="because of this") as caught:
            await client.check_push("apps/a")
    assert (caught.value.code, caught.value.problem.is_temporary) == (f"registry.{expected}", is_temporary)


async def test_the_check_of_a_push_leaves_nothing(front: FaultyFront) -> None:
    """Promise: an upload is begun and ended; the repository has neither a tag nor an upload afterwards."""
    async with RegistryClient(front.host) as client:
        await client.check_push("apps/never")
        assert [method for method, path in front.requests if "uploads" in path] == ["POST", "DELETE"]
        assert await client.tags("apps/never") == ()
        uploads = [path for method, path in front.requests if method == "DELETE"]
        answer = await client.request("GET", uploads[0], repository="apps/never", allowed=(204, 404))
        assert answer.status == 404


async def test_the_time_to_wait_is_known(front: FaultyFront) -> None:
    """Promise: Retry-After comes out as seconds, also in the words."""
    front.fault = lambda method, path: refusal(429, "TOOMANYREQUESTS", "slow down", Retry_After="17")
    error = await problem_of(RegistryClient(front.host))
    assert (error.retry_after_s, "for 17 s more" in error.message) == (17, True)


async def test_answers_are_bounded(front: FaultyFront, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: neither a long answer, nor one that never ends, nor no JSON takes memory or time without limit."""
    async with RegistryClient(front.host) as client:
        front.fault = lambda method, path: web.Response(body=b"x" * (5 << 20))
        with pytest.raises(RegistryError, match=r"registry\.unexpected.*above 4194304 bytes"):
            await client.manifest("apps/a", "one")
        front.fault = lambda method, path: web.Response(text="<html>hello</html>")
        with pytest.raises(RegistryError, match=r"registry\.unexpected"):
            await client.manifest("apps/a", "one")
    monkeypatch.setattr("pkg.registry.client.TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        error = await problem_of(RegistryClient(f"127.0.0.1:{hung.getsockname()[1]}"))
    assert error.problem is RegistryProblem.UNREACHABLE
    assert "no answer within" in error.message


async def test_a_manifest_has_the_digest_that_was_asked_for(front: FaultyFront) -> None:
    """Promise: a registry, or who stands between, can't pass off another image."""
    body = json.dumps({"mediaType": MANIFEST_TYPES[0]}).encode()
    front.fault = lambda method, path: web.Response(body=body) if "manifests" in path else None
    async with RegistryClient(front.host) as client:
        with pytest.raises(RegistryError, match=r"registry\.unexpected"):
            await client.manifest("apps/a", "sha256:" + "0" * 64)


async def test_credentials_stay_with_the_registry(front: FaultyFront) -> None:
    """Promise: no request goes to another host that the registry names."""
    elsewhere = {"Link": '<http://192.0.2.1/v2/apps/a/tags/list>; rel="next"'}
    front.fault = lambda method, path: web.json_response({"tags": ["one"]}, headers=elsewhere)
    async with RegistryClient(front.host, PUSHER) as client:
        with pytest.raises(RegistryError, match="another host"):
            await client.tags("apps/a")


async def test_a_password_needs_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a registry with TLS can't have the password sent to a token server without, but for one on loopback."""
    with DockerRegistry(login="token", tls=True) as registry:
        monkeypatch.setattr("pkg.registry.client.is_loopback", lambda host: False)
        async with registry.client() as client:
            with pytest.raises(RegistryError, match=r"registry\.unexpected.*token server is 'http://"):
                await client.check_push("apps/a")


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("nginx", "library/nginx"),
        ("docker.io/a/b", "a/b"),
        ("127.0.0.1:5000/apps/p:t", "apps/p"),
        ("localhost/p", "p"),
    ],
)
def test_the_repository_of_an_image(ref: str, expected: str) -> None:
    """Promise: names of images become paths of the API, Docker Hub's short ones, too."""
    assert repository_of(ImageRef.parse(ref)) == expected
