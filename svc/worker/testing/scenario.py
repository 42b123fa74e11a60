"""What tests of switches and of retiring begin and end with."""

from pkg.deployments.status import Status
from pkg.operations.model import Operation, OperationStatus
from svc.worker.testing.harness import WorkerHarness


async def two_deployments(harness: WorkerHarness) -> tuple[str, str]:
    """Deploys twice; the ids of the one on standby and of the live one."""
    first = await harness.deploy(image="a")
    await harness.ended(first, Status.READY)
    second = await harness.deploy(image="b")
    await harness.ended(second, Status.READY)
    return first, second


def assert_done(operation: Operation) -> None:
    """The operation has succeeded."""
    assert operation.status is OperationStatus.DONE, f"{operation.error_code}: {operation.error_message}"
