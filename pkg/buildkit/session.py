"""The session: the daemon calls back to us, through a stream of bytes, for health, a context, credentials and secrets.

A grpc.aio server on a private unix socket answers; a pump copies its bytes into Control.Session. That form works for
an engine, a buildkitd and a rented machine alike. It must be open for the whole build: it is also what keeps the
connection alive.
"""

import asyncio
import secrets as random
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pkg.buildkit.channel import stub
from pkg.buildkit.pb import (
    auth_pb2_grpc,
    control_pb2,
    secrets_pb2,
    secrets_pb2_grpc,
    upload_pb2,
    upload_pb2_grpc,
)
from pkg.buildkit.registry_login import LoginServicer, SessionLogin

# Advertise only what is served: the daemon takes the list at its word.
_METHODS = (
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/grpc.health.v1.Health/Check",
)
_UPLOAD_METHOD = "/moby.upload.v1.Upload/Pull"
_COPY_BYTES = 256 << 10
_STOP_TIMEOUT_S = 2

OpenContext: TypeAlias = Callable[[], AsyncIterator[bytes]]


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Docker 20.10 asks every second and closes the session after one miss of 10 s."""

    async def Check(self, request: object, context: object) -> object:  # noqa: N802
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class _Secrets(secrets_pb2_grpc.SecretsServicer):
    """An allow-list, never a wildcard: a daemon also requests ids that it chose, e.g. HTTP_AUTH_TOKEN_<host>."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self._values = values

    async def GetSecret(self, request: secrets_pb2.GetSecretRequest, context: Any) -> secrets_pb2.GetSecretResponse:  # noqa: N802
        if request.ID not in self._values:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"secret {request.ID} not found")
        return secrets_pb2.GetSecretResponse(data=self._values[request.ID])


class _Upload(upload_pb2_grpc.UploadServicer):
    """Sends the build context. What the daemon sends is nothing that we need."""

    def __init__(self, path: str, open_context: OpenContext) -> None:
        self._path = path
        self._open_context = open_context

    async def Pull(self, request_iterator: object, context: Any) -> AsyncIterator[upload_pb2.BytesMessage]:  # noqa: N802
        if ("urlpath", self._path) not in context.invocation_metadata():
            await context.abort(grpc.StatusCode.NOT_FOUND, "this session sends the build context only")
        async for chunk in self._open_context():
            yield upload_pb2.BytesMessage(data=chunk)


def session_context(session_id: str) -> str:
    """The `context` of a solve whose session sends it. A daemon that sees this host asks the session, not the network.

    Builds that run at once share their equal steps, and a URL is all that the daemon knows of this one: with the same
    URL, a build would get the context of another one. The last part is what counts for the cache, with the content.
    """
    return f"http://buildkit-session{_context_path(session_id)}"


def _context_path(session_id: str) -> str:
    return f"/{session_id}/context"


@asynccontextmanager
async def open_session(
    channel: grpc.aio.Channel,
    *,
    secrets: Mapping[str, bytes] | None = None,
    login: SessionLogin | None = None,
    open_context: OpenContext | None = None,
) -> AsyncIterator[str]:
    """A session for one solve: open before it, closed after it. Yields the id that goes into the solve request.

    Args:
        channel: the one that the solve will use.
        secrets: by id, for RUN --mount=type=secret; no other id is answered.
        login: to the registry that the solve pushes to; the daemon is anonymous at all others.
        open_context: sends the build context, a tar.gz, to a solve whose context is `session_context`: chunks of 64
            KiB or so, from the start at each call. An error of it fails the solve.
    """
    session_id = random.token_hex(16)
    methods = [*_METHODS, _UPLOAD_METHOD] if open_context else [*_METHODS]
    with tempfile.TemporaryDirectory(prefix="sealift-bk-") as folder:  # mode 0700
        server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(_Health(), server)
        auth_pb2_grpc.add_AuthServicer_to_server(LoginServicer(login), server)
        secrets_pb2_grpc.add_SecretsServicer_to_server(_Secrets(secrets or {}), server)
        if open_context:
            upload_pb2_grpc.add_UploadServicer_to_server(_Upload(_context_path(session_id), open_context), server)
        server.add_insecure_port(f"unix:{folder}/s")
        await server.start()
        pump = asyncio.create_task(_pump(channel, session_id, methods, f"{folder}/s"), name="buildkit-session")
        try:
            yield session_id
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await server.stop(None)


async def _pump(channel: grpc.aio.Channel, session_id: str, methods: list[str], path: str) -> None:
    """Copies bytes between the daemon's stream and our server. Its failure shows as a failed solve."""
    reader, writer = await asyncio.open_unix_connection(path, limit=_COPY_BYTES)
    call = stub(channel).Session(
        metadata=(
            ("x-docker-expose-session-uuid", session_id),
            ("x-docker-expose-session-name", "sealift"),
            ("x-docker-expose-session-sharedkey", ""),
            *(("x-docker-expose-session-grpc-method", method) for method in methods),
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
