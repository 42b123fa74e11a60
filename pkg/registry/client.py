"""A client of the distribution API, version 2.

Contract: https://distribution.github.io/distribution/spec/api/
"""

import asyncio
import hashlib
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from pkg.images import ImageRef
from pkg.images.ref import DOCKER_HUB
from pkg.output.redact import Redactor
from pkg.registry.auth import Challenge, Credentials, Token, TokenCache, lifetime_s
from pkg.registry.errors import Purpose, RegistryError, RegistryProblem, failure, of_answer, retry_after_s
from pkg.registry.manifests import INDEX_TYPES, MANIFEST_TYPES, Manifest, is_digest, read_object
from pkg.registry.transport import is_loopback, joined, may_follow, origin_of, problem_of, reason_of, trust

CONNECT_TIMEOUT_S = 10.0
TIMEOUT_S = 30.0
CONNECTIONS = 8
MAX_MANIFEST_BYTES = 4 * 1024 * 1024  # what registries accept
MAX_CONFIG_BYTES = 8 * 1024 * 1024
MAX_ANSWER_BYTES = 1024 * 1024
MAX_REDIRECTS = 3
TAGS_A_PAGE = 1000
MAX_TAG_PAGES = 100

DOCKER_HUB_API = "registry-1.docker.io"
_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a registry answered, with a status that was allowed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    challenge: str  # all headers WWW-Authenticate


