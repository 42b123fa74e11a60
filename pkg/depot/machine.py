"""The machine of one build: waiting for it, keeping it by heartbeats, and noticing that it is gone."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import grpc.aio

from pkg.buildkit import ChannelLostError, mtls_channel, wait_ready
from pkg.builds.failures import BuilderUnavailable, FailureKind
from pkg.depot.api import DepotApi, DepotBuild, RefusedError, open_api
from pkg.depot.config import DepotConfig

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take at Depot, in seconds.

    Attributes:
        heartbeat_s: between two heartbeats.
        heartbeats: of one call, after which Depot confirms them.
        heartbeat_timeout_s: of one call.
        heartbeats_lost_s: without a confirmation for so long, the build is given up.
        endpoint_s: until Depot has a machine.
        ready_s: until the machine answers: it may load a large cache first.
        ready_pause_s: between two questions whether it does.
        probe_s: between two questions whether it still does.
        probes_missed: so many in a row without an answer, and the machine is gone.
    """

    heartbeat_s: float = 5.0
    heartbeats: int = 5
    heartbeat_timeout_s: float = 30.0
    heartbeats_lost_s: float = 60.0
    endpoint_s: float = 300.0
    ready_s: float = 300.0
    ready_pause_s: float = 1.0
    probe_s: float = 15.0
    probes_missed: int = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a machine. The certificates are of this build alone.

    Attributes:
        address: host:port.
        server_name: in the machine's certificate.
        ca: PEM, that signed it.
        cert: PEM, with which the client proves itself.
        key: PEM, of `cert`.
    """

    address: str
    server_name: str
    ca: bytes = field(repr=False)
    cert: bytes = field(repr=False)
    key: bytes = field(repr=False)


async def acquire(api: DepotApi, build: DepotBuild, timeout_s: float) -> Endpoint:
    """Waits for a machine.

    Raises:
        BuildFailed, BuilderUnavailable: see `DepotApi`; BuilderUnavailable also when Depot has none.
    """
    active = await api.endpoint(build, timeout_s)
    if active is None:
        raise BuilderUnavailable(FailureKind.BUILDER_LOST, "Depot ended the wait for a machine without giving one")
    return Endpoint(
        address=active.endpoint,
        server_name=active.server_name,
        ca=active.ca_cert.cert.encode(),
        cert=active.cert.cert.cert.encode(),
        key=active.cert.key.key.encode(),
    )


@asynccontextmanager
async def connect(endpoint: Endpoint, timing: Timing, timeout_s: float) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the BuildKit of the machine, once that answers.

    Raises:
        ChannelLostError: it did not within `timeout_s`.
    """
    async with mtls_channel(
        endpoint.address, server_name=endpoint.server_name, ca=endpoint.ca, key=endpoint.key, cert=endpoint.cert
    ) as channel:
        await wait_ready(channel, timeout_s, pause_s=timing.ready_pause_s)
        yield channel


async def keep(config: DepotConfig, build: DepotBuild, timing: Timing) -> NoReturn:
    """Sends heartbeats until it is cancelled; a call that failed is made again over another connection.

    Raises:
        BuilderUnavailable: Depot refuses them, or has confirmed none for `heartbeats_lost_s`.
    """
    clock = asyncio.get_running_loop().time
    confirmed_at = clock()
    while True:
        try:
            async with open_api(config) as api:
                while True:
                    begun_at = clock()
                    await api.report_health(
                        build,
                        every_s=timing.heartbeat_s,
                        count=timing.heartbeats,
                        timeout_s=timing.heartbeat_timeout_s,
                    )
                    confirmed_at = clock()
                    # a call that Depot ends early is made again no sooner than the next heartbeat
                    await asyncio.sleep(begun_at + timing.heartbeat_s - confirmed_at)
        except RefusedError as refused:
            why = f"Depot does not keep the machine any more ({refused})"
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, why) from None
        except BuilderUnavailable as away:
            if clock() - confirmed_at > timing.heartbeats_lost_s:
                why = f"Depot has confirmed no heartbeat for {timing.heartbeats_lost_s:g} s: {away.message}"
                raise BuilderUnavailable(FailureKind.BUILDER_LOST, why) from None
        await asyncio.sleep(min(timing.heartbeat_s, 1.0))


async def watch(channel: grpc.aio.Channel, timing: Timing) -> NoReturn:
    """Asks the machine from time to time: one that has lost its power closes no connection.

    Raises:
        ChannelLostError: no answer `probes_missed` times in a row.
    """
    missed = 0
    while True:
        await asyncio.sleep(timing.probe_s)
        try:
            await wait_ready(channel, timing.probe_s)
            missed = 0
        except ChannelLostError as lost:
            missed += 1
            if missed == timing.probes_missed:
                raise ChannelLostError(f"the machine does not answer any more ({lost})") from None


async def unless(work: Coroutine[Any, Any, T], *watchers: Coroutine[Any, Any, NoReturn]) -> T:
    """The result of `work`, which is cancelled, and awaited, when a watcher raises: then that error comes out."""
    working = asyncio.create_task(work)
    watching = [asyncio.create_task(watcher) for watcher in watchers]
    try:
        await asyncio.wait({working, *watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            for task in watching:
                if task.done():
                    task.result()
        return working.result()
    finally:
        working.cancel()
        for task in watching:
            task.cancel()
        await asyncio.gather(working, *watching, return_exceptions=True)
