"""The library's network object, with bounds: nonces that are refused again and again, and answers that are no ACME."""

import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from acme import client, messages
from acme.errors import BadNonce, ClientError, MissingNonce
from josepy.jwa import ES256
from josepy.jwk import JWK

from pkg.acme.failure import AcmeFailure, AcmeProblem, of_document

TIMEOUT_S = 20
# Servers may refuse a nonce for their own reasons; half of them refused, one in a million calls gets this far.
NONCE_TRIES = 20
USER_AGENT = "sealift"


class Network(client.ClientNetwork):
    """Signs and sends. Raises AcmeFailure for every answer that is none of success."""

    def __init__(self, key: JWK | None, account: messages.RegistrationResource | None, ca_file: str) -> None:
        # requests takes a path here; the library's annotation says less than it passes on
        verify: Any = ca_file or True
        super().__init__(key, account, alg=ES256, verify_ssl=verify, user_agent=USER_AGENT, timeout=TIMEOUT_S)

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


def retry_after(header: str) -> int:
    """The header Retry-After in milliseconds from now; 0 for none, or for what can't be read."""
    if header.strip().isascii() and header.strip().isdigit():
        return int(header.strip()[:9]) * 1000
    try:
        at = parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0
    return max(int((at - time.time()) * 1000), 0)
