"""The SDS server: certificates for Envoy, a gRPC stream for each hostname whose first handshake Envoy has met.

An answer is the certificate, or that there is none: Envoy then ends the handshake with an alert, forgets the hostname
and closes the stream. A certificate that is replaced goes out on the open streams; connections stay as they are.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc import aio

from pkg.observability.logging import fields
from svc.krane.ingress.certificates import Certificates, Secret
from svc.krane.ingress.messages import SECRET, TYPE_PREFIX, DeltaDiscoveryRequest, DeltaDiscoveryResponse
from svc.krane.ingress.port import Certificate
from svc.krane.ingress.quarantine import reason

log = logging.getLogger(__name__)

SERVICE = "envoy.service.secret.v3.SecretDiscoveryService"
METHOD = "DeltaSecrets"

# Hostnames for which Envoy holds a certificate at one time, each about 45 KiB of it. Beyond, the oldest are taken from
# it; the next handshake asks for them again, and connections under way are not touched.
MAX_NAMES = 4096
# Of them, those that have no route, or another spelling: anybody can think of names below a wildcard.
MAX_UNROUTED = 256

_GONE = ""  # in place of a version: Envoy was told that there is none


@dataclass(eq=False)
class SecretStream:
    """One stream of Envoy, for one hostname: what it was told, and what of it is acknowledged.

    Attributes:
        name: The hostname as Envoy asks for it, in the client's spelling; "" before it did.
        told: The version sent last; None before the first.
        open: The nonce of the answer that is not acknowledged, and the certificate in it.
        is_evicted: The certificate was taken from Envoy, which is about to close the stream.
    """

    context: Any
    name: str = ""
    told: str | None = None
    open: tuple[str, str] | None = None
    is_evicted: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Secrets:
    """The streams of one Envoy, and the certificates. Lives on one event loop.

    Args:
        is_routed: Whether a hostname has a route.
        on_change: Called when what is acknowledged or refused may be something else.
    """

    def __init__(self, is_routed: Callable[[str], bool], on_change: Callable[[], None]) -> None:
        self.certificates = Certificates()
        self._is_routed = is_routed
        self._on_change = on_change
        self._streams: dict[SecretStream, None] = {}  # in the order in which they were opened
        self._unrouted: dict[SecretStream, None] = {}
        self._behind: dict[SecretStream, int] = {}  # since which version Envoy has not acknowledged what is wanted
        self._writes: set[asyncio.Task[None]] = set()
        self._nonces = itertools.count(1)
        self._version = 0
        self._is_ready = False

    @property
    def names(self) -> int:
        """For how many hostnames Envoy holds a certificate, or waits for the answer."""
        return len(self._streams)

    def set(self, certificates: Mapping[str, Certificate], version: int) -> bool:
        """Replaces all certificates; whether anything changed. `version`: of the desired state that has them."""
        self._version = version
        if not self.certificates.set(certificates):
            return False
        self._update()
        return True

    def mark_ready(self) -> None:
        """Says that the certificates are complete; Envoy gets no answer before this."""
        self._is_ready = True
        self._update()

    def applied_version(self, version: int) -> int:
        """`version`, or the highest of which Envoy has acknowledged every change of a certificate that it holds."""
        return min(version, min(self._behind.values(), default=version + 1) - 1)

    def problems(self) -> list[str]:
        """The certificates that Envoy does not take, and why."""
        refused = sorted(self.certificates.refused.items())
        return [f"envoy refused the certificate {certificate_id}: {words}" for certificate_id, words in refused]

    def handler(self) -> Any:
        """For `aio.Server.add_generic_rpc_handlers`."""
        method = grpc.stream_stream_rpc_method_handler(
            self._serve, DeltaDiscoveryRequest.FromString, DeltaDiscoveryResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    async def close(self) -> None:
        """Ends answers under way. The streams end with the server."""
        for task in self._writes:
            task.cancel()
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def _serve(self, _requests: Any, context: Any) -> None:
        stream = SecretStream(context)
        self._streams[stream] = None
        try:
            while (request := await context.read()) is not aio.EOF:
                self._receive(stream, request)
                await self._tell(stream)
        finally:
            self._forget(stream)

    def _receive(self, stream: SecretStream, request: Any) -> None:
        for name in request.resource_names_subscribe:
            stream.name, stream.told = name, request.initial_resource_versions.get(name)
            self._bound(stream)
        if stream.open is None or request.response_nonce != stream.open[0]:
            return
        certificate_id, stream.open = stream.open[1], None
        if request.HasField("error_detail") and certificate_id:
            words = reason(request.error_detail.message)
            extra = fields(certificate_id=certificate_id, hostname=stream.name, reason=words)
            log.warning("envoy refused a certificate", extra=extra)
            self.certificates.refuse(certificate_id, words)
            self._update()
        elif self._answer(stream) is None:
            self._settled(stream)

    def _settled(self, stream: SecretStream) -> None:
        if self._behind.pop(stream, None) is not None:
            self._on_change()

    def _bound(self, stream: SecretStream) -> None:
        certificates, name = self.certificates, stream.name
        usual = name.lower().removesuffix(".")
        # One hostname has a spelling for each choice of upper and lower case, and Envoy keeps the certificate for each.
        if name != usual or not (certificates.is_exact(name) or self._is_routed(usual)):
            self._unrouted[stream] = None
        for streams, most in ((self._unrouted, MAX_UNROUTED), (self._streams, MAX_NAMES)):
            if len(streams) > most:
                oldest = next(iter(streams))
                oldest.is_evicted = True
                self._forget(oldest)
                self._spawn(self._evict(oldest))

    def _forget(self, stream: SecretStream) -> None:
        self._streams.pop(stream, None)
        self._unrouted.pop(stream, None)
        self._settled(stream)

    async def _evict(self, stream: SecretStream) -> None:
        """Takes the certificate from Envoy, which then closes the stream."""
        async with stream.lock:
            await stream.context.write(self._response(stream, None))

    def _update(self) -> None:
        """Has every stream told that is behind."""
        if not self._is_ready:
            return
        for stream in self._streams:
            if stream.name and self._answer(stream) is not None:
                self._behind.setdefault(stream, self._version)
                if not stream.lock.locked():  # else it is told after the acknowledgement of what is on its way
                    self._spawn(self._tell(stream))
        self._on_change()

    async def _tell(self, stream: SecretStream) -> None:
        async with stream.lock:
            if self._is_ready and stream.name and (answer := self._answer(stream)) is not None:
                await stream.context.write(self._response(stream, answer[0]))

    def _answer(self, stream: SecretStream) -> tuple[Secret | None] | None:
        """What the stream is to be told next; None: nothing."""
        if stream.is_evicted:
            return None
        secret = self.certificates.find(stream.name)
        version = _GONE if secret is None else secret.version
        return None if stream.told == version else (secret,)

    def _response(self, stream: SecretStream, secret: Secret | None) -> Any:
        nonce = str(next(self._nonces))
        response = DeltaDiscoveryResponse(type_url=TYPE_PREFIX + SECRET, nonce=nonce, system_version_info=nonce)
        if secret is None:
            response.removed_resources.append(stream.name)
            stream.told, stream.open = _GONE, (nonce, "")
        else:
            added = response.resources.add(name=stream.name, version=secret.version)
            added.resource.type_url, added.resource.value = TYPE_PREFIX + SECRET, secret.named(stream.name)
            stream.told, stream.open = secret.version, (nonce, secret.certificate_id)
        return response

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work, name="sds-answer")
        self._writes.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._writes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a stream ended before its answer", extra=fields(error=str(error)))
