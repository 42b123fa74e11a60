"""What every adapter of the `Runtime` port must do: tests that an adapter's own test module inherits.

class TestMyRuntime(RuntimeContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[RuntimeRig]: ...
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol, TypeVar

import aiohttp
import pytest

from pkg.desired.jobs import job_name
from pkg.desired.processes import process_of_instance, workload_id
from pkg.desired.scaling import ReplicaBounds
from pkg.errors import FailedPrecondition, Unavailable
from pkg.ids import new_id
from pkg.testing.wait import KUBERNETES_WAIT_S
from svc.krane.runtime.port import (
    DeploymentSpec,
    EventKind,
    InstanceEvent,
    InstanceRef,
    InstanceStatus,
    InstanceUsage,
    JobObservation,
    JobRef,
    JobSpec,
    LogRecord,
    Observation,
    Output,
    Runtime,
    WantedReplicas,
    instance_name,
)

T = TypeVar("T")
GRACE_S = 1
ENDED_AT_ONCE = "EXIT"


class RuntimeRig(Protocol):
    """One region on a runtime, empty at first.

    Its app takes HTTP requests on $PORT, prints WORD when it is asked for `/print/WORD`, and ends when it is asked for
    `/exit/N`, with that exit code. With a variable EXIT it prints "as told" and ends at once, with that code.
    """

    @property
    def runtime(self) -> Runtime:
        """Open."""
        ...

    def spec(self) -> DeploymentSpec:
        """Of another deployment each time, with one replica of the app."""
        ...

    def make(self, installation_id: str = "") -> Runtime:
        """Another one on what is there, as the next krane has it, not open; of this installation unless one is named.

        It is closed at the end of the test.
        """
        ...

    async def stop_by_hand(self, name: str) -> None:
        """Ends an instance's app behind the runtime's back, as an operator would; the instance stays."""
        ...

    async def remove_by_hand(self, name: str) -> None:
        """Removes an instance behind the runtime's back."""
        ...


async def eventually(found: Callable[[], Awaitable[T | None]]) -> T:
    """What `found` answers as soon as that is not None. Raises TimeoutError."""
    async with asyncio.timeout(KUBERNETES_WAIT_S):
        while (it := await found()) is None:  # noqa: ASYNC110 - some changes raise no event
            await asyncio.sleep(0.05)
        return it


async def ask(seen: Observation, spec: DeploymentSpec, path: str = "/") -> int:
    """The app's answer, once it gives one."""

    async def asked() -> int | None:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{seen.address}:{spec.port}{path}") as answer,
            ):
                return answer.status
        except aiohttp.ClientError:
            return None

    return await eventually(asked)


async def end_app(seen: Observation, spec: DeploymentSpec, exit_code: int) -> None:
    """Has the app end by itself."""
    await ask(seen, spec)
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session:
            await session.get(f"http://{seen.address}:{spec.port}/exit/{exit_code}")


async def until_status(runtime: Runtime, spec: DeploymentSpec, status: InstanceStatus) -> Observation:
    """The first replica as soon as it is in that state."""

    async def observed() -> Observation | None:
        seen = await runtime.observe(spec.deployment_id, 0)
        return seen if seen is not None and seen.status is status else None

    return await eventually(observed)


async def running(runtime: Runtime, spec: DeploymentSpec, replica: int = 0) -> Observation:
    """Applies a replica that is not there; answers it as soon as it runs."""
    await runtime.apply(spec, replica, None, is_live=False)

    async def observed() -> Observation | None:
        seen = await runtime.observe(spec.deployment_id, replica)
        return seen if seen is not None and seen.status is InstanceStatus.RUNNING and seen.address else None

    return await eventually(observed)


