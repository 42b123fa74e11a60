"""What a deletion promises, on a real Restate and a real database, also with every step replayed."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from pkg import audit, intents
from pkg.builds import contexts
from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.clock import now_ms
from pkg.deletions import queries as deletions
from pkg.deletions.model import Deletion, DeletionKind, DeletionStatus, DeletionStep
from pkg.deployments.status import RunState, Status
from pkg.domains import queries as domains
from pkg.domains.model import DomainStatus
from pkg.domains.names import parse_domain
from pkg.environments import queries as environments
from pkg.errors import FailedPrecondition
from pkg.ids import new_id
from pkg.operations.model import OperationKind
from pkg.projects import queries as projects
from pkg.projects.model import Project
from pkg.regions import queries as regions
from pkg.regions.tables import regions as region_rows
from pkg.restate.testing import RestateServer
from pkg.routes import domains as domain_routes
from pkg.routes import queries as routes
from pkg.routes.tables import route_history
from pkg.telemetry import UsageFigures, UsageRecord
from pkg.workflows.switch import SWITCH
from pkg.workflows.teardown import TEARDOWN
from svc.worker.testing.harness import WorkerHarness, worker_harness
from svc.worker.testing.scenario import two_deployments
from svc.worker.workflows.routing.clearing import clear_routes
from svc.worker.workflows.teardown.content import delete_contexts, delete_telemetry, give_up_images
from svc.worker.workflows.teardown.record import begin, erase
from svc.worker.workflows.teardown.regions import AWAY_MS, observe_instances, observe_routes
from svc.worker.workflows.teardown.work import end_work_once


async def project_of(harness: WorkerHarness) -> Project:
    """The row."""
    found = await harness.deps.db.read(projects.get, harness.project_id)
    assert found is not None
    return found


async def delete_project(harness: WorkerHarness, *, dispatch: bool = True) -> str:
    """What DeleteProject does; the deletion's id."""
    project = await project_of(harness)
    deletion_id, _ = await harness.deps.db.write(
        lambda connection: intents.record_project_deletion(connection, project=project, traceparent="", now=now_ms())
    )
    if dispatch:
        await harness.dispatch(TEARDOWN, deletion_id)
    return deletion_id


async def delete_deployment(harness: WorkerHarness, deployment_id: str, *, is_forced: bool = False) -> str:
    """What DeleteDeployment does; the deletion's id."""
    project, environment = await project_of(harness), await harness.environment()
    target = await harness.deployment(deployment_id)
    deletion_id, _ = await harness.deps.db.write(
        lambda connection: intents.record_deployment_deletion(
            connection, project=project, environment=environment, target=target, is_forced=is_forced,
            traceparent="", now=now_ms(),
        )
    )  # fmt: skip
    await harness.dispatch(TEARDOWN, deletion_id)
    return deletion_id


async def deletion(harness: WorkerHarness, deletion_id: str) -> Deletion:
    """The row."""
    found = await harness.deps.db.read(deletions.get, deletion_id)
    assert found is not None
    return found


async def ended(harness: WorkerHarness, deletion_id: str) -> Deletion:
    """The deletion once it has ended, which it does as done."""

    async def look() -> Deletion | None:
        found = await deletion(harness, deletion_id)
        return found if found.status.is_terminal else None

    found = await harness.until(look, f"{deletion_id} ends")
    assert found is not None
    assert found.status is DeletionStatus.DONE, found
    return found


async def waits(harness: WorkerHarness, deletion_id: str, step: DeletionStep) -> Deletion:
    """The deletion once it waits for something at that step."""

    async def look() -> Deletion | None:
        found = await deletion(harness, deletion_id)
        assert not found.status.is_terminal, found
        return found if found.step is step and found.waits_for else None

    found = await harness.until(look, f"{deletion_id} waits at {step}")
    assert found is not None
    return found


