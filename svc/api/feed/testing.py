"""What tests do as krane of a region: register, watch, read to the head; and what they place there."""

import asyncio
from typing import Any

from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.regions import queries as regions
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.api.testing import REGION, RunningApi

PATIENCE_S = 5


async def register(api: RunningApi, region: str = REGION) -> str:
    """Registers krane of the region; the epoch."""
    request = pb.RegisterRequest(region=region, instance_id="inst_k", version="1", runtime="docker", engine="Docker")
    answer = await api.krane.cluster.Register(request)
    assert answer.installation_id.startswith("inst_")
    return str(answer.epoch)


def watch(api: RunningApi, epoch: str = "", after_version: int = 0) -> Any:
    """The open stream of `REGION`."""
    return api.krane.cluster.WatchDesiredState(
        pb.WatchDesiredStateRequest(region=REGION, epoch=epoch, after_version=after_version)
    )


async def until_head(call: Any) -> list[pb.WatchDesiredStateResponse]:
    """All messages up to the next HeadReached, with it."""
    found: list[pb.WatchDesiredStateResponse] = []
    async with asyncio.timeout(PATIENCE_S):
        while not found or not found[-1].HasField("head"):
            found.append(await call.read())
    return found


def kinds(messages: list[pb.WatchDesiredStateResponse]) -> list[str]:
    """Which events the messages carry."""
    return [message.WhichOneof("event") or "" for message in messages]


def place(connection: Connection, deployment_id: str, *, stopped: bool = False) -> int:
    """Says that `REGION` is to run the deployment; the version."""
    return regions.place(
        connection,
        deployment_id=deployment_id,
        region=REGION,
        image_ref="engine:sha256:1",
        stopped=stopped,
        now=now_ms(),
    )
