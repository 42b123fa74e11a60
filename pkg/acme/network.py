"""The library's network object, with bounds: nonces that are refused again and again, and answers that are no ACME."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from acme import client, messages
from acme.errors import BadNonce, ClientError, MissingNonce
from josepy.jwa import ES256
from josepy.jwk import JWK
from requests.adapters import HTTPAdapter

from pkg.acme.failure import AcmeFailure, AcmeProblem, of_document

TIMEOUT_S = 20
# Servers may refuse a nonce for their own reasons; half of them refused, one in a million calls gets this far.
NONCE_TRIES = 20
USER_AGENT = "sealift"
# Of one answer, decompressed: a chain has a few KiB, a directory less.
MAX_ANSWER_BYTES = 1 << 20
# From the head of an answer to its end.
ANSWER_TIMEOUT_S = 60
_READ_BYTES = 16_384
MAX_REDIRECTS = 3
_MAX_SHOWN_CHARS = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _BoundedBody:
    """A response of urllib3, of whose body no more is read than an answer of ACME may have."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def stream(self, _amount: int, *, decode_content: bool) -> Iterator[bytes]:
        """The body. Raises AcmeFailure when it is too long, or does not come to its end."""
        left, until = MAX_ANSWER_BYTES, time.monotonic() + ANSWER_TIMEOUT_S
        while data := self._response.read1(_READ_BYTES, decode_content=decode_content):
            left -= len(data)
            if left < 0:
                raise self._given_up(f"an answer of more than {MAX_ANSWER_BYTES >> 20} MiB")
            if time.monotonic() > until:
                raise self._given_up(f"an answer that takes more than {ANSWER_TIMEOUT_S} s")
            yield data

    def _given_up(self, what: str) -> AcmeFailure:
        self._response.close()  # with its connection, which nobody else holds
        return AcmeFailure(AcmeProblem.UNREACHABLE, f"the ACME server sent {what}")


class _BoundedAdapter(HTTPAdapter):
    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        body: Any = _BoundedBody(resp)
        return super().build_response(req, body)


class Network(client.ClientNetwork):
    """Signs and sends. Raises AcmeFailure for every answer that is none of success."""

    def __init__(self, key: JWK | None, account: messages.RegistrationResource | None, ca_file: str) -> None:
        # requests takes a path here; the library's annotation says less than it passes on
        verify: Any = ca_file or True
        super().__init__(key, account, alg=ES256, verify_ssl=verify, user_agent=USER_AGENT, timeout=TIMEOUT_S)
        for prefix in ("http://", "https://"):
            self.session.mount(prefix, _BoundedAdapter())

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        """Follows redirects of what is only read, and only to the same server.

        A signed request names its URL and is valid there alone. Another server is one that the operator did not name,
        or one within the installation's network that somebody wants to be asked.
        """
        for _ in range(MAX_REDIRECTS):
            response = super()._send_request(method, url, *args, allow_redirects=False, **kwargs)
            if response.status_code not in _REDIRECTS:
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            if method == "POST" or _origin(target) != _origin(url):
                break
            url = target
        shown = target if len(target) <= _MAX_SHOWN_CHARS and target.isprintable() else "another address"
        message = f"{urlsplit(url).hostname} sends to {shown}, which is not followed: correct the directory in [tls]"
        raise AcmeFailure(AcmeProblem.UNREACHABLE, message)

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Sends with another nonce while the server refuses them, 20 times at most."""
        for _ in range(NONCE_TRIES):
            try:
                return self._post_once(*args, **kwargs)
            except AcmeFailure as failure:
                if failure.acme_type != "badNonce":
                    raise
            except (BadNonce, MissingNonce) as error:
                raise AcmeFailure(AcmeProblem.UNREACHABLE, f"an answer without a usable nonce: {error}") from None
        raise AcmeFailure(AcmeProblem.UNREACHABLE, f"the server refused {NONCE_TRIES} nonces in a row")

    @classmethod
    def _check_response(cls, response: requests.Response, content_type: str | None = None) -> requests.Response:
        host = urlsplit(response.url).hostname or "the ACME server"
        if response.ok:
            try:
                return super()._check_response(response, content_type)
            except ClientError as error:
                raise AcmeFailure(AcmeProblem.UNREACHABLE, f"{host} sent no ACME answer: {error}") from None
        retry_after_ms = retry_after(response.headers.get("Retry-After", ""))
        try:
            document = response.json()
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and "type" in document:
            raise of_document(document, host, retry_after_ms=retry_after_ms)
        problem = AcmeProblem.RATE_LIMITED if response.status_code == 429 else AcmeProblem.UNREACHABLE
        message = f"{host} answered HTTP {response.status_code}, without a reason"
        raise AcmeFailure(problem, message, retry_after_ms=retry_after_ms)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def retry_after(header: str) -> int:
    """The header Retry-After in milliseconds from now; 0 for none, or for what can't be read."""
    if header.strip().isascii() and header.strip().isdigit():
        return int(header.strip()[:9]) * 1000
    try:
        at = parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0
    return max(int((at - time.time()) * 1000), 0)