async def add_domain(harness: WorkerHarness, hostname: str) -> None:
    """A domain that was proven, with its route."""

    def write(connection: Connection) -> None:
        made = domains.add(
            connection, workspace_id=harness.workspace_id, project_id=harness.project_id,
            environment_id=harness.environment_id, name=parse_domain(hostname), token="t", now=now_ms(),
        )  # fmt: skip
        assert not domain_routes.activate(connection, made, "own.example", now_ms()).conflict
        found = domains.get(connection, made.id)
        assert found is not None
        assert found.status is DomainStatus.ACTIVE

    await harness.deps.db.write(write)


async def test_a_project_goes_with_all_that_it_has(harness: WorkerHarness) -> None:
    """Nothing answers, runs or is stored any more, the slug is free at once, and the audit log is as it was."""
    first = await harness.deploy()
    await harness.ended(first, Status.READY)
    build_id = (await harness.deployment(first)).build_id or ""
    context = (await harness.built(build_id)).build_context_path
    await add_domain(harness, "www.shop.example")
    slug = (await project_of(harness)).slug
    entry = audit.AuditEntry(1, harness.workspace_id, "key_1", "ci", "/a/B", "req_1", {"project_id": "proj_1"})
    await harness.deps.db.write(audit.record, entry)

    await harness.deps.telemetry.usage.store([used(harness, first)])

    done = await ended(harness, await delete_project(harness))
    assert await harness.deps.telemetry.usage.latest(harness.project_id, 60, 1) == []
    assert (done.step, done.waits_for, done.notices_json) == (DeletionStep.RECORDS, "", [])
    assert (done.kind, done.project_slug) == (DeletionKind.PROJECT, slug)

    def left(connection: Connection) -> list[object]:
        return [
            *routes.every(connection),
            *connection.execute(select(route_history)),
            *regions.instances_of(connection, first),
            *regions.topologies_of(connection, first),
            *domains.every_active(connection),
            *projects.page(connection, harness.workspace_id),
            *environments.of_project(connection, harness.project_id),
            *builds.page(connection, harness.project_id),
            *contexts.paths(connection),
        ]

    assert await harness.deps.db.read(left) == []
    assert await harness.deps.store.head(context) is None
    assert await harness.deps.telemetry.builds.read(build_id) == []
    gone = await harness.deployment(first)
    assert (gone.status, gone.run_state, gone.image_ref) == (Status.READY, RunState.STOPPED, "")
    assert gone.deleted_at is not None
    assert (await harness.environment()).data_key == b""
    again = Project(new_id("proj"), harness.workspace_id, slug, slug, 1, 1)
    await harness.deps.db.write(projects.add, again)
    found = await harness.deps.db.read(projects.by_slug, harness.workspace_id, slug)
    assert found == again


async def test_a_project_whose_deploy_is_building(harness: WorkerHarness) -> None:
    """The deploy ends as cancelled, its build, too; nothing new is begun meanwhile."""
    harness.builder.hold.clear()
    building, own = await harness.deploy(), await harness.build()
    await harness.until(lambda: harness.running(2), "both builds run")
    deletion_id = await delete_project(harness)
    with pytest.raises(FailedPrecondition) as refused:
        await harness.deploy(image="nginx:1")
    assert refused.value.code == "project.deleting"
    with pytest.raises(FailedPrecondition, match="is being deleted"):
        await harness.build()
    await ended(harness, deletion_id)
    assert (await harness.deployment(building)).status is Status.CANCELLED
    assert (await harness.built(own)).status is BuildStatus.CANCELLED
    assert harness.builder.running == 0


async def test_a_deploy_that_takes_its_routes_ends_first(harness: WorkerHarness) -> None:
    """Past the point of no return it goes on; the deletion says what it waits for, and takes the routes then."""
    harness.region.behavior.applies = False
    deploying = await harness.deploy(image="nginx:1")
    await harness.reaches(deploying, Status.NETWORK)
    deletion_id = await delete_project(harness)
    waiting = await waits(harness, deletion_id, DeletionStep.WORK)
    assert waiting.waits_for == f"the deploy {deploying} (network)"
    harness.region.behavior.applies = True
    harness.region.changed()
    await ended(harness, deletion_id)
    assert (await harness.deployment(deploying)).status is Status.READY
    assert await harness.deps.db.read(routes.every) == []


