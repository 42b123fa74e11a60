"""How a daemon logs in to the registry that it pushes to, through the session.

The daemon reports the scopes that it needs a token for, and we fetch that token: with the account for what
`SessionLogin.token` permits, so that a Dockerfile can't read other repositories by it. A registry that knows basic
authentication alone gives no such choice: it gets the account, and FROM reads whatever the account may read.

Each session has a key of its own. A daemon that kept a token of another session asks ours to prove that it has that
session's key, which it has not; so no build uses a token that was fetched for another one.
"""

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pkg.buildkit.pb import auth_pb2, auth_pb2_grpc
from pkg.errors import SealiftError


class SessionLogin(Protocol):
    """The account of one registry."""

    def is_for(self, host: str) -> bool:
        """Whether this is that registry; the host has its port, as the daemon connects to it."""
        ...

    async def wants_token(self) -> bool:
        """Whether the registry wants tokens, and not basic authentication or nothing."""
        ...

    async def basic(self) -> tuple[str, str]:
        """User name and password, for a registry that knows basic authentication alone."""
        ...

    async def token(self, scopes: Sequence[str]) -> tuple[str, int]:
        """A token for what of these scopes is permitted, and its lifetime in seconds.

        Raises:
            SealiftError: the token server gives none.
        """
        ...


class LoginServicer(auth_pb2_grpc.AuthServicer):
    """Answers the daemon for one registry; it is anonymous at all others."""

    def __init__(self, login: SessionLogin | None) -> None:
        """`login` None: anonymous everywhere."""
        self._login = login
        self._key = Ed25519PrivateKey.generate()

    async def Credentials(  # noqa: N802
        self, request: auth_pb2.CredentialsRequest, context: Any
    ) -> auth_pb2.CredentialsResponse:
        """The account, where it can't be narrowed to scopes."""
        login = self._login_for(request.Host)
        try:
            if login is None or await login.wants_token():
                return auth_pb2.CredentialsResponse()  # anonymous
            username, secret = await login.basic()
        except SealiftError as error:
            await _refuse(context, error)
        return auth_pb2.CredentialsResponse(Username=username, Secret=secret)

    async def GetTokenAuthority(  # noqa: N802
        self, request: auth_pb2.GetTokenAuthorityRequest, context: Any
    ) -> auth_pb2.GetTokenAuthorityResponse:
        """With an answer the daemon asks `FetchToken`; without one it fetches an anonymous token itself."""
        if self._login_for(request.Host) is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the daemon fetches tokens of this registry itself")
        return auth_pb2.GetTokenAuthorityResponse(PublicKey=self._key.public_key().public_bytes_raw())

    async def VerifyTokenAuthority(  # noqa: N802
        self, request: auth_pb2.VerifyTokenAuthorityRequest, context: Any
    ) -> auth_pb2.VerifyTokenAuthorityResponse:
        """Proves which key is ours: signature and payload, as nacl's `sign` writes them."""
        if self._login_for(request.Host) is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the daemon fetches tokens of this registry itself")
        return auth_pb2.VerifyTokenAuthorityResponse(Signed=self._key.sign(request.Payload) + request.Payload)

    async def FetchToken(  # noqa: N802
        self, request: auth_pb2.FetchTokenRequest, context: Any
    ) -> auth_pb2.FetchTokenResponse:
        """A token for what of the scopes is permitted. The realm that the daemon names is not asked."""
        login = self._login_for(request.Host)
        if login is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the daemon fetches tokens of this registry itself")
            raise AssertionError("unreachable")
        try:
            token, lifetime_s = await login.token(request.Scopes)
        except SealiftError as error:
            await _refuse(context, error)
        return auth_pb2.FetchTokenResponse(Token=token, ExpiresIn=lifetime_s)

    def _login_for(self, host: str) -> SessionLogin | None:
        return self._login if self._login is not None and self._login.is_for(host) else None


async def _refuse(context: Any, error: SealiftError) -> NoReturn:
    await context.abort(grpc.StatusCode.PERMISSION_DENIED, error.message)
    raise AssertionError("unreachable")
