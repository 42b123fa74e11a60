"""Promise: an operation begins once and ends once, with the reason that was noted first or last."""

from sqlalchemy import Connection

from pkg import intents
from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState, Status
from pkg.operations import queries
from pkg.operations.model import OperationStatus
from pkg.testing.sample_project import add_sample_project, deployment_of, environment_of, record_deploy


async def test_an_operation_ends_once(db: Database) -> None:
    """What comes after its end changes nothing."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        target = record_deploy(c, sample, image="nginx:1")
        for status in (Status.DEPLOYING, Status.NETWORK, Status.READY):
            assert deployments.enter(c, target.id, status, 1)
        assert deployments.set_run_state(c, target.id, RunState.STARTING, 1)
        operation_id = intents.record_stop(
            c,
            environment=environment_of(c, sample.production_id),
            target=deployment_of(c, target.id),
            traceparent="",
            now=1,
        )
        assert [operation.id for operation in queries.in_flight(c)] == [operation_id]
        assert queries.begin(c, operation_id)
        assert not queries.begin(c, operation_id)
        queries.note_error(c, operation_id, code="a.b", message="x" * 5000)
        assert queries.end(c, operation_id, OperationStatus.DONE, 9, notices=("stopped",))
        assert not queries.end(c, operation_id, OperationStatus.FAILED, 10)
        ended = queries.get(c, operation_id, workspace_id=sample.workspace_id)
        assert ended is not None
        assert (ended.status, ended.ended_at, ended.notices_json) == (OperationStatus.DONE, 9, ["stopped"])
        assert queries.in_flight(c) == []
        assert queries.get(c, operation_id, workspace_id="ws_other") is None

    await db.write(run)
