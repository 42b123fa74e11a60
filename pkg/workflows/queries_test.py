"""Promise: every status is classified: ended, not started, or under way."""

from sqlalchemy import Connection, insert, update

from pkg.builds.model import BuildStatus
from pkg.builds.tables import builds
from pkg.db import Database
from pkg.deployments.status import Status
from pkg.deployments.tables import deployments
from pkg.operations.model import OperationStatus
from pkg.operations.tables import operations
from pkg.testing.sample_project import SampleProject, add_sample_project, record_deploy
from pkg.workflows import outbox, queries
from pkg.workflows.building import BUILD
from pkg.workflows.deploy import DEPLOY
from pkg.workflows.switch import SWITCH
from pkg.workflows.tables import dispatches


async def test_a_drain_waits_for_what_has_begun(db: Database) -> None:
    """What has ended is not listed; what Restate never had stays recorded; a deploy's build is part of the deploy."""
    sample = await db.write(add_sample_project)

    def write(connection: Connection) -> dict[str, bool]:
        is_begun = {}
        for status in Status:
            found = record_deploy(connection, sample, image="nginx:1", branch=status)
            connection.execute(update(deployments).where(deployments.c.id == found.id).values(status=status))
            if not status.is_terminal:
                is_begun[found.id] = status is not Status.PENDING
        sent = record_deploy(connection, sample, branch="sent")
        for row in outbox.due(connection):
            if row.key == sent.id:
                outbox.mark_sent(connection, row.id, "inv_1", 1)
        # forgotten by Restate: to be sent again
        connection.execute(update(dispatches).where(dispatches.c.key == sent.id).values(sent_at=None))
        is_begun[sent.id] = True
        for operation in OperationStatus:
            _add_operation(connection, sample, f"op_{operation}", operation, sent.id)
            if not operation.is_terminal:
                is_begun[f"op_{operation}"] = operation is not OperationStatus.PENDING
        for build in BuildStatus:
            _add_build(connection, sample, f"bld_{build}", build)
            if not build.is_terminal:
                is_begun[f"bld_{build}"] = build is not BuildStatus.PENDING
        return is_begun

    is_begun = await db.write(write)
    found = await db.read(queries.awaited_by_drain)
    assert {work.key: work.is_begun for work in found} == is_begun
    assert [work.key for work in found] == sorted(is_begun)
    assert {work.workflow: work.kind for work in found} == {DEPLOY: "deploy", SWITCH: "rollback", BUILD: "build"}
    assert await db.read(queries.status_of, "op_failed") == "failed"
    assert await db.read(queries.status_of, "bld_running") == "running"
    assert await db.read(queries.status_of, "dep_none") is None


def _add_operation(connection: Connection, sample: SampleProject, key: str, status: str, deployment_id: str) -> None:
    connection.execute(
        insert(operations).values(
            id=key, workspace_id=sample.workspace_id, environment_id=sample.production_id, kind="rollback",
            status=status, seq=1, deployment_id=deployment_id, notices_json=[], traceparent="", created_at=1,
        )
    )  # fmt: skip
    outbox.add(connection, SWITCH, key, 1)


def _add_build(connection: Connection, sample: SampleProject, key: str, status: str) -> None:
    connection.execute(
        insert(builds).values(
            id=key, workspace_id=sample.workspace_id, project_id=sample.project_id, status=status, attempt=0,
            build_context_path="", dockerfile_path="", target="", platform="", build_args_json={}, image_ref="",
            traceparent="", created_at=1,
        )
    )  # fmt: skip
    outbox.add(connection, BUILD, key, 1)
