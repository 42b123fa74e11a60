"""What a scale and a restart change in the desired state, and what their undo leaves, on both databases."""

from sqlalchemy import Connection

from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState, Status
from pkg.environments import queries as environments
from pkg.feed import queries as feed
from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationKind, OperationStatus
from pkg.regions import queries as regions
from pkg.scaling import effects
from pkg.testing.sample_project import add_sample_project, record_deploy


def begun(
    c: Connection, target: str, kind: OperationKind, number: int, replicas: int | None = None, process: str = ""
) -> Operation:
    """An operation that runs; `number` orders it."""
    found = deployments.get(c, target)
    assert found is not None
    operations.add(
        c,
        {
            "id": f"op_{kind}_{number}", "workspace_id": found.workspace_id, "environment_id": found.environment_id,
            "kind": kind, "status": OperationStatus.RUNNING, "seq": number, "deployment_id": target,
            "previous_deployment_id": None, "notices_json": [], "traceparent": "", "created_at": 1,
            "replicas": replicas, "process": process,
        },
    )  # fmt: skip
    operation = operations.get(c, f"op_{kind}_{number}")
    assert operation is not None
    return operation


def placed(c: Connection) -> tuple[str, str]:
    """(deployment, environment) of one that runs in region local."""
    sample = add_sample_project(c)
    made = record_deploy(c, sample, image="nginx:1").id
    for status in (Status.DEPLOYING, Status.NETWORK, Status.READY):
        assert deployments.enter(c, made, status, 1)
    assert deployments.set_run_state(c, made, RunState.STARTING, 1)
    regions.register(c, name="local", krane_instance_id="k", krane_version="1", runtime="docker", engine="d", now=1)
    regions.place(c, deployment_id=made, region="local", image_ref="nginx:1", stopped=False, now=1)
    return made, sample.production_id


async def test_a_number_is_told_once_and_taken_back(db: Database) -> None:
    """Promise: the regions that run the environment's deployments read it again once; the latest that runs counts."""

    def run(c: Connection) -> None:
        made, environment_id = placed(c)
        head = feed.head(c).version
        older = begun(c, made, OperationKind.SCALE, 5, 2)
        effects.apply(c, older, 2)
        effects.apply(c, older, 3)
        assert environments.replicas(c, [environment_id]) == {environment_id: 2}
        (change,) = feed.after(c, "local", head)
        assert (change.kind, change.key) == ("topology", made)
        newer = begun(c, made, OperationKind.SCALE, 6, 4)
        effects.apply(c, newer, 4)
        effects.apply(c, older, 5)
        assert environments.replicas(c, [environment_id]) == {environment_id: 4}
        overtaking = effects.newer(c, older)
        assert overtaking is not None
        assert overtaking.id == newer.id
        effects.undo(c, older, 6)
        assert environments.replicas(c, [environment_id]) == {environment_id: 4}
        effects.undo(c, newer, 7)
        assert environments.replicas(c, [environment_id]) == {environment_id: 2}
        operations.end(c, newer.id, OperationStatus.FAILED, 8)
        effects.undo(c, older, 9)
        assert environments.replicas(c, [environment_id]) == {}

    await db.write(run)


async def test_a_restart_is_of_one_deployment(db: Database) -> None:
    """Promise: its number is that of the intent; undone, it is that of the restart that is done."""

    def run(c: Connection) -> None:
        made, _ = placed(c)

        def generation() -> int:
            found = deployments.get(c, made)
            assert found is not None
            return found.restart_generation

        done = begun(c, made, OperationKind.RESTART, 7)
        effects.apply(c, done, 2)
        assert operations.end(c, done.id, OperationStatus.DONE, 3)
        failing = begun(c, made, OperationKind.RESTART, 9)
        effects.apply(c, failing, 4)
        assert generation() == 9
        effects.undo(c, failing, 5)
        assert generation() == 7

    await db.write(run)


async def test_numbers_of_processes_and_web_do_not_meet(db: Database) -> None:
    """Promise: of each process the latest scale that runs counts, and undoing one gives back what the others want."""

    def run(c: Connection) -> None:
        made, environment_id = placed(c)

        def numbers() -> dict[str, int]:
            return environments.process_replicas(c, [environment_id])[environment_id]

        web = begun(c, made, OperationKind.SCALE, 5, 4)
        older = begun(c, made, OperationKind.SCALE, 6, 2, "worker")
        other = begun(c, made, OperationKind.SCALE, 7, 3, "clock")
        newer = begun(c, made, OperationKind.SCALE, 8, 0, "worker")
        for operation in (web, older, other, newer):
            effects.apply(c, operation, 2)
        assert numbers() == {"worker": 0, "clock": 3}
        assert environments.replicas(c, [environment_id]) == {environment_id: 4}
        overtaking = effects.newer(c, older)
        assert overtaking is not None
        assert overtaking.id == newer.id
        assert effects.newer(c, web) is None
        head = feed.head(c).version
        effects.undo(c, newer, 3)
        effects.undo(c, newer, 3)
        assert len(feed.after(c, "local", head)) == 1
        assert numbers() == {"worker": 2, "clock": 3}
        operations.end(c, newer.id, OperationStatus.FAILED, 4)
        effects.undo(c, older, 5)
        assert numbers() == {"clock": 3}
        assert environments.replicas(c, [environment_id]) == {environment_id: 4}

    await db.write(run)
