"""One ACME server."""

import asyncio
import base64
import datetime
import functools
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import requests
from acme import challenges, client, crypto_util, messages
from acme.errors import Error as AcmeError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.jwk import JWK, JWKEC

from pkg.acme.failure import AcmeFailure, AcmeProblem, of_document
from pkg.acme.network import Network, retry_after
from pkg.certificates.config import Tls
from pkg.certificates.model import ChallengeKind
from pkg.lifecycle.threads import close_in_thread

THREADS = 4
MAX_CHAIN_CHARS = 100_000
MAX_AUTHORIZATIONS = 100  # of an order, which has a name or two
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")  # RFC 8555, 8.3; as long as it is stored
# What reading an answer raises that is not what it should be; deeply nested JSON ends in a RecursionError.
_NO_ACME = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)

P = ParamSpec("P")
T = TypeVar("T")

# at level debug they log whole requests
for _name in ("acme", "urllib3"):
    logging.getLogger(_name).setLevel(logging.INFO)


@dataclass(frozen=True)
class AccountKey:
    """Who calls: a key, and the account that it belongs to; "" before it is registered."""

    key_pem: bytes
    url: str = ""

    def __repr__(self) -> str:
        return f"AccountKey({self.url})"

    @functools.cached_property
    def jwk(self) -> JWK:
        """The key as the libraries take it."""
        key = serialization.load_pem_private_key(self.key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return JWKEC(key=key)


@dataclass(frozen=True)
class Challenge:
    """A way to prove a name.

    Attributes:
        status: "pending" until it is answered.
        value: the body for HTTP, or the text of the TXT record.
    """

    url: str
    status: str
    token: str
    value: str


@dataclass(frozen=True)
class Authorization:
    """A name of an order.

    Attributes:
        hostname: without "*.".
        status: "pending", "valid", or a failure.
        challenge: of the kind that was asked for; None: the server does not offer it.
        failure: why it failed.
        retry_after_ms: when to ask again; 0: soon.
    """

    hostname: str
    status: str
    challenge: Challenge | None
    failure: AcmeFailure | None
    retry_after_ms: int


@dataclass(frozen=True)
class OrderState:
    """An order at the server.

    Attributes:
        status: "pending", "ready", "processing", "valid" or "invalid" (RFC 8555, 7.1.6).
        failure: why it is invalid.
        retry_after_ms: when to ask again; 0: soon.
    """

    status: str
    failure: AcmeFailure | None
    retry_after_ms: int


@dataclass(frozen=True)
class RenewalWindow:
    """When the server wants a certificate to be renewed (RFC 9773), epoch ms.

    Attributes:
        retry_after_ms: when to ask again; None: it does not say.
    """

    start: int
    end: int
    retry_after_ms: int | None


class AcmeServer:
    """The ACME server of a configuration. Every method raises AcmeFailure.

    Args:
        tls: where it is, and how an account is registered there.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="acme")

    async def close(self) -> None:
        """Ends the threads, after the calls under way."""
        await close_in_thread(lambda: self._executor.shutdown(wait=True))

    @property
    def directory(self) -> str:
        """Identifies the server."""
        return self._tls.directory

    async def register(self, account: AccountKey) -> str:
        """Makes the account of the key, or finds it and sets its e-mail address; its URL. Idempotent."""
        return await self._run(account, self._register)

    async def new_order(self, account: AccountKey, key_pem: bytes, names: Sequence[str]) -> str:
        """Makes an order, or finds one that is open for the same names; its URL."""
        return await self._run(account, self._new_order, crypto_util.make_csr(key_pem, list(names)))

    async def authorizations(self, account: AccountKey, order_url: str, kind: ChallengeKind) -> list[Authorization]:
        """The names of an order, with their challenge of one kind."""
        return await self._run(account, self._authorizations, order_url, kind)

    async def answer(self, account: AccountKey, challenge_url: str) -> None:
        """Tells the server to look. A challenge that was answered before is left as it is."""
        await self._run(account, _answer, challenge_url)

    async def order(self, account: AccountKey, order_url: str) -> OrderState:
        """How far an order is."""
        return await self._run(account, self._order, order_url)

    async def finalize(self, account: AccountKey, order_url: str, key_pem: bytes, names: Sequence[str]) -> OrderState:
        """Asks for the certificate once the order is "ready"; how far the order is then. Idempotent."""
        return await self._run(account, self._finalize, order_url, crypto_util.make_csr(key_pem, list(names)))

    async def certificate(self, account: AccountKey, order_url: str) -> str:
        """The certificate of a valid order and its issuers, PEM."""
        return await self._run(account, self._certificate, order_url)

    async def renewal_window(self, chain_pem: str) -> RenewalWindow | None:
        """When the server wants the certificate to be renewed; None: it does not say."""
        return await self._run(None, self._renewal_window, chain_pem)

    async def _run(
        self,
        account: AccountKey | None,
        call: Callable[Concatenate[client.ClientV2, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def in_thread() -> T:
            with self._client(account) as opened:
                return call(opened, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._executor, in_thread)

    @contextmanager
    def _client(self, account: AccountKey | None) -> Iterator[client.ClientV2]:
        """A client for one call; failures of the network as AcmeFailure."""
        registered = None
        if account is not None and account.url:
            registered = messages.RegistrationResource(body=messages.Registration(), uri=account.url)
        network = Network(None if account is None else account.jwk, registered, self._tls.ca_file)
        host = urlsplit(self._tls.directory).hostname or self._tls.directory
        try:
            directory = client.ClientV2.get_directory(self._tls.directory, network)
            yield client.ClientV2(directory, network)
        except requests.exceptions.SSLError as error:
            message = f"the certificate of {host} itself is not trusted: {_reason(error)}; see ca_file in [tls]"
            raise AcmeFailure(AcmeProblem.UNREACHABLE, message) from None
        except requests.exceptions.RequestException as error:
            message = f"{host} does not answer: {_reason(error)}"
            raise AcmeFailure(AcmeProblem.UNREACHABLE, message) from None
        except (AcmeError, JoseError, *_NO_ACME) as error:
            message = f"{host} sent what is no ACME: {type(error).__name__}"
            raise AcmeFailure(AcmeProblem.UNREACHABLE, message) from error
        finally:
            network.session.close()

    def _register(self, opened: client.ClientV2) -> str:
        assert opened.net.key is not None
        binding = None
        if self._tls.eab_key_id:
            binding = messages.ExternalAccountBinding.from_data(
                account_public_key=opened.net.key.public_key(),
                kid=self._tls.eab_key_id,
                hmac_key=self._tls.eab_hmac_key.reveal(),
                directory=opened.directory,
            )
        registration = messages.NewRegistration.from_data(
            email=self._tls.email, terms_of_service_agreed=True, external_account_binding=binding
        )
        # 201 for a new account, 200 for the one that this key has already
        response = _post(opened, opened.directory["newAccount"], registration)
        url = str(response.headers["Location"])
        if response.status_code == HTTPStatus.OK:  # the address may be another one now
            opened.net.account = messages.RegistrationResource(body=messages.Registration(), uri=url)
            _post(opened, url, messages.UpdateRegistration.from_data(email=self._tls.email))
        return url

    def _new_order(self, opened: client.ClientV2, csr_pem: bytes) -> str:
        return str(opened.new_order(csr_pem).uri)

    def _authorizations(self, opened: client.ClientV2, order_url: str, kind: ChallengeKind) -> list[Authorization]:
        urls = _post(opened, order_url).json()["authorizations"]
        if len(urls) > MAX_AUTHORIZATIONS:
            raise ValueError(f"{len(urls)} authorizations")
        return [self._authorization(opened, url, kind) for url in urls]

    def _authorization(self, opened: client.ClientV2, url: str, kind: ChallengeKind) -> Authorization:
        response = _post(opened, url)
        body = response.json()
        hostname = str(body["identifier"]["value"])
        offered = next((one for one in body["challenges"] if one.get("type") == kind), None)
        return Authorization(
            hostname=hostname,
            status=str(body["status"]),
            challenge=None if offered is None else _challenge(opened, offered, kind),
            failure=next((_failed(one, hostname) for one in body["challenges"] if one.get("error")), None),
            retry_after_ms=retry_after(response.headers.get("Retry-After", "")),
        )

    def _order(self, opened: client.ClientV2, order_url: str) -> OrderState:
        response = _post(opened, order_url)
        return self._state(response, response.json())

    def _finalize(self, opened: client.ClientV2, order_url: str, csr_pem: bytes) -> OrderState:
        response = _post(opened, order_url)
        if response.json()["status"] != "ready":
            return self._state(response, response.json())
        csr = messages.CertificateRequest(csr=x509.load_pem_x509_csr(csr_pem))
        response = _post(opened, response.json()["finalize"], csr)
        return self._state(response, response.json())

    def _certificate(self, opened: client.ClientV2, order_url: str) -> str:
        url = _post(opened, order_url).json()["certificate"]
        return _post(opened, url).text[:MAX_CHAIN_CHARS]

    def _state(self, response: requests.Response, body: Any) -> OrderState:
        host = urlsplit(self._tls.directory).hostname or ""
        status = str(body["status"])
        failure = of_document(body.get("error"), host, in_validation=True) if status == "invalid" else None
        return OrderState(status, failure, retry_after(response.headers.get("Retry-After", "")))

    def _renewal_window(self, opened: client.ClientV2, chain_pem: str) -> RenewalWindow | None:
        try:
            base = opened.directory["renewalInfo"]
        except KeyError:
            return None
        leaf = x509.load_pem_x509_certificates(chain_pem.encode())[0]
        response = opened.net.get(f"{base.rstrip('/')}/{_certificate_id(leaf)}")
        window = messages.RenewalInfo.from_json(response.json()).suggested_window
        header = response.headers.get("Retry-After", "")
        return RenewalWindow(_epoch_ms(window.start), _epoch_ms(window.end), retry_after(header) if header else None)


def _post(opened: client.ClientV2, url: str, body: Any = None) -> requests.Response:
    """A signed request; without a body it reads (POST-as-GET)."""
    return opened.net.post(url, body, new_nonce_url=opened.directory["newNonce"])


def _answer(opened: client.ClientV2, challenge_url: str) -> None:
    if _post(opened, challenge_url).json()["status"] == "pending":
        _post(opened, challenge_url, challenges.HTTP01Response())


def _challenge(opened: client.ClientV2, offered: Any, kind: ChallengeKind) -> Challenge:
    body = messages.ChallengeBody.from_json(offered)
    chosen = body.chall
    assert opened.net.key is not None
    value, token = str(chosen.validation(opened.net.key)), str(offered["token"])
    if not _TOKEN.fullmatch(token):
        raise ValueError("a challenge with a token that is none")
    return Challenge(str(offered["url"]), str(offered["status"]), token, value)


def _failed(offered: Any, hostname: str) -> AcmeFailure:
    found = of_document(offered["error"], f"the check of {hostname}", in_validation=True)
    # a refused check means that the name was not proven, whatever it is called
    return AcmeFailure(AcmeProblem.VALIDATION, found.message, acme_type=found.acme_type)


def _certificate_id(leaf: x509.Certificate) -> str:
    """RFC 9773, 4.1: the key identifier of the issuer and the serial number, each in base64url."""
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    if issuer is None:
        raise ValueError("a certificate without the key identifier of its issuer")
    # one bit more, as a positive number begins with a zero bit
    serial = leaf.serial_number.to_bytes(math.ceil((leaf.serial_number.bit_length() + 1) / 8), "big")
    return f"{_base64url(issuer)}.{_base64url(serial)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _epoch_ms(at: datetime.datetime) -> int:
    return int(at.timestamp() * 1000)


def _reason(error: BaseException) -> str:
    """The innermost reason, without the library's addresses of objects."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException):
            return (str(error).rpartition(": ")[2] or type(error).__name__)[:300]
        error = inner
