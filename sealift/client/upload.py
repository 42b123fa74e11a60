"""Uploads an archive to the object store with a PUT to a presigned URL. Blocking, standard library only."""

import contextlib
import http.client
import os
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from io import FileIO
from types import MappingProxyType
from urllib.parse import urlsplit

from sealift.client.address import Address, AddressError
from sealift.client.archive import Archive, Stopped
from sealift.client.connection_problems import problem_of
from sealift.client.context import size_text
from sealift.client.errors import ClientError, InputError, UnreachableError
from sealift.client.http_connection import connect
from sealift.client.proxy import proxy_for
from sealift.client.retry import Retry

CHUNK_BYTES = 256 << 10
SOCKET_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 120.0
RETRY = Retry(first_s=0.3, max_s=4.0, tries=5)
_REDIRECTS = range(300, 400)
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})

Progress = Callable[[int, int], None]


class UploadExpiredError(ClientError):
    """The URL was refused: expired, or for other content. Request a new one."""

    default_code = "upload.expired"


class InsecureUploadError(ClientError):
    """The URL has no TLS, although the server that named it is reached by TLS."""

    default_code = "upload.insecure"


def upload_archive(
    archive: Archive,
    url: str,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
    retry: Retry = RETRY,
    traceparent: str = "",
    ca_certificates: str = "",
    requires_tls: bool = False,
) -> None:
    """PUT an archive to `url`; each try starts from the beginning.

    Args:
        archive: the archive.
        url: presigned; never shown, because its query grants access.
        headers: that the server names beside the URL.
        progress: called with (bytes sent, total bytes), in this thread.
        stop: set it to stop within a chunk.
        retry: policy for lost connections and retryable responses.
        traceparent: W3C trace context for the store; "" for none.
        ca_certificates: PEM of certificate authorities that are trusted beside the system's.
        requires_tls: refuses an http URL, unless it stays on this machine.

    Raises:
        InsecureUploadError: the URL has no TLS.
        UploadExpiredError: the store answered 401, 403 or 410.
        InputError: the store refused the content.
        UnreachableError: all tries failed.
        Stopped: `stop` was set.
    """
    server = _server(url)
    if requires_tls and not (server.is_tls or server.is_local):
        raise InsecureUploadError(
            f"the server is reached by HTTPS, but wants the build context to be sent to {server}, without TLS: nothing "
            "was sent. The operator sets external_url of [objects] or of the api's [http] to an https:// URL"
        )
    proxy = proxy_for(server)
    stopping = stop or threading.Event()
    waits = retry.waits()
    while True:
        try:
            connection = connect(server, proxy, timeout_s=SOCKET_TIMEOUT_S, ca_certificates=ca_certificates)
            status, answer = _put(archive, url, headers, connection, progress, stopping, traceparent)
        except (OSError, http.client.HTTPException) as error:
            if problem := problem_of(str(error), server):
                raise UnreachableError(
                    f"can't upload the build context: {problem.message}", code=problem.code
                ) from None
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        else:
            if 200 <= status < 300:
                return
            if status in (401, 403, 410):
                raise UploadExpiredError(f"the object store refused the upload URL ({status}: {answer})")
            if status in _REDIRECTS:
                raise InputError(
                    f"the object store sends the upload to another address ({status}: {answer}). The upload URL is "
                    "good for its own host alone: the operator sets url and external_url of [objects] to the endpoint "
                    "of the bucket's region",
                    code="upload.refused",
                )
            if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise InputError(
                    f"the object store, or a proxy before it, takes no upload of {size_text(archive.size_bytes)} "
                    f"({status}: {answer}). Exclude what the build does not need with .dockerignore, or let the "
                    "operator raise the limit there",
                    code="upload.refused",
                )
            if status not in _TRY_AGAIN:
                raise InputError(f"the object store refused the archive ({status}: {answer})", code="upload.refused")
            why = f"it answered {status}: {answer}"
        wait = next(waits, None)
        if wait is None:
            raise UnreachableError(
                f"can't upload the build context to {server}{f' through {proxy}' if proxy else ''} ({why}); try again",
                code="upload.failed",
            )
        if stopping.wait(wait):
            raise Stopped


def _put(
    archive: Archive,
    url: str,
    headers: Mapping[str, str],
    connection: http.client.HTTPConnection,
    progress: Progress,
    stop: threading.Event,
    traceparent: str,
) -> tuple[int, str]:
    """One try: the status and the beginning of the response."""
    parts = urlsplit(url)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.putrequest("PUT", path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", parts.netloc.rpartition("@")[2])
        connection.putheader("Content-Length", str(archive.size_bytes))
        connection.putheader("Content-Type", "application/gzip")
        connection.putheader("User-Agent", "sealift")
        for name, value in headers.items():
            connection.putheader(name, value)
        if traceparent:
            connection.putheader("traceparent", traceparent)
        connection.endheaders()
        # If the store refuses the upload early, its response has the reason.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            _send(connection, archive.file, archive.size_bytes, progress, stop)
        if connection.sock:
            connection.sock.settimeout(ANSWER_TIMEOUT_S)
        answer = connection.getresponse()
        text = answer.read(500).decode("utf-8", "replace")
        return answer.status, " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())[:200]
    finally:
        connection.close()


def _server(url: str) -> Address:
    """The server of a presigned URL; path and query must not appear in messages."""
    parts = urlsplit(url)
    try:
        return Address.parse(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    except AddressError:
        raise ClientError("the upload URL from the server is not valid", code="upload.bad_url") from None


def _send(
    connection: http.client.HTTPConnection, file: FileIO, size: int, progress: Progress, stop: threading.Event
) -> None:
    descriptor, sent = file.fileno(), 0
    progress(0, size)
    reported_at = time.monotonic()
    while sent < size:
        if stop.is_set():
            raise Stopped
        chunk = os.pread(descriptor, CHUNK_BYTES, sent)
        connection.send(chunk)
        sent += len(chunk)
        now = time.monotonic()
        if now - reported_at > 0.05 or sent == size:
            progress(sent, size)
            reported_at = now
