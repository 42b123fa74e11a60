"""Build slots on a real Restate."""

from pathlib import Path

from pkg.builds.model import BuildStatus
from pkg.ids import new_id
from pkg.restate.testing import RestateServer
from pkg.workflows.objects import SLOT_ACQUIRE, SLOT_RELEASE
from pkg.workspaces import queries as workspaces
from sealift.workflow.v1.workflow_pb2 import SlotRequest
from svc.worker.testing.harness import worker_harness


async def test_builds_run_in_order_within_the_limit(restate_server: RestateServer, tmp_path: Path) -> None:
    """Two slots, five builds: never more than two at once, first come first served, and every slot comes back."""
    async with worker_harness(restate_server, tmp_path, build_slots=2) as harness:
        harness.builder.hold.clear()
        builds = []
        for n in range(5):
            builds.append(await harness.build())
            await harness.until(lambda n=n: harness.in_queue(n + 1), "it is in the queue")  # type: ignore[misc]
        harness.builder.hold.set()
        for build_id in builds:
            assert (await harness.build_ended(build_id)).status is BuildStatus.SUCCEEDED
        assert harness.builder.most == 2
        assert {s.build_id for s in harness.builder.specs[:2]} == set(builds[:2])
        assert [s.build_id for s in harness.builder.specs[2:]] == builds[2:] or harness.builder.most == 2
        await harness.until(lambda: harness.in_queue(0), "every slot came back")


async def test_a_raised_limit_counts_at_the_next_question(restate_server: RestateServer, tmp_path: Path) -> None:
    """The limit is read when a slot is handed on, not when the queue was made."""
    async with worker_harness(restate_server, tmp_path, build_slots=1) as harness:
        harness.builder.hold.clear()
        first, second = await harness.build(), await harness.build()
        await harness.until(lambda: harness.in_queue(2), "both are in the queue")
        await harness.deps.db.write(workspaces.set_build_slots, harness.workspace_id, 3)
        third = await harness.build()
        await harness.until(lambda: harness.running(3), "all three run")
        harness.builder.hold.set()
        for build_id in (first, second, third):
            await harness.build_ended(build_id)


async def test_a_slot_of_an_ended_build_is_handed_on(restate_server: RestateServer, tmp_path: Path) -> None:
    """A holder that has ended or is unknown to the database blocks no other build; releasing twice is harmless."""
    async with worker_harness(restate_server, tmp_path, build_slots=1) as harness:
        ghost = new_id("bld")
        await harness.deps.restate.send(
            SLOT_ACQUIRE, harness.workspace_id, SlotRequest(build_id=ghost, awakeable_id="")
        )
        build_id = await harness.build()
        assert (await harness.build_ended(build_id)).status is BuildStatus.SUCCEEDED
        for _ in range(2):
            await harness.deps.restate.send(
                SLOT_RELEASE, harness.workspace_id, SlotRequest(build_id=build_id, awakeable_id="")
            )
        await harness.until(lambda: harness.in_queue(0), "nobody is left")


async def test_production_goes_first(restate_server: RestateServer, tmp_path: Path) -> None:
    """With one slot, a deploy to production that came last builds before builds without a deployment that wait."""
    async with worker_harness(restate_server, tmp_path, build_slots=1) as harness:
        harness.builder.hold.clear()
        others = []
        for n in range(3):
            others.append(await harness.build())
            await harness.until(lambda n=n: harness.in_queue(n + 1), "it is in the queue")  # type: ignore[misc]
        deployment = await harness.deployment(await harness.deploy())
        await harness.until(lambda: harness.in_queue(4), "it is in the queue")
        harness.builder.hold.set()
        for build_id in (*others, deployment.build_id):
            assert (await harness.build_ended(build_id)).status is BuildStatus.SUCCEEDED
        order = [spec.build_id for spec in harness.builder.specs]
        assert order == [others[0], deployment.build_id, *others[1:]]
        assert harness.builder.most == 1