class RegistryClient:
    """One registry with one account, or with none. Must be made inside a running loop, and closed.

    It speaks HTTPS; on loopback also HTTP, as Docker engines do. Every method raises RegistryError and takes 30 s a
    request at most, and may be repeated. `repository` is always without the host: "apps/proj-1".

    Args:
        host: of the registry, with its port when it has one; "docker.io" is Docker Hub.
        credentials: of an account; None asks without one.
        purpose: for the words of errors.
        ca_file: PEM; authorities that are trusted beside those of this machine. Read at the first request.
    """

    def __init__(
        self,
        host: str,
        credentials: Credentials | None = None,
        *,
        purpose: Purpose | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self.host = host
        self._api_host = DOCKER_HUB_API if host == DOCKER_HUB else host
        self._credentials = credentials
        self._purpose = purpose or Purpose()
        self._scheme = "" if is_loopback(self._api_host) else "https"
        self._ca_file = ca_file
        self._trust: ssl.SSLContext | None = None
        self._challenge: Challenge | None = None
        self._tokens = TokenCache()
        self._redactor = Redactor(credentials.secrets() if credentials else ())
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            # a small answer can unpack to a huge one
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Ends its connections. Idempotent."""
        await self._http.close()

    async def __aenter__(self) -> "RegistryClient":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def head(self, repository: str, reference: str) -> str | None:
        """The digest of what a tag or digest names; None when the registry has no such image or repository."""
        answer = await self._manifest("HEAD", repository, reference)
        if answer is None:
            return None
        digest = answer.headers.get("Docker-Content-Digest", "")
        if is_digest(digest):
            return digest
        found = await self.manifest(repository, reference)  # some registries name the digest on GET alone
        return found.digest if found else None

    async def manifest(self, repository: str, reference: str) -> Manifest | None:
        """What a tag or digest names; None when the registry has no such image or repository.

        What it sends for a digest has that digest.
        """
        answer = await self._manifest("GET", repository, reference)
        if answer is None:
            return None
        digest = "sha256:" + hashlib.sha256(answer.body).hexdigest()
        if reference.startswith("sha256:") and reference != digest:
            raise self._failure(RegistryProblem.UNEXPECTED, repository, f"{digest} came for {reference}")
        content = self._json(answer, repository)
        media_type = str(content.get("mediaType") or answer.headers.get("Content-Type", "")).partition(";")[0].strip()
        if media_type not in INDEX_TYPES + MANIFEST_TYPES:
            raise self._failure(RegistryProblem.UNEXPECTED, repository, f"a manifest of the type {media_type!r}")
        return Manifest(digest, media_type, content)

    async def config(self, repository: str, digest: str) -> dict[str, Any] | None:
        """The configuration of an image, `Manifest.config_digest`, as JSON; None when the registry does not have it."""
        if not is_digest(digest):
            raise self._failure(RegistryProblem.UNEXPECTED, repository, "a manifest that names no configuration")
        answer = await self.request(
            "GET", f"/v2/{repository}/blobs/{digest}", repository=repository, allowed=(200, 404),
            max_bytes=MAX_CONFIG_BYTES,
        )  # fmt: skip
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if "sha256:" + hashlib.sha256(answer.body).hexdigest() != digest:
            raise self._failure(RegistryProblem.UNEXPECTED, repository, f"a blob that is not {digest}")
        return self._json(answer, repository)

    async def tags(self, repository: str) -> tuple[str, ...]:
        """Every tag; () when there is no such repository."""
        found: list[str] = []
        where = f"/v2/{repository}/tags/list?n={TAGS_A_PAGE}"
        for _ in range(MAX_TAG_PAGES):
            answer = await self.request("GET", where, repository=repository, allowed=(200, 404))
            if answer.status == HTTPStatus.NOT_FOUND:
                return ()
            tags = self._json(answer, repository).get("tags")
            listed = tags if isinstance(tags, list) else []
            found += [tag for tag in listed if isinstance(tag, str) and _TAG.fullmatch(tag)]
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return tuple(found)
            where = following[1]
        raise self._failure(RegistryProblem.UNEXPECTED, repository, f"more than {MAX_TAG_PAGES} pages of tags")

    async def delete(self, repository: str, digest: str) -> bool:
        """Deletes the manifest with this digest and every tag of it. False: it was not there."""
        answer = await self.request(
            "DELETE", f"/v2/{repository}/manifests/{digest}", repository=repository, actions="pull,delete",
            allowed=(200, 202, 404),
        )  # fmt: skip
        return answer.status != HTTPStatus.NOT_FOUND

    async def check_push(self, repository: str) -> None:
        """Raises unless the account may push to the repository. Begins an upload and ends it: nothing is left."""
        answer = await self.request(
            "POST", f"/v2/{repository}/blobs/uploads/", repository=repository, actions="pull,push", allowed=(202,)
        )
        upload = joined(answer.url, answer.headers.get("Location", ""))
        if self._loses_tls(upload):
            raise self._failure(RegistryProblem.OTHER_SCHEME, repository)
        # who may push may not everywhere end an upload; it then ends by itself
        with suppress(RegistryError):
            await self.request("DELETE", upload, repository=repository, actions="pull,push,delete", allowed=(202, 204))

    async def login_scheme(self) -> str:
        """What the registry wants of those who ask: "bearer" (tokens), "basic", or "" when it wants nothing."""
        answer = await self.request("GET", "/v2/", repository="", allowed=(200, 401), authorized=False)
        self._challenge = Challenge.parse(answer.challenge)
        return self._challenge.scheme if answer.status == HTTPStatus.UNAUTHORIZED else ""

    async def token(self, scopes: Sequence[str]) -> Token:
        """A token of the registry's token server for these scopes, such as "repository:apps/proj-1:pull,push".

        The server may grant less than it was asked for. `login_scheme` must be "bearer".
        """
        if self._challenge is None:
            await self.login_scheme()
        assert self._challenge is not None
        return await self._fetch_token(self._challenge, scopes, "")

    async def request(
        self,
        method: str,
        where: str,
        *,
        repository: str,
        actions: str = "pull",
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        allowed: tuple[int, ...] = (200,),
        max_bytes: int = MAX_ANSWER_BYTES,
        authorized: bool = True,
    ) -> Answer:
        """One request, with what the registry wants for authentication.

        Args:
            method: of HTTP.
            where: path with query, or a URL of this registry.
            repository: that it is about.
            actions: what a token must permit on the repository: "pull", "pull,push".
            headers: to send.
            data: to send.
            allowed: statuses that are no error.
            max_bytes: of the answer; a longer one is an error.
            authorized: False sends no credentials.
        """
        base = f"{await self._find_scheme(repository)}://{self._api_host}"
        url = joined(base, where)
        if origin_of(url)[1] != self._api_host.lower():
            raise self._failure(RegistryProblem.UNEXPECTED, repository, "it refers to another host")
        if self._loses_tls(url):
            raise self._failure(RegistryProblem.OTHER_SCHEME, repository)
        scope = f"repository:{repository}:{actions}"
        for is_last in (False, True):
            authorization = await self._authorization(scope, repository) if authorized else {}
            answer = await self._send(method, url, {**(headers or {}), **authorization}, data, max_bytes, repository)
            if answer.status in allowed:
                return answer
            challenge = answer.challenge
            if answer.status != HTTPStatus.UNAUTHORIZED or is_last or not challenge:
                problem, said = of_answer(answer.status, answer.body, challenge)
                if answer.status == HTTPStatus.UNAUTHORIZED and problem is RegistryProblem.UNAUTHORIZED:
                    problem, said = self._of_refused_token(authorization, challenge, said)
                wait_s = retry_after_s(answer.headers.get("Retry-After"))
                raise self._failure(problem, repository, said, wait_s)
            self._challenge = Challenge.parse(challenge)
            self._tokens.drop(scope)
        raise AssertionError("unreachable")

    async def _manifest(self, method: str, repository: str, reference: str) -> Answer | None:
        answer = await self.request(
            method, f"/v2/{repository}/manifests/{reference}", repository=repository, headers={"Accept": _ACCEPT},
            allowed=(200, 404), max_bytes=MAX_MANIFEST_BYTES,
        )  # fmt: skip
        return None if answer.status == HTTPStatus.NOT_FOUND else answer

    async def _authorization(self, scope: str, repository: str) -> dict[str, str]:
        challenge = self._challenge
        if challenge is None:
            return {}
        if challenge.scheme == "bearer":
            token = self._tokens.get(scope)
            if not token:
                fetched = await self._fetch_token(challenge, [scope], repository)
                self._tokens.put(scope, fetched.value, fetched.lifetime_s)
                token = fetched.value
            return {"Authorization": f"Bearer {token}"}
        if challenge.scheme == "basic" and self._credentials is not None:
            return {"Authorization": self._credentials.basic()}
        return {}

    def _loses_tls(self, url: str) -> bool:
        """Whether credentials would leave TLS: a registry behind a proxy may not know that it is asked by HTTPS."""
        return self._scheme == "https" and origin_of(url)[0] == "http"

    def _of_refused_token(
        self, authorization: Mapping[str, str], challenge: str, said: str
    ) -> tuple[RegistryProblem, str]:
        """What 401 means: after the token server has accepted the account, not that the account is wrong."""
        if not authorization.get("Authorization", "").startswith("Bearer "):
            return RegistryProblem.UNAUTHORIZED, said
        if Challenge.parse(challenge).error == "invalid_token":
            return RegistryProblem.UNEXPECTED, f"it does not accept the token of its own token server. {said}"
        return (RegistryProblem.DENIED if self._credentials else RegistryProblem.UNAUTHORIZED), said

    async def _fetch_token(self, challenge: Challenge, scopes: Sequence[str], repository: str) -> Token:
        scheme, host = origin_of(challenge.realm)
        # credentials are not sent without TLS, but on this machine
        if not host or not (scheme == "https" or (scheme == "http" and is_loopback(host))):
            raise self._failure(RegistryProblem.UNEXPECTED, repository, f"its token server is {challenge.realm!r}")
        url = URL(challenge.realm).update_query(
            [("service", challenge.service), *(("scope", scope) for scope in scopes)]
        )
        headers = {"Authorization": self._credentials.basic()} if self._credentials else {}
        answer = await self._send("GET", str(url), headers, None, MAX_ANSWER_BYTES, repository)
        if answer.status != HTTPStatus.OK:
            problem, said = of_answer(answer.status, answer.body)
            raise self._failure(problem, repository, said, retry_after_s(answer.headers.get("Retry-After")))
        content = self._json(answer, repository)
        token = content.get("token") or content.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise self._failure(RegistryProblem.UNEXPECTED, repository, "its token server sent no token")
        return Token(token, lifetime_s(content.get("expires_in")))

    async def _find_scheme(self, repository: str) -> str:
        if self._scheme:
            return self._scheme
        try:
            await self._send("GET", f"https://{self._api_host}/v2/", {}, None, MAX_ANSWER_BYTES, repository)
            self._scheme = "https"
        except RegistryError as error:
            if error.problem is not RegistryProblem.PLAIN_HTTP:
                raise
            self._scheme = "http"
        return self._scheme

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | None, max_bytes: int, repository: str
    ) -> Answer:
        sent = dict(headers)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for _ in range(MAX_REDIRECTS + 1):
                    answer = await self._exchange(method, url, sent, data, max_bytes, repository)
                    if answer.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                        return answer
                    before, url = url, joined(url, answer.headers.get("Location", ""))
                    if not may_follow(before, url):
                        raise self._failure(RegistryProblem.UNEXPECTED, repository, "it leads to where TLS ends")
                    if origin_of(url) != origin_of(before):
                        sent.pop("Authorization", None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._failure(problem_of(error), repository, reason_of(error, TIMEOUT_S)) from error
        raise self._failure(RegistryProblem.UNEXPECTED, repository, f"more than {MAX_REDIRECTS} redirects")

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | None, max_bytes: int, repository: str
    ) -> Answer:
        async with self._http.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=data,
            allow_redirects=False,
            ssl=self._trusted(repository),
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise self._failure(RegistryProblem.UNEXPECTED, repository, f"an answer above {max_bytes} bytes")
            challenge = ", ".join(answer.headers.getall("WWW-Authenticate", ()))
            return Answer(answer.status, answer.headers, bytes(body), str(answer.url), challenge)

    def _json(self, answer: Answer, repository: str) -> dict[str, Any]:
        content = read_object(answer.body)
        if content is None:
            raise self._failure(RegistryProblem.UNEXPECTED, repository, "no JSON object")
        return content

    def _trusted(self, repository: str) -> ssl.SSLContext:
        if self._trust is None:
            try:
                self._trust = trust(self._ca_file)
            except OSError as error:
                said = f"{self._ca_file} can't be read as certificates in PEM: {error.strerror or error}"
                raise self._failure(RegistryProblem.UNTRUSTED, repository, said) from error
        return self._trust

    def _failure(
        self, problem: RegistryProblem, repository: str, said: str = "", wait_s: int | None = None
    ) -> RegistryError:
        said = self._redactor.text(said)  # a registry may repeat what it was sent
        return failure(problem, f"{self.host}/{repository}", self._purpose, said=said, retry_after_s=wait_s)


def repository_of(ref: ImageRef) -> str:
    """The repository of an image without its host, as `RegistryClient` takes it."""
    host = ref.registry
    path = ref.repository.removeprefix(f"{host}/")
    return f"library/{path}" if host == DOCKER_HUB and "/" not in path else path