class RuntimeContract:
    """The contract. Each test gets an empty region."""

    async def test_nothing_works_before_it_is_open(self, rig: RuntimeRig) -> None:
        """Promise: a runtime that was never reached is away, and so said; nobody takes silence for "no instances"."""
        runtime = rig.make()
        with pytest.raises(Unavailable):
            await runtime.list_instances()
        with pytest.raises(Unavailable):
            await runtime.observe("dep_1", 0)
        with pytest.raises(Unavailable):
            await runtime.apply(rig.spec(), 0, None, is_live=True)
        assert await runtime.open()
        assert await runtime.list_instances() == []
        assert await runtime.check() == ""

    async def test_what_is_applied_runs_and_answers(self, rig: RuntimeRig) -> None:
        """Promise: an instance runs as the spec says, under its own name, and can be reached where it says."""
        spec = rig.spec()
        seen = await running(rig.runtime, spec)
        assert (seen.name, seen.deployment_id, seen.replica) == (
            instance_name(spec.deployment_id, 0),
            spec.deployment_id,
            0,
        )
        assert (seen.revision, seen.restarts, seen.is_kept_running, seen.is_broken) == (spec.revision, 0, False, False)
        assert seen.memory_mib == spec.memory_mib
        assert await ask(seen, spec) == 200
        ports = await rig.runtime.candidate_ports(seen)
        assert ports.listening is None or any(port == spec.port for _, port in ports.listening)

    async def test_a_process_runs_beside_the_web_instances(self, rig: RuntimeRig) -> None:
        """Promise: a process of a deployment has instances of its own, by name, and ends without the web instances."""
        spec = rig.spec()
        web = await running(rig.runtime, spec)
        process = replace(spec, deployment_id=workload_id(spec.deployment_id, "worker-2"), port=0)
        ended = replace(process, variables={ENDED_AT_ONCE: "3"})
        await rig.runtime.apply(ended, 0, None, is_live=False)
        seen = await until_status(rig.runtime, ended, InstanceStatus.EXITED)
        assert (seen.name, seen.deployment_id, seen.exit_code) == (
            f"{instance_name(spec.deployment_id, 0)[:-2]}-worker-2-0",
            process.deployment_id,
            3,
        )
        assert process_of_instance(seen.name) == "worker-2"
        assert "as told" in (await rig.runtime.output(seen.name)).text
        for workload, names in ((spec.deployment_id, [web.name]), (process.deployment_id, [seen.name])):
            assert [ref.name for ref in await rig.runtime.list_instances(workload)] == names
        listed = {ref.name: ref.deployment_id for ref in await rig.runtime.list_instances()}
        assert listed == {web.name: spec.deployment_id, seen.name: process.deployment_id}
        await rig.runtime.delete(process.deployment_id, seen.name, grace_s=GRACE_S)

        async def gone() -> bool | None:
            return True if not await rig.runtime.list_instances(process.deployment_id) else None

        await eventually(gone)
        still = await rig.runtime.observe(spec.deployment_id, 0)
        assert still is not None
        assert (still.uid, still.status) == (web.uid, InstanceStatus.RUNNING)
        assert await ask(still, spec) == 200

    async def test_to_apply_again_changes_nothing(self, rig: RuntimeRig) -> None:
        """Promise: applying is idempotent, also after an answer that was lost: there is one instance, the first one."""
        spec = rig.spec()
        first = await running(rig.runtime, spec)
        again = await rig.runtime.apply(spec, 0, first, is_live=False)
        unseen = await rig.runtime.apply(spec, 0, None, is_live=False)
        elsewhere = replace(spec, public_url="http://elsewhere.example", disk_mib=spec.disk_mib + 1)
        moved = await rig.runtime.apply(elsewhere, 0, first, is_live=False)
        assert {one.uid for one in (again, unseen, moved)} == {first.uid}
        assert len(await rig.runtime.list_instances()) == 1

    async def test_another_revision_replaces_the_instance(self, rig: RuntimeRig) -> None:
        """Promise: what an instance is made from is what its spec says now."""
        spec = rig.spec()
        first = await running(rig.runtime, spec)
        changed = replace(spec, variables={**spec.variables, "A": "1"})
        await rig.runtime.apply(changed, 0, first, is_live=False)
        second = await until_status(rig.runtime, changed, InstanceStatus.RUNNING)
        assert second.uid != first.uid
        assert second.revision == changed.revision != first.revision
        assert len(await rig.runtime.list_instances()) == 1

    async def test_each_replica_is_an_instance_of_its_own(self, rig: RuntimeRig) -> None:
        """Promise: replicas come and go one by one; lists can be of one deployment or of all."""
        spec, other = replace(rig.spec(), replicas=2), rig.spec()
        kept = await running(rig.runtime, spec)
        ended = await running(rig.runtime, spec, 1)
        await running(rig.runtime, other)
        of_one = await rig.runtime.list_instances(spec.deployment_id)
        assert {ref.name for ref in of_one} == {kept.name, ended.name}
        assert {ref.address for ref in of_one} <= {kept.address, ended.address, ""}
        assert len(await rig.runtime.list_instances()) == 3
        for _ in range(2):
            await rig.runtime.delete(spec.deployment_id, ended.name, grace_s=GRACE_S)
        assert await rig.runtime.observe(spec.deployment_id, 1) is None
        assert [ref.name for ref in await rig.runtime.list_instances(spec.deployment_id)] == [kept.name]
        still = await rig.runtime.observe(spec.deployment_id, 0)
        assert still is not None
        assert still.uid == kept.uid

    async def test_the_wanted_number_is_within_the_bounds(self, rig: RuntimeRig) -> None:
        """Promise: without bounds it is the spec's; with bounds it begins with the least."""
        spec = replace(rig.spec(), replicas=2)
        assert await rig.runtime.wanted_replicas(spec) == WantedReplicas(2)
        bounded = replace(rig.spec(), replicas=1, bounds=ReplicaBounds(1, 3))
        assert (await rig.runtime.wanted_replicas(bounded)).count == 1
        await running(rig.runtime, bounded)
        assert (await rig.runtime.wanted_replicas(bounded)).count == 1
        assert (await rig.runtime.wanted_replicas(replace(bounded, replicas=0))).count == 0

    async def test_the_next_krane_finds_what_runs(self, rig: RuntimeRig) -> None:
        """Promise: a restart of krane ends no instance, and what was healthy is known to have been."""
        spec = rig.spec()
        first = await running(rig.runtime, spec)
        await rig.runtime.apply(spec, 0, first, is_live=True, keep_running=True)
        await rig.runtime.close()
        runtime = rig.make()
        await runtime.open()
        seen = await runtime.observe(spec.deployment_id, 0)
        assert seen is not None
        assert (seen.uid, seen.is_kept_running) == (first.uid, True)
        assert (await runtime.apply(spec, 0, seen, is_live=True)).uid == first.uid

    async def test_an_app_that_ends_at_once_is_left_as_it_is(self, rig: RuntimeRig) -> None:
        """Promise: a failed start is not repeated by itself; its exit code and its output can be read."""
        spec = replace(rig.spec(), variables={ENDED_AT_ONCE: "7"})
        await rig.runtime.apply(spec, 0, None, is_live=False)
        ended = await until_status(rig.runtime, spec, InstanceStatus.EXITED)
        assert (ended.exit_code, ended.restarts) == (7, 0)
        assert (await rig.runtime.output(ended.name)).text.split() == ["as", "told"]
        again = await rig.runtime.apply(spec, 0, ended, is_live=False)
        assert (again.uid, again.status) == (ended.uid, InstanceStatus.EXITED)

    async def test_what_was_healthy_is_started_again_when_it_ends(self, rig: RuntimeRig) -> None:
        """Promise: the runtime itself restarts what was healthy, and reports each end."""
        spec = rig.spec()
        seen = await running(rig.runtime, spec)
        kept = await rig.runtime.apply(spec, 0, seen, is_live=True, keep_running=True)
        assert kept.is_kept_running
        events: list[InstanceEvent] = []
        following = asyncio.create_task(self._follow(rig.runtime, events))
        try:

            async def is_followed() -> bool | None:
                await running(rig.runtime, rig.spec())
                return bool(events) or None

            await eventually(is_followed)
            await end_app(seen, spec, 3)

            async def restarted() -> Observation | None:
                now = await rig.runtime.observe(spec.deployment_id, 0)
                return now if now is not None and now.restarts and now.status is InstanceStatus.RUNNING else None

            again = await eventually(restarted)
            assert again.uid == seen.uid
            assert again.started_at_ms > seen.started_at_ms
            assert await ask(again, spec) == 200

            async def told() -> InstanceEvent | None:
                return next((one for one in events if one.kind is EventKind.ENDED), None)

            event = await eventually(told)
            assert (event.deployment_id, event.name, event.exit_code) == (spec.deployment_id, seen.name, 3)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def test_what_was_stopped_by_hand_starts_again_when_asked(self, rig: RuntimeRig) -> None:
        """Promise: the desired state wins over an operator's stop."""
        spec = rig.spec()
        seen = await running(rig.runtime, spec)
        await rig.runtime.apply(spec, 0, seen, is_live=True, keep_running=True)
        await rig.stop_by_hand(seen.name)

        async def was_down() -> Observation | None:
            now = await rig.runtime.observe(spec.deployment_id, 0)
            return now if now is not None and (now.status.is_down or now.restarts) else None

        down = await eventually(was_down)
        await rig.runtime.apply(spec, 0, down, is_live=True, keep_running=True)
        again = await until_status(rig.runtime, spec, InstanceStatus.RUNNING)
        assert again.uid == seen.uid

    async def test_what_was_removed_by_hand_is_made_again(self, rig: RuntimeRig) -> None:
        """Promise: the desired state wins over an operator's removal."""
        spec = rig.spec()
        seen = await running(rig.runtime, spec)
        await rig.remove_by_hand(seen.name)

        async def is_gone() -> bool | None:
            now = await rig.runtime.observe(spec.deployment_id, 0)
            return True if now is None or now.uid != seen.uid else None

        await eventually(is_gone)
        assert (await running(rig.runtime, spec)).uid != seen.uid

    async def test_an_image_that_is_gone_is_refused_for_good(self, rig: RuntimeRig) -> None:
        """Promise: what no retry heals says so with a code, and leaves nothing behind."""
        spec = replace(rig.spec(), image_ref="engine:sha256:" + "0" * 64)
        with pytest.raises(FailedPrecondition) as refused:
            await rig.runtime.apply(spec, 0, None, is_live=False)
        assert refused.value.code == "instance.image_missing"
        assert await rig.runtime.list_instances() == []

    async def test_another_installation_is_neither_seen_nor_touched(self, rig: RuntimeRig) -> None:
        """Promise: two installations share a machine."""
        spec = rig.spec()
        seen = await running(rig.runtime, spec)
        other = rig.make("inst_other")
        await other.open()
        assert await other.list_instances() == []
        assert await other.observe(spec.deployment_id, 0) is None
        await other.delete(spec.deployment_id, seen.name, grace_s=0)
        await other.collect_garbage()
        assert await rig.runtime.list_instances() == [
            InstanceRef(seen.name, spec.deployment_id, 0, seen.address),
        ]

    async def test_what_an_ended_app_printed_can_be_followed(self, rig: RuntimeRig) -> None:
        """Promise: what was printed before anybody followed is there with its time, and the stream comes to its end."""
        spec = replace(rig.spec(), variables={ENDED_AT_ONCE: "7"})
        await rig.runtime.apply(spec, 0, None, is_live=False)
        ended = await until_status(rig.runtime, spec, InstanceStatus.EXITED)
        records = await self._printed(rig.runtime, ended)
        assert [one.data for one in records] == [b"as told"]
        at_s = records[0].at_ns // 1_000_000_000
        assert abs(at_s - time.time()) < 600
        assert await self._printed(rig.runtime, ended, at_s) == records
        assert await self._printed(rig.runtime, ended, at_s + 60) == []
        assert await self._printed(rig.runtime, replace(ended, uid="another")) == []
        assert await self._printed(rig.runtime, replace(ended, name="dep-1-0", uid="none")) == []

    async def test_what_an_app_prints_comes_as_it_prints_it(self, rig: RuntimeRig) -> None:
        """Promise: a follower gets each line soon, in order; one that asks again gets the same; the end ends it."""
        spec = rig.spec()
        seen = await running(rig.runtime, spec)
        got: list[LogRecord] = []

        async def follow() -> None:
            async with aclosing(rig.runtime.logs(seen.name, seen.uid, 0)) as chunks:
                async for records in chunks:
                    got.extend(records)

        async def has(number: int) -> bool | None:
            return len(own(got)) == number or None

        def own(records: list[LogRecord]) -> list[LogRecord]:
            return [one for one in records if one.data.startswith(b"word")]

        following = asyncio.create_task(follow())
        try:
            for number in range(1, 4):
                await ask(seen, spec, f"/print/word{number}")
                await eventually(lambda number=number: has(number))  # type: ignore[misc]
            assert [one.data for one in own(got)] == [b"word1", b"word2", b"word3"]
            again: list[LogRecord] = []
            async with aclosing(rig.runtime.logs(seen.name, seen.uid, 0)) as chunks:
                async for records in chunks:
                    again += records
                    if len(own(again)) == 3:
                        break
            assert own(again) == own(got)
            await end_app(seen, spec, 0)
            async with asyncio.timeout(KUBERNETES_WAIT_S):
                await following
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def test_what_runs_is_measured(self, rig: RuntimeRig) -> None:
        """Promise: CPU and memory of each instance that runs are known, and grow as it works; of no other one."""
        spec = rig.spec()
        seen = await running(rig.runtime, spec)
        other = rig.make("inst_other")
        await other.open()

        async def measured() -> InstanceUsage | None:
            found = [one for one in await rig.runtime.usage() if one.memory_bytes and one.cpu_ns is not None]
            return found[0] if found else None

        first = await eventually(measured)
        assert (first.name, first.uid, first.deployment_id) == (seen.name, seen.uid, spec.deployment_id)
        assert 0 < first.memory_bytes <= spec.memory_mib << 20

        async def has_worked() -> InstanceUsage | None:
            await ask(seen, spec)
            now = await measured()
            return now if now is not None and (now.cpu_ns or 0) > (first.cpu_ns or 0) else None

        later = await eventually(has_worked)
        assert (later.network_rx_bytes or 0) >= (first.network_rx_bytes or 0)
        assert await other.usage() == []
        await rig.runtime.delete(spec.deployment_id, seen.name, grace_s=GRACE_S)

        async def is_gone() -> bool | None:
            return await rig.runtime.usage() == [] or None

        await eventually(is_gone)

    async def test_what_is_gone_has_no_output(self, rig: RuntimeRig) -> None:
        """Promise: to ask for the output of an instance that is gone is no error."""
        assert await rig.runtime.output("dep-1-0") == Output()

    async def _printed(self, runtime: Runtime, seen: Observation, since_s: int = 0) -> list[LogRecord]:
        """All that can be followed of an app that has ended."""
        async with asyncio.timeout(KUBERNETES_WAIT_S), aclosing(runtime.logs(seen.name, seen.uid, since_s)) as chunks:
            return [record async for records in chunks for record in records]

    async def _follow(self, runtime: Runtime, events: list[InstanceEvent]) -> None:
        async for event in runtime.events():
            events.append(event)  # noqa: PERF401 - each as it comes

    async def test_a_job_runs_once_to_its_end(self, rig: RuntimeRig) -> None:
        """Promise: exit code, times and output stay until it is removed; it is never started again, and no instance."""
        spec = job_spec(rig, {ENDED_AT_ONCE: "3"})
        assert await rig.runtime.observe_job(spec) is None
        first = await rig.runtime.start_job(spec)
        ended = await until_ended(rig.runtime, spec)
        assert (ended.seen.name, ended.seen.uid) == (job_name(spec.job_id), first.seen.uid)
        assert (ended.seen.exit_code, ended.seen.deployment_id) == (3, spec.of.deployment_id)
        assert 0 < ended.seen.started_at_ms <= ended.ended_at_ms
        again = await rig.runtime.start_job(spec)
        assert (again.seen.uid, again.seen.status) == (first.seen.uid, InstanceStatus.EXITED)
        assert "as told" in (await rig.runtime.output(ended.seen.name)).text
        assert await rig.runtime.list_jobs() == [JobRef(spec.job_id, spec.of.environment_id, is_release=True)]
        assert await rig.runtime.list_instances() == []
        other = rig.make("inst_other")
        await other.open()
        assert await other.list_jobs() == []
        assert await other.observe_job(spec) is None
        for _ in range(2):
            await rig.runtime.remove_job(spec.job_id)
        assert await rig.runtime.observe_job(spec) is None
        assert await rig.runtime.list_jobs() == []

    async def test_a_job_is_adopted_and_stopped(self, rig: RuntimeRig) -> None:
        """Promise: the next krane finds the job that runs, starts no other, and can end it; how it ended stays."""
        spec = job_spec(rig)
        await rig.runtime.start_job(spec)
        first = await until_job(rig.runtime, spec, InstanceStatus.RUNNING)
        following = rig.make()
        await following.open()
        adopted = await following.start_job(spec)
        assert adopted.seen.uid == first.seen.uid
        for _ in range(2):
            await following.stop_job(spec, grace_s=GRACE_S)
        ended = await until_ended(following, spec)
        assert ended.seen.uid == first.seen.uid
        assert ended.seen.exit_code != 0
        await following.remove_job(spec.job_id)

    async def test_a_job_that_vanished_is_started_again(self, rig: RuntimeRig) -> None:
        """Promise: what left no exit code is not taken for an end."""
        spec = job_spec(rig)
        await rig.runtime.start_job(spec)
        first = await until_job(rig.runtime, spec, InstanceStatus.RUNNING)
        await rig.remove_by_hand(first.seen.name)

        async def gone() -> bool | None:
            return True if await rig.runtime.observe_job(spec) is None else None

        await eventually(gone)
        await rig.runtime.start_job(spec)
        second = await until_job(rig.runtime, spec, InstanceStatus.RUNNING)
        assert second.seen.uid != first.seen.uid
        await rig.runtime.remove_job(spec.job_id)

    async def test_a_jobs_log_ends_with_it(self, rig: RuntimeRig) -> None:
        """Promise: everything that it printed is there, also after its end."""
        spec = job_spec(rig, {ENDED_AT_ONCE: "0"})
        await rig.runtime.start_job(spec)
        ended = await until_ended(rig.runtime, spec)
        found: list[LogRecord] = []
        async with (
            asyncio.timeout(KUBERNETES_WAIT_S),
            aclosing(rig.runtime.logs(ended.seen.name, ended.seen.uid, 0)) as chunks,
        ):
            async for records in chunks:
                found += records
        assert [record.data for record in found] == [b"as told"]
        await rig.runtime.remove_job(spec.job_id)

    async def test_a_job_without_its_image_is_refused(self, rig: RuntimeRig) -> None:
        """Promise: with the words of an instance."""
        spec = job_spec(rig)
        missing = replace(spec, of=replace(spec.of, image_ref="engine:sha256:" + "0" * 64))
        with pytest.raises(FailedPrecondition, match="image"):
            await rig.runtime.start_job(missing)
        assert await rig.runtime.list_jobs() == []


def job_spec(rig: RuntimeRig, variables: dict[str, str] | None = None) -> JobSpec:
    """A job of its own: the app, or with a variable EXIT what ends at once."""
    of = rig.spec()
    return JobSpec(new_id("job"), replace(of, variables={**of.variables, **(variables or {})}), is_release=True)


async def until_job(runtime: Runtime, spec: JobSpec, status: InstanceStatus) -> JobObservation:
    """The job as soon as it is in that state."""

    async def observed() -> JobObservation | None:
        seen = await runtime.observe_job(spec)
        return seen if seen is not None and seen.seen.status is status else None

    return await eventually(observed)


async def until_ended(runtime: Runtime, spec: JobSpec) -> JobObservation:
    """The job as soon as it has ended."""
    return await until_job(runtime, spec, InstanceStatus.EXITED)
