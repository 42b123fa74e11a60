"""What the journal's helpers promise."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from restate.exceptions import RetryableError

from pkg.deployments.status import Status
from pkg.restate.testing import RestateServer
from svc.worker.handlers import check_code
from svc.worker.testing.harness import worker_harness
from svc.worker.workflows.deploy.workflow import CODE_VERSION


@pytest.fixture(scope="module")
def replaying() -> Iterator[RestateServer]:
    with RestateServer(always_replay=True) as server:
        yield server


def test_the_same_code_goes_on() -> None:
    """Nothing happens in the ordinary case; otherwise it waits, it does not end the invocation."""
    check_code(3, 3, "Deploy dep_1")
    with pytest.raises(RetryableError, match=r"Deploy dep_1 was started by code version 2, this worker has 3"):
        check_code(2, 3, "Deploy dep_1")


async def test_other_code_refuses_and_the_old_code_finishes(
    replaying: RestateServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New code behind the same address leaves a running deploy alone, with an error that an operator can read."""
    async with worker_harness(replaying, tmp_path) as harness:
        harness.region.behavior.by_default = "starting"
        deployment_id = await harness.deploy(image="a")
        await harness.reaches(deployment_id, Status.DEPLOYING)
        monkeypatch.setattr("svc.worker.workflows.deploy.workflow.CODE_VERSION", CODE_VERSION + 1)

        async def refused() -> bool:
            found = await harness.deps.restate.sql(
                "select last_failure from sys_invocation where target_service_name = 'Deploy' "
                f"and target_service_key = '{deployment_id}'"
            )
            return any(f"started by code version {CODE_VERSION}" in (row.get("last_failure") or "") for row in found)

        await harness.until(refused, "Restate knows why it does not continue")
        harness.region.behavior.by_default = "healthy"
        harness.region.changed()
        monkeypatch.undo()
        await harness.ended(deployment_id, Status.READY)
