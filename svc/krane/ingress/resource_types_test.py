"""A throw-away resource type beside Envoy's four."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.ads import AdsServer
from svc.krane.ingress.ingress import EnvoyIngress
from svc.krane.ingress.listener import ListenerSpec
from svc.krane.ingress.messages import TYPE_PREFIX, DiscoveryRequest, DiscoveryResponse
from svc.krane.ingress.resource_types import RESOURCE_TYPES, ResourceType
from svc.krane.ingress.session import Session

SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


class Secrets(ResourceType):
    """Secrets by name, as SDS asks for them: each name is its own secret."""

    name = SECRET

    def next_answer(self, session: Session) -> Any | None:
        """See `ResourceType`."""
        subscription = session.subscriptions[SECRET]
        if not subscription.open or not subscription.added:
            return None
        names, subscription.added = subscription.added, frozenset()
        return session.answer(SECRET, [name.encode() for name in sorted(names)])


@asynccontextmanager
async def stream(folder: Path, ingress: EnvoyIngress) -> AsyncIterator[Any]:
    """An ADS stream to the ingress, as Envoy opens it."""
    server = AdsServer(ingress, folder / "ads.sock")
    await server.start()
    channel = grpc.aio.insecure_channel(f"unix:{folder}/ads.sock")
    call = channel.stream_stream(
        METHOD,
        request_serializer=DiscoveryRequest.SerializeToString,
        response_deserializer=DiscoveryResponse.FromString,
    )()
    try:
        yield call
    finally:
        call.cancel()
        await channel.close()
        await server.stop()


async def test_a_new_type_is_one_class_and_one_line(short_dir: Path) -> None:
    """Promise: what Envoy asks of a registered type is answered, acknowledged and, when refused, reported."""
    ingress = EnvoyIngress(ListenerSpec("127.0.0.1", 7480), resource_types=(*RESOURCE_TYPES, Secrets))
    ingress.mark_ready()
    async with stream(short_dir, ingress) as call:
        await call.write(DiscoveryRequest(type_url=TYPE_PREFIX + SECRET, resource_names=["a.x", "b.x"]))
        answer = await call.read()
        assert answer.type_url == TYPE_PREFIX + SECRET
        assert [resource.value for resource in answer.resources] == [b"a.x", b"b.x"]
        refusal = DiscoveryRequest(type_url=answer.type_url, resource_names=["a.x", "b.x"], response_nonce=answer.nonce)
        refusal.error_detail.message = "no such key"
        await call.write(refusal)
        assert await ingress.wait_nacks([], WAIT_S)
        assert [nack.message for nack in (await ingress.wait_version(0, 0)).nacks] == ["Secret: no such key"]
