"""What a build promises, on a real Restate and a real database; the builder is a peer."""

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert, select

from pkg.builders.port import BuildSpec
from pkg.builds import contexts
from pkg.builds import queries as builds
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.builds.model import BuildStatus
from pkg.builds.tables import build_secrets
from pkg.deployments.status import Status
from pkg.images import ImageRef
from pkg.restate.testing import RestateServer
from pkg.telemetry import BuildLine
from pkg.telemetry.contract import numbers_are_complete
from pkg.testing.wait import WAIT_S
from pkg.workflows.building import BUILD, BUILD_RUN, BUILD_STOP
from pkg.workflows.deploy import DEPLOY
from pkg.workspaces.tables import workspaces
from sealift.workflow.v1.workflow_pb2 import StopRequest
from svc.worker.testing.harness import WorkerHarness, tarball
from svc.worker.workflows.building import attempts
from svc.worker.workflows.building.solve import spec_for
from svc.worker.workflows.building.workflow import abort_timeout, service


async def lines(harness: WorkerHarness, build_id: str) -> list[str]:
    events = await harness.deps.telemetry.builds.read(build_id)
    assert numbers_are_complete(events)
    return [e.event.text for e in events if isinstance(e.event, BuildLine)]


async def test_a_build_of_its_own(harness: WorkerHarness) -> None:
    """Checked once, built, logged; the spec has the requested values and its own URL."""
    build_id = await harness.build()
    build = await harness.build_ended(build_id)
    assert build.status is BuildStatus.SUCCEEDED
    assert build.attempt == 1
    assert await lines(harness, build_id) == ["hello from attempt 1"]
    (spec,) = harness.builder.specs
    assert (build.image_name, build.platform) == (str(spec.image_name), "linux/amd64")
    context = await harness.deps.db.read(contexts.get, build.build_context_path)
    assert context is not None
    assert context.checked_at is not None
    assert build.build_context_path in spec.sign_context_url(with_etag=False)
    assert (spec.target, spec.platform, spec.dockerfile_path, spec.no_cache) == (None, None, "Dockerfile", False)
    await harness.workflow_over(BUILD, build_id)
    assert (await harness.deps.restate.attach_workflow(BUILD_RUN, build_id)).image_ref == build.image_ref
    assert b'sealift_build_duration_seconds_count{outcome="succeeded"} 1.0' in harness.deps.metrics.render()


async def test_the_platform_of_the_operator_is_a_default(harness: WorkerHarness) -> None:
    """A build that names no platform gets the operator's, one that does gets its own; whether the cache is used."""
    build_config = msgspec.structs.replace(harness.deps.config.build, platform="/linux/arm64")
    deps = replace(harness.deps, config=msgspec.structs.replace(harness.deps.config, build=build_config))
    build = await harness.build_ended(await harness.build())
    unset = await spec_for(deps, replace(build, platform="", no_cache=False))
    assert (unset.platform, unset.no_cache) == ("linux/arm64", False)
    chosen = await spec_for(deps, replace(build, platform="linux/amd64", no_cache=True))
    assert (chosen.platform, chosen.no_cache) == ("linux/amd64", True)
    builders_own = await spec_for(harness.deps, replace(build, platform=""))
    assert builders_own.platform is None


async def test_the_builder_is_told_of_other_workspaces(harness: WorkerHarness) -> None:
    """A builder that can't keep workspaces apart learns that there are several."""
    build = await harness.build_ended(await harness.build())
    assert not (await spec_for(harness.deps, build)).is_shared
    other = insert(workspaces).values(id="ws_other", slug="other", build_slots=1, created_at=1)
    await harness.deps.db.write(lambda connection: connection.execute(other))
    assert (await spec_for(harness.deps, build)).is_shared


async def test_secrets_are_opened_for_the_builder_only(harness: WorkerHarness, restate_server: RestateServer) -> None:
    """In clear at the builder, sealed in the database until the end, then gone; never in Restate's directory."""
    secret = b"a-very-secret-token-31337"
    harness.builder.hold.clear()
    deployment_id = await harness.deploy(secrets={"token": secret})
    await harness.until(lambda: harness.running(1), "the build runs")
    assert harness.builder.specs[0].secrets == {"token": secret}
    harness.builder.hold.set()
    build_id = (await harness.ended(deployment_id, Status.READY)).build_id
    await harness.workflow_over(DEPLOY, deployment_id)
    left = await harness.deps.db.read(lambda connection: connection.execute(select(build_secrets)).all())
    assert left == []
    journal = await harness.journal_of(build_id or "")
    assert (build_id or "").encode() in journal
    everything = b"".join(p.read_bytes() for p in restate_server.folder.rglob("*") if p.is_file())
    for place in (journal, everything):
        assert secret not in place
        assert b"signature=" not in place
    assert secret not in b"".join(p.read_bytes() for p in Path(harness.folder).glob("control.db*"))


