"""Registers the region and sends heartbeats."""

import asyncio
import logging
import os
import platform
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc.aio

from pkg.buildinfo import current
from pkg.errors import FailedPrecondition
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.contact import Contact
from svc.krane.controller.kinds import CAPABILITIES
from svc.krane.runtime.replicas import Alone, Replicas

log = logging.getLogger(__name__)

DEFAULT_HEARTBEAT_S = 10
MAX_REASON_CHARS = 256
MAX_HOST_NAME_CHARS = 253


@dataclass
class Registration:
    """Registers one region, with what its krane and its machine can do, and sends heartbeats.

    Attributes:
        engine: what the engine says of itself; "" before it has answered. A change is reported within a heartbeat.
        replicas: set before `run`.
    """

    api: Contact
    region: str
    instance_id: str
    runtime: str
    engine: str = ""
    replicas: Replicas = field(default_factory=Alone)

    async def register(self) -> pb.RegisterResponse:
        """Registers, trying for ever while the api is away or refuses."""
        backoff = Backoff(0.1, 5)
        request = pb.RegisterRequest(
            region=self.region,
            instance_id=self.instance_id,
            version=current().version,
            runtime=self.runtime,
            engine=self.engine,
            capabilities=sorted(CAPABILITIES),
            architecture=platform.machine().replace("x86_64", "amd64").replace("aarch64", "arm64"),
            host_name=socket.gethostname()[:MAX_HOST_NAME_CHARS],
            capacity=pb.HostCapacity(cpus=os.cpu_count() or 0, memory_mib=_memory_mib()),
        )
        while True:
            try:
                return await self.api.register(request)
            except grpc.aio.AioRpcError as error:
                extra = fields(grpc_status=error.code().name, error=error.details())
                said = "the api did not take the registration; trying again"
                if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                    said = (
                        "the api does not know the key of [api] key_file; trying again. "
                        "The api reads the keys of its [[bootstrap_keys]] when it starts"
                    )
                log.warning(said, extra=extra)
            await asyncio.sleep(backoff.next_s())

    async def run(self, installation_id: str, why_engine_away: Callable[[], Awaitable[str]]) -> None:
        """Registers again with what is known of the engine by then, and sends heartbeats until cancelled.

        `why_engine_away` asks the engine for an answer: "" if it gives one. Bounded in time, and raises nothing.

        Raises:
            FailedPrecondition: the api is of another installation than the instances here.
        """
        while True:
            engine = self.engine
            answer = await self.register()
            if answer.installation_id != installation_id:
                raise FailedPrecondition(
                    "krane.other_installation",
                    f"the api belongs to installation {answer.installation_id!r}, the stored snapshot and the "
                    f"instances here to {installation_id!r}; point krane at its own api, or, to give the old "
                    "instances up, remove desired.snapshot in its state directory",
                )
            await self._send_heartbeats(
                float(answer.heartbeat_interval_s or DEFAULT_HEARTBEAT_S), engine, why_engine_away
            )

    async def _send_heartbeats(
        self, interval_s: float, engine: str, why_engine_away: Callable[[], Awaitable[str]]
    ) -> None:
        """Sends heartbeats until the api no longer knows the region, or the engine is another one."""
        while True:
            await asyncio.sleep(interval_s)
            if self.engine != engine:
                return
            try:
                answer = await self.api.heartbeat(
                    pb.HeartbeatRequest(
                        region=self.region,
                        instance_id=self.instance_id,
                        engine_away=(await why_engine_away())[:MAX_REASON_CHARS],
                        is_follower=self.replicas.is_follower,
                        is_announced=self.replicas.is_announced,
                    )
                )
                self.replicas.heard_of_term(answer.leader_term)
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION):
                    return
                log.info("a heartbeat did not arrive", extra=fields(grpc_status=error.code().name))


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
