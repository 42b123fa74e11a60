"""What tests do as krane of a region: register, watch, report; and what they place there."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.regions import queries as regions
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2 as deployment
from svc.api.testing import REGION, RunningApi

NOW = 1_700_000_000_000


async def register(api: RunningApi, region: str = REGION, capabilities: Sequence[str] = ()) -> str:
    """Registers krane of the region; the epoch."""
    request = pb.RegisterRequest(
        region=region, instance_id="inst_k", version="1", runtime="docker", engine="Docker", capabilities=capabilities
    )
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
    async with asyncio.timeout(WAIT_S):
        while not found or not found[-1].HasField("head"):
            found.append(await call.read())
    return found


def kinds(messages: list[pb.WatchDesiredStateResponse]) -> list[str]:
    """Which events the messages carry."""
    return [message.WhichOneof("event") or "" for message in messages]


def place(
    connection: Connection, deployment_id: str, *, stopped: bool = False, image_ref: str = "engine:sha256:1"
) -> int:
    """Says that `REGION` is to run the deployment; the version."""
    return regions.place(
        connection,
        deployment_id=deployment_id,
        region=REGION,
        image_ref=image_ref,
        stopped=stopped,
        now=now_ms(),
    )


def seen(
    deployment_id: str,
    state: deployment.InstanceState.ValueType,
    at: int = NOW,
    replica: int = 0,
    name: str = "app",
) -> pb.InstanceReport:
    """A report of one instance."""
    return pb.InstanceReport(
        instance_id=name and f"{name}-{replica}",
        deployment_id=deployment_id,
        replica=replica,
        state=state,
        reason="it said \0 goodbye",
        exit_code=0,
        log_tail=[f"line {n}" for n in range(110)],
        observed_at=at,
        restarts=2,
    )


async def report(api: RunningApi, *instances: pb.InstanceReport, complete: bool = False) -> None:
    """Reports the instances as krane of `REGION`."""
    await api.krane.cluster.ReportInstances(
        pb.ReportInstancesRequest(region=REGION, instances=instances, complete=complete)
    )