async def test_a_region_that_does_not_confirm(harness: WorkerHarness) -> None:
    """It is named while it is in contact, and waited for until a user says otherwise; then a notice names it."""
    await harness.ended(await harness.deploy(image="nginx:1"), Status.READY)
    harness.region.behavior.applies = False
    deletion_id = await delete_project(harness)
    waiting = await waits(harness, deletion_id, DeletionStep.ROUTES)
    assert waiting.waits_for == "region local has not confirmed that its ingress serves the hostnames no more"
    await harness.deps.db.write(deletions.skip_regions, deletion_id)
    done = await ended(harness, deletion_id)
    assert len(done.notices_json) == 1
    assert "a user said not to wait" in done.notices_json[0]


async def test_a_region_that_was_away_for_long_is_not_waited_for(harness: WorkerHarness) -> None:
    """Without contact for ten minutes it holds up nothing: what is left there goes once it is back."""
    await harness.ended(await harness.deploy(image="nginx:1"), Status.READY)
    await harness.freeze_region()
    deletion_id = await delete_project(harness, dispatch=False)
    away = region_rows.update().values(last_seen_at=now_ms() - AWAY_MS)
    await harness.deps.db.write(lambda connection: connection.execute(away).rowcount)
    await harness.dispatch(TEARDOWN, deletion_id)
    done = await ended(harness, deletion_id)
    assert ["does not report" in notice for notice in done.notices_json] == [True, True]


async def test_a_deployment_that_is_needed(harness: WorkerHarness) -> None:
    """What is live, and what a rollback would go to, stays unless the user insists; then visitors are told."""
    first, second = await two_deployments(harness)
    for target, code in ((second, "deployment.routed"), (first, "deployment.rollback_target")):
        with pytest.raises(FailedPrecondition) as refused:
            await delete_deployment(harness, target)
        assert refused.value.code == code
        assert "--force" in refused.value.message
    await ended(harness, await delete_deployment(harness, first, is_forced=True))
    assert await harness.live() == second
    await ended(harness, await delete_deployment(harness, second, is_forced=True))
    answers = {route.hostname: route.answer for route in await harness.deps.db.read(routes.every)}
    assert answers
    assert set(answers.values()) == {"stopped"}
    third = await harness.deploy(image="nginx:3")
    await harness.ended(third, Status.READY)
    assert await harness.live() == third


async def test_a_deployment_that_is_being_promoted(harness: WorkerHarness) -> None:
    """Refused at first; by force, the promote ends before anything is taken away."""
    first, second = await two_deployments(harness)
    operation_id = await harness.switch(OperationKind.ROLLBACK, dispatch=False)
    with pytest.raises(FailedPrecondition) as refused:
        await delete_deployment(harness, first)
    assert refused.value.code == "deployment.in_use"
    await harness.dispatch(SWITCH, operation_id)
    deletion_id = await delete_deployment(harness, first, is_forced=True)
    with pytest.raises(FailedPrecondition) as late:
        await harness.switch(OperationKind.PROMOTE, first)
    assert late.value.code in ("deployment.deleting", "deployment.already_live")
    await ended(harness, deletion_id)
    assert (await harness.operation(operation_id)).status.is_terminal
    assert await harness.live() != first
    assert (await harness.deployment(second)).deletion_id is None


def used(harness: WorkerHarness, deployment_id: str) -> UsageRecord:
    """What an instance of it used in a minute."""
    figures = UsageFigures(1, 2, 3)
    return UsageRecord(harness.project_id, 60, deployment_id, "a1", 0, 0, 1, "dep-0", "local", 5, None, 6, figures)


