"""For how many names the SDS server keeps certificates with Envoy, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from pkg.testing.wait import WAIT_S
from svc.krane.ingress import secrets
from svc.krane.ingress.messages import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from svc.krane.ingress.secrets import METHOD, SERVICE, Secrets
from svc.krane.ingress.testing import until
from svc.krane.testing.certificates import by_id, certificate

HOST = "a.example"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Secrets, Any]]:
    """The server with a certificate for HOST, which has a route, and the method that Envoy calls."""
    server, kept = aio.server(), Secrets(lambda name: name == HOST, lambda: None)
    kept.set(by_id(certificate(HOST, "*.example")), 1)
    kept.mark_ready()
    server.add_generic_rpc_handlers((kept.handler(),))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    async with aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        yield (
            kept,
            channel.stream_stream(
                f"/{SERVICE}/{METHOD}", DeltaDiscoveryRequest.SerializeToString, DeltaDiscoveryResponse.FromString
            ),
        )
    await server.stop(0)
    await kept.close()


async def asked(method: Any, names: Iterable[str]) -> list[Any]:
    """A stream for each name, with its answer read."""
    streams = []
    for name in names:
        stream = method()
        await stream.write(DeltaDiscoveryRequest(resource_names_subscribe=[name]))
        answer = await stream.read()
        assert [one.name for one in answer.resources] == [name]
        streams.append(stream)
    return streams


@pytest.mark.parametrize("flood", [["A.example", "a.Example", "a.example.", "A.EXAMPLE"], list("bcde")])
async def test_a_stranger_displaces_no_usual_name(
    served: tuple[Secrets, Any], flood: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other spellings of a known name are bounded as made-up names are, all together; the usual one stays."""
    monkeypatch.setattr(secrets, "MAX_UNROUTED", 2)
    kept, method = served
    [usual] = await asked(method, [HOST])
    others = await asked(method, [name if "." in name else f"{name}.example" for name in flood])
    for stream in others[:2]:
        async with asyncio.timeout(WAIT_S):
            gone = await stream.read()
        assert len(gone.removed_resources) == 1
        await stream.done_writing()
    await until(lambda: kept.names == 3, "the usual one and two others are left")
    kept.set(by_id(certificate(HOST, "*.example", days=80)), 2)
    assert [one.name for one in (await usual.read()).resources] == [HOST]
