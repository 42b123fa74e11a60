"""Reports of instances, as krane sends them."""

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2 as deployment
from svc.api.testing import REGION, RunningApi

NOW = 1_700_000_000_000


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