async def test_a_builder_that_comes_back(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unavailable twice: attempts 2 and 3 follow, the log continues and says so, and the build succeeds."""
    monkeypatch.setattr(attempts, "FIRST_PAUSE_S", 0.05)

    def outcome(spec: BuildSpec) -> ImageRef:
        if spec.attempt < 3:
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, "the engine went away")
        return ImageRef.on_engine("sha256:third")

    harness.builder.outcome = outcome
    build_id = await harness.build()
    build = await harness.build_ended(build_id)
    assert (build.status, build.attempt, build.image_ref) == (BuildStatus.SUCCEEDED, 3, "engine:sha256:third")
    log = await lines(harness, build_id)
    assert "build restarted (attempt 2)" in log
    assert "build restarted (attempt 3)" in log
    assert log[-1] == "hello from attempt 3"


async def test_a_worker_that_stops_uses_up_no_attempts(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The api ends too, so the context can't be fetched: one attempt is lost, as by a crash, and no more."""
    monkeypatch.setattr(attempts, "FIRST_PAUSE_S", 0.02)
    requested = asyncio.Event()

    def outcome(spec: BuildSpec) -> ImageRef:
        if spec.attempt == 1:
            harness.deps.stopping.set()
            requested.set()
            raise BuilderUnavailable(FailureKind.CONTEXT_UNAVAILABLE, "connection refused")
        return ImageRef.on_engine("sha256:second")

    harness.builder.outcome = outcome
    build_id = await harness.build()
    await asyncio.wait_for(requested.wait(), WAIT_S)
    await harness.until(lambda: is_retried(harness, build_id), "the step is repeated by Restate")
    assert len(harness.builder.specs) == 1
    harness.deps.stopping.clear()  # the next worker
    build = await harness.build_ended(build_id)
    assert (build.status, build.attempt) == (BuildStatus.SUCCEEDED, 2)
    assert not any("unavailable" in line for line in await lines(harness, build_id))


async def is_retried(harness: WorkerHarness, build_id: str) -> bool:
    found = await harness.deps.restate.sql(
        f"select retry_count from sys_invocation where target_service_key = '{build_id}' and retry_count > 2"
    )
    return bool(found)


async def test_a_builder_that_stays_away(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven attempts, then it fails with what to check."""
    monkeypatch.setattr(attempts, "FIRST_PAUSE_S", 0.02)

    def outcome(_: BuildSpec) -> ImageRef:
        raise BuilderUnavailable(FailureKind.DISK_FULL, "no space left on device")

    harness.builder.outcome = outcome
    build = await harness.build_ended(await harness.build())
    assert (build.status, build.error_code) == (BuildStatus.FAILED, "build.builder_unavailable")
    assert "its disk is full" in (build.error_message or "")
    assert build.attempt == 7


async def test_a_cancel_between_two_attempts(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled build does not wait for a builder that is unavailable."""
    monkeypatch.setattr(attempts, "FIRST_PAUSE_S", 600)

    def outcome(_: BuildSpec) -> ImageRef:
        raise BuilderUnavailable(FailureKind.BUILDER_LOST, "away")

    harness.builder.outcome = outcome
    build_id = await harness.build()
    await harness.until(lambda: _has_failed_once(harness), "the first attempt has ended")
    await harness.deps.db.write(builds.request_cancel, build_id, 1)
    await harness.deps.restate.send(BUILD_STOP, build_id, StopRequest(reason="cancelled"))
    assert (await harness.build_ended(build_id)).status is BuildStatus.CANCELLED


async def test_a_cancel_reaches_the_solve_at_once(harness: WorkerHarness) -> None:
    """The step watches the database itself, without a notification or a poll."""
    harness.builder.hold.clear()
    build_id = await harness.build()
    await harness.until(lambda: harness.running(1), "the build runs")
    await harness.deps.db.write(builds.request_cancel, build_id, 1)
    assert (await harness.build_ended(build_id)).status is BuildStatus.CANCELLED
    assert harness.builder.cancelled == [build_id]


async def test_a_build_that_takes_too_long(harness: WorkerHarness) -> None:
    """It ends the build: another attempt would take as long."""

    def outcome(_: BuildSpec) -> ImageRef:
        raise BuildFailed(FailureKind.TIMED_OUT, "the build took longer than 60 s")

    harness.builder.outcome = outcome
    build = await harness.build_ended(await harness.build())
    assert (build.status, build.error_code) == (BuildStatus.FAILED, "build.timed_out")


async def test_an_archive_is_checked_once(harness: WorkerHarness) -> None:
    """Content-addressed: an archive that passed its check is not read again by a second build."""
    archive = tarball("same")
    first = await harness.build_ended(await harness.build(archive=archive))
    assert first.status is BuildStatus.SUCCEEDED
    # the object is gone, the row says it is good: only a look at the archive would notice (the builder is a peer)
    second = await harness.build_ended(await harness.build(archive=archive, keep=False))
    assert second.status is BuildStatus.SUCCEEDED


async def test_a_missing_archive_fails_the_build(harness: WorkerHarness) -> None:
    """Deleted between the request and the build: the build fails with that, and no builder is called."""
    build_id = await harness.build(archive=tarball("gone"), keep=False)
    build = await harness.build_ended(build_id)
    assert (build.status, build.error_code) == (BuildStatus.FAILED, "object.not_found")
    assert harness.builder.specs == []


async def test_restate_leaves_a_build_its_time(harness: WorkerHarness) -> None:
    """Restate's abort timeout exceeds the build timeout: a solve within its time is never cut off."""
    timeout_s = harness.deps.config.build.timeout_s
    assert abort_timeout(timeout_s).total_seconds() > timeout_s + 60
    assert service(harness.deps).abort_timeout == abort_timeout(timeout_s)


async def _has_failed_once(harness: WorkerHarness) -> bool:
    await asyncio.sleep(0)
    return len(harness.builder.specs) == 1 and harness.builder.running == 0