async def test_a_build_that_another_deployment_runs_stays(harness: WorkerHarness) -> None:
    """It goes with the last deployment that runs its image; the other one keeps image, context and log till then."""
    first = await harness.deploy()
    await harness.ended(first, Status.READY)
    build = await harness.built((await harness.deployment(first)).build_id)
    second = await harness.deploy(built=build)
    await harness.ended(second, Status.READY)
    for one in (first, second):
        await harness.deps.telemetry.usage.store([used(harness, one)])
    await ended(harness, await delete_deployment(harness, first, is_forced=True))
    assert await harness.deps.telemetry.usage.latest(harness.project_id, 60, 1) == [used(harness, second)]
    kept = await harness.built(build.id)
    assert (kept.image_ref, kept.deleted_at) == (build.image_ref, None)
    assert (await harness.deployment(second)).image_ref == build.image_ref
    assert await harness.deps.store.head(build.build_context_path) is not None
    assert await harness.deps.telemetry.builds.read(build.id)
    await ended(harness, await delete_deployment(harness, second, is_forced=True))
    assert (await harness.built(build.id)).image_ref == ""
    assert await harness.deps.store.head(build.build_context_path) is None
    assert await harness.deps.telemetry.builds.read(build.id) == []


async def test_a_project_waits_for_the_deletion_of_its_parts(restate_server: RestateServer, tmp_path: Path) -> None:
    """Each deletes what it has marked, and both end."""
    async with worker_harness(restate_server, tmp_path) as harness:
        first, _ = await two_deployments(harness)
        harness.region.behavior.applies = False
        part = await delete_deployment(harness, first, is_forced=True)
        await waits(harness, part, DeletionStep.ROUTES)
        whole = await delete_project(harness)
        waiting = await waits(harness, whole, DeletionStep.WORK)
        assert waiting.waits_for == f"the deletion {part} of deployment {first}"
        harness.region.behavior.applies = True
        harness.region.changed()
        await ended(harness, part)
        await ended(harness, whole)


async def test_every_step_can_run_twice(restate_server: RestateServer, tmp_path: Path) -> None:
    """After a crash between a step's commit and its record in the journal, its repetition finds all done."""
    async with worker_harness(restate_server, tmp_path) as harness:
        deploying = await harness.deploy()
        await harness.ended(deploying, Status.READY)
        deletion_id = await delete_project(harness, dispatch=False)
        deps = harness.deps
        assert await begin(deps, deletion_id, 1) == await begin(deps, deletion_id, 1)
        for _ in range(2):
            assert (await end_work_once(deps, deletion_id)).settled
        first, again = [await clear_routes(deps, deletion_id, harness.environment_id) for _ in range(2)]
        assert again.version >= first.version > 0
        await harness.until(lambda: is_settled(observe_routes(deps, deletion_id, again.version)), "the ingress follows")
        await harness.until(lambda: is_settled(observe_instances(deps, deletion_id)), "the instances end")
        for step in (give_up_images, delete_contexts, delete_telemetry):
            await step(deps, deletion_id)
            await step(deps, deletion_id)
        assert [(await erase(deps, deletion_id)).status for _ in range(2)] == ["done", "done"]
        # the workflow itself, begun late, finds an ended deletion
        await harness.dispatch(TEARDOWN, deletion_id)
        await harness.workflow_over(TEARDOWN, deletion_id)
        # what was about to run when the deletion ended
        for step in (give_up_images, delete_contexts, delete_telemetry):
            await step(deps, deletion_id)
        assert (await clear_routes(deps, deletion_id, harness.environment_id)).version == 0


async def is_settled(observing: object) -> bool:
    """Whether an observation found nothing more to wait for."""
    observed = await observing  # type: ignore[misc]  # a coroutine
    return bool(observed.settled)


async def test_a_deletion_that_restate_lost(harness: WorkerHarness) -> None:
    """It ends as failed, what it had not deleted can be used, and a second deletion finishes it."""
    deploying = await harness.deploy(image="nginx:1")
    await harness.ended(deploying, Status.READY)
    lost = await delete_project(harness, dispatch=False)
    assert await harness.deps.db.write(TEARDOWN.end_lost, lost, now_ms()) is not None
    assert await harness.deps.db.write(TEARDOWN.end_lost, lost, now_ms()) is None
    assert (await deletion(harness, lost)).error_code == "internal.workflow_lost"
    assert (await project_of(harness)).deletion_id is None
    await harness.ended(await harness.deploy(image="nginx:2"), Status.READY)
    await ended(harness, await delete_project(harness))
