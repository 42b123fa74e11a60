"""The session: the daemon calls back to us, through a stream of bytes, for health, registry credentials and secrets.

A grpc.aio server on a private unix socket answers; a pump copies its bytes into Control.Session. That form works for
an engine, a buildkitd and a rented machine alike. It must be open for the whole build: it is also what keeps the
connection alive.
"""

import asyncio
import secrets as random
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pkg.buildkit.channel import stub
from pkg.buildkit.pb import auth_pb2, auth_pb2_grpc, control_pb2, secrets_pb2, secrets_pb2_grpc

# Advertise only what is served: the daemon takes the list at its word.
METHODS = (
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/grpc.health.v1.Health/Check",
)
_COPY_BYTES = 64 << 10
_STOP_TIMEOUT_S = 2


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Docker 20.10 asks every second and closes the session after one miss of 10 s."""

    async def Check(self, request: object, context: object) -> object:  # noqa: N802
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class _Auth(auth_pb2_grpc.AuthServicer):
    """Registry credentials by host. Tokens are the daemon's own work: refused here, it asks for credentials."""

    def __init__(self, credentials: Mapping[str, tuple[str, str]]) -> None:
        self._credentials = credentials

    async def Credentials(self, request: auth_pb2.CredentialsRequest, context: Any) -> auth_pb2.CredentialsResponse:  # noqa: N802
        username, secret = self._credentials.get(request.Host, ("", ""))  # empty: anonymous
        return auth_pb2.CredentialsResponse(Username=username, Secret=secret)

    async def FetchToken(self, request: object, context: Any) -> auth_pb2.FetchTokenResponse:  # noqa: N802
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the daemon fetches tokens itself")
        raise AssertionError("unreachable")

    async def GetTokenAuthority(self, request: object, context: Any) -> auth_pb2.GetTokenAuthorityResponse:  # noqa: N802
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the daemon fetches tokens itself")
        raise AssertionError("unreachable")

    async def VerifyTokenAuthority(self, request: object, context: Any) -> auth_pb2.VerifyTokenAuthorityResponse:  # noqa: N802
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the daemon fetches tokens itself")
        raise AssertionError("unreachable")


class _Secrets(secrets_pb2_grpc.SecretsServicer):
    """An allow-list, never a wildcard: a daemon also requests ids that it chose, e.g. HTTP_AUTH_TOKEN_<host>."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self._values = values

    async def GetSecret(self, request: secrets_pb2.GetSecretRequest, context: Any) -> secrets_pb2.GetSecretResponse:  # noqa: N802
        if request.ID not in self._values:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"secret {request.ID} not found")
        return secrets_pb2.GetSecretResponse(data=self._values[request.ID])


@asynccontextmanager
async def open_session(
    channel: grpc.aio.Channel,
    *,
    secrets: Mapping[str, bytes] | None = None,
    credentials: Mapping[str, tuple[str, str]] | None = None,
) -> AsyncIterator[str]:
    """A session for one solve: open before it, closed after it. Yields the id that goes into the solve request.

    Args:
        channel: the one that the solve will use.
        secrets: by id, for RUN --mount=type=secret; no other id is answered.
        credentials: (user name, password) by registry host ("registry:port").
    """
    session_id = random.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="sealift-bk-") as folder:  # mode 0700
        server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(_Health(), server)
        auth_pb2_grpc.add_AuthServicer_to_server(_Auth(credentials or {}), server)
        secrets_pb2_grpc.add_SecretsServicer_to_server(_Secrets(secrets or {}), server)
        server.add_insecure_port(f"unix:{folder}/s")
        await server.start()
        pump = asyncio.create_task(_pump(channel, session_id, f"{folder}/s"), name="buildkit-session")
        try:
            yield session_id
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await server.stop(None)


async def _pump(channel: grpc.aio.Channel, session_id: str, path: str) -> None:
    """Copies bytes between the daemon's stream and our server. Its failure shows as a failed solve."""
    reader, writer = await asyncio.open_unix_connection(path)
    call = stub(channel).Session(
        metadata=(
            ("x-docker-expose-session-uuid", session_id),
            ("x-docker-expose-session-name", "sealift"),
            ("x-docker-expose-session-sharedkey", ""),
            *(("x-docker-expose-session-grpc-method", method) for method in METHODS),
        )
    )

    async def send() -> None:
        while data := await reader.read(_COPY_BYTES):
            await call.write(control_pb2.BytesMessage(data=data))
        await call.done_writing()

    sender = asyncio.create_task(send(), name="buildkit-session-send")
    try:
        async for message in call:
            writer.write(message.data)
            await writer.drain()
    finally:
        sender.cancel()
        call.cancel()
        writer.close()
        await asyncio.gather(sender, return_exceptions=True)
