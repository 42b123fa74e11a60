"""Builds at Depot: what it reads about them, and what ends them, with a double of its API and a real BuildKit."""

import asyncio
import dataclasses
import logging
from typing import Any

import grpc
import pytest

from pkg.builders.depot import backend
from pkg.builders.depot.backend import INTERRUPTED, DepotBuilder
from pkg.builders.docker.testing import Build
from pkg.builders.port import CANCELLED_BY_USER
from pkg.builders.testing import MemorySink, nonce
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.config import Secret
from pkg.db import Database
from pkg.depot.pb import buildkit_pb2
from pkg.depot.projects import DepotProjects
from pkg.depot.testing import FAST, DepotDouble
from pkg.projects import queries as projects
from pkg.registry.testing import DockerRegistry
from pkg.telemetry.events import LogStream
from pkg.testing.wait import WAIT_S

Code = grpc.StatusCode
ENDLESS = "RUN echo begun {}; while :; do :; done\n"


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


async def begun(build: Build, sink: MemorySink, **fields: Any) -> "asyncio.Task[Any]":
    """A build whose command runs until something ends it."""
    task = asyncio.create_task(build(ENDLESS.format(nonce()), sink, **fields))
    await sink.saw("begun")
    return task


async def outcome_of(task: "asyncio.Task[Any]") -> BaseException:
    """The error with which it ends."""
    await asyncio.wait({task}, timeout=WAIT_S)
    assert task.done(), "the build did not end"
    if task.cancelled():
        return asyncio.CancelledError()
    error = task.exception()
    assert error is not None
    return error


async def test_a_build_is_begun_kept_released_and_finished(
    build: Build, sink: MemorySink, depot: DepotDouble, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise: Depot gets heartbeats before the machine is ready, the release and the success; both logs name it."""
    with caplog.at_level(logging.INFO):
        image = await build(f"EXPOSE 8080\nRUN echo {nonce()}\n", sink)
    ((build_id, made),) = depot.builds.items()
    assert (image.platform, image.exposed_ports, image.image_ref.digest[:7]) == ("linux/amd64", (8080,), "sha256:")
    assert (made.outcome, made.released, made.was_kept_before_ready, made.is_expired) == ("success", 1, True, False)
    assert made.heartbeats >= 1
    line = f"acquired a machine of Depot: build {build_id}, platform linux/amd64, architecture amd64"
    assert ("", LogStream.SYSTEM, line) in sink.lines
    assert "acquired a machine of Depot" in caplog.text
    stored = await db.read(projects.get, "proj_a")
    assert stored is not None
    assert made.project_id == stored.depot_project_id


async def test_the_platform_chooses_the_machine(build: Build, sink: MemorySink, depot: DepotDouble) -> None:
    """Promise: a build for arm64 asks for such a machine; that this one is of another kind is named as such."""
    with pytest.raises(BuildFailed, match=r"build\.platform") as failed:
        await build("RUN :\n", sink, platform="linux/arm64")
    assert depot.last.platform == buildkit_pb2.PLATFORM_ARM64
    assert "platform linux/arm64, architecture arm64" in sink.text
    assert depot.last.outcome == failed.value.message


async def test_later_builds_are_in_the_same_project(build: Build, depot: DepotDouble) -> None:
    """Promise: the project at Depot, and with it the cache, is made once."""
    for _ in range(2):
        await build("RUN :\n")
    assert {made.project_id for made in depot.builds.values()} == set(depot.projects)
    assert (len(depot.projects), depot.calls["CreateProject"]) == (1, 1)


async def test_two_builds_of_a_new_project_at_once_make_one(build: Build, depot: DepotDouble) -> None:
    """Promise: both build, each on a machine with certificates of its own."""
    depot.create_s = 0.3
    marks, sinks = (nonce(), nonce()), (MemorySink(), MemorySink())
    await asyncio.gather(*(build(f"RUN echo {mark}\n", sink) for mark, sink in zip(marks, sinks, strict=True)))
    assert [[mark in sink.text for mark in marks] for sink in sinks] == [[True, False], [False, True]]
    assert (len(depot.projects), depot.calls["CreateProject"]) == (1, 1)
    assert [made.outcome for made in depot.builds.values()] == ["success"] * 2
    assert len({made.key for made in depot.builds.values()}) == 2


async def test_the_errors_text_is_the_outcome(build: Build, depot: DepotDouble) -> None:
    """Promise: Depot shows for a failed build what the user reads, and the machine is released."""
    with pytest.raises(BuildFailed) as failed:
        await build(f"RUN : {nonce()}; exit 7\n")
    assert (failed.value.kind, failed.value.exit_code) == (FailureKind.COMMAND_FAILED, 7)
    assert (depot.last.outcome, depot.last.released) == (failed.value.message, 1)


@pytest.mark.parametrize("message", [CANCELLED_BY_USER, None])
async def test_a_cancel_is_told_as_such(
    build: Build, sink: MemorySink, depot: DepotDouble, message: str | None
) -> None:
    """Promise: Depot reads whether a user has cancelled the build or the worker has stopped; no machine stays."""
    task = await begun(build, sink)
    task.cancel(message)
    assert isinstance(await outcome_of(task), asyncio.CancelledError)
    assert (depot.last.outcome, depot.last.released) == (message or INTERRUPTED, 1)


async def test_a_cancel_before_there_is_a_machine_releases_it(build: Build, depot: DepotDouble) -> None:
    """Promise: a machine that is still being started does not stay behind."""
    depot.pendings = 10_000
    task = asyncio.create_task(build("RUN :\n"))
    await depot.called["GetEndpoint"].wait()
    task.cancel(CANCELLED_BY_USER)
    assert isinstance(await outcome_of(task), asyncio.CancelledError)
    assert (depot.last.outcome, depot.last.released) == (CANCELLED_BY_USER, 1)


async def test_a_cancel_while_depot_begins_the_build_ends_it(build: Build, depot: DepotDouble) -> None:
    """Promise: a build whose id was not known yet does not stay unfinished at Depot."""
    await build("RUN :\n")
    depot.create_s = 0.5
    depot.called.clear()
    task = asyncio.create_task(build("RUN :\n"))
    await depot.called["CreateBuild"].wait()
    task.cancel(CANCELLED_BY_USER)
    assert isinstance(await outcome_of(task), asyncio.CancelledError)
    assert [made.outcome for made in depot.builds.values()] == ["success", CANCELLED_BY_USER]


async def test_a_bad_token_is_named(build: Build, depot: DepotDouble, registry: DockerRegistry, db: Database) -> None:
    """Promise: the build fails at once with its own code, the check says the same, and nothing was begun."""
    config = depot.config(access_token=Secret("wrong-token"))
    other = DepotBuilder(config, registry.config(), DepotProjects(db), sbom_scanner="", timing=FAST)
    with pytest.raises(BuildFailed, match=r"build\.builder_auth: .*\[depot\] access_token"):
        await build("RUN :\n", using=other)
    with pytest.raises(BuilderUnavailable, match=r"build\.builder_auth: .*\[depot\] access_token"):
        await other.check()
    assert not depot.builds


async def test_a_project_that_is_gone_at_depot_is_made_again(
    build: Build, sink: MemorySink, depot: DepotDouble
) -> None:
    """Promise: who deletes it there loses its cache and nothing else; the log says so."""
    await build("RUN :\n")
    (gone,) = depot.projects
    depot.projects.clear()
    await build("RUN :\n", sink)
    assert depot.last.outcome == "success"
    assert f"Depot has no project {gone} any more" in sink.text


async def test_an_unknown_project_has_its_own_code(build: Build, depot: DepotDouble) -> None:
    """Promise: when Depot knows not even the project that it has just made, the build fails, and no loop begins."""
    depot.faults["CreateBuild"] = [Code.NOT_FOUND] * 2
    with pytest.raises(BuildFailed, match=r"build\.builder_not_found"):
        await build("RUN :\n")
    assert depot.calls["CreateBuild"] == 2


async def test_a_quota_has_its_own_code(build: Build, depot: DepotDouble) -> None:
    """Promise: a limit at Depot is named, also where it shows at the machine; the build at Depot is ended then."""
    depot.faults["CreateBuild"] = [Code.RESOURCE_EXHAUSTED]
    with pytest.raises(BuildFailed, match=r"build\.builder_quota"):
        await build("RUN :\n")
    depot.faults["GetEndpoint"] = [Code.RESOURCE_EXHAUSTED]
    with pytest.raises(BuildFailed, match=r"build\.builder_quota"):
        await build("RUN :\n")
    assert "limit" in depot.last.outcome


async def test_an_endpoint_that_ends_early_leads_to_another_attempt(build: Build, depot: DepotDouble) -> None:
    """Promise: no machine is waited for that does not come; the next attempt begins another build."""
    depot.ends_early = 1
    with pytest.raises(BuilderUnavailable, match="ended the wait for a machine"):
        await build("RUN :\n")
    assert (depot.last.released, "ended the wait" in depot.last.outcome) == (1, True)
    await build("RUN :\n")
    assert [made.outcome == "success" for made in depot.builds.values()] == [False, True]


async def test_certificates_that_are_none_lead_to_another_attempt(build: Build, depot: DepotDouble) -> None:
    """Promise: what is no certificate ends neither the worker nor the build for good, and is not quoted."""
    depot.garbles = True
    with pytest.raises(BuilderUnavailable, match="has no certificate in it") as lost:
        await build("RUN :\n")
    assert (depot.last.released, depot.last.outcome) == (1, lost.value.message)


async def test_a_machine_may_take_long_to_be_ready(build: Build, depot: DepotDouble) -> None:
    """Promise: a machine that loads its cache is waited for, within a bound."""
    depot.ready_after_s = 1.0
    await build("RUN :\n")
    assert depot.last.heartbeats > 5
    depot.ready_after_s = 60.0
    with pytest.raises(BuilderUnavailable, match="not ready after"):
        await build("RUN :\n", timeout_s=3)
    assert depot.last.released == 1


async def test_the_wait_for_the_machine_counts(build: Build, sink: MemorySink, depot: DepotDouble) -> None:
    """Promise: the limit is that of the whole attempt, and its message names the limit that the operator has set."""
    depot.ready_after_s = 1.5
    with pytest.raises(BuildFailed, match=r"build\.timed_out: the build did not end within 4 s") as failed:
        await build(ENDLESS.format(nonce()), sink, timeout_s=4)
    assert "begun" in sink.text
    assert (depot.last.outcome, depot.last.released) == (failed.value.message, 1)


async def test_a_machine_that_vanishes_leads_to_another_attempt(
    build: Build, sink: MemorySink, depot: DepotDouble
) -> None:
    """Promise: a machine whose connections break in the middle of a build makes the builder unavailable."""
    task = await begun(build, sink)
    await depot.last.gate.close()
    error = await outcome_of(task)
    assert isinstance(error, BuilderUnavailable)
    assert (error.kind, depot.last.released) == (FailureKind.BUILDER_LOST, 1)
    assert depot.last.outcome == error.message


async def test_a_machine_that_falls_silent_leads_to_another_attempt(
    build: Build, sink: MemorySink, depot: DepotDouble
) -> None:
    """Promise: a machine that closes no connection and says nothing more is given up after some questions."""
    task = await begun(build, sink)
    depot.last.gate.freeze()
    error = await outcome_of(task)
    assert isinstance(error, BuilderUnavailable)
    assert "the machine does not answer any more" in error.message


async def test_heartbeats_that_depot_refuses_lead_to_another_attempt(
    build: Build, sink: MemorySink, depot: DepotDouble
) -> None:
    """Promise: a build does not go on with a machine that Depot has taken away."""
    task = await begun(build, sink)
    depot.faults["ReportHealth"] = [Code.NOT_FOUND]
    error = await outcome_of(task)
    assert isinstance(error, BuilderUnavailable)
    assert "does not keep the machine any more" in error.message
    assert depot.last.released == 1


async def test_a_machine_without_heartbeats_expires(
    build: Build, sink: MemorySink, depot: DepotDouble, registry: DockerRegistry, db: Database
) -> None:
    """Promise: where heartbeats stop, Depot takes the machine, and the build gets another attempt."""
    slow = dataclasses.replace(FAST, heartbeat_s=60, heartbeat_timeout_s=300)
    silent = DepotBuilder(depot.config(), registry.config(), DepotProjects(db), sbom_scanner="", timing=slow)
    task = await begun(build, sink, using=silent)
    depot.expires_s = 0.5
    assert isinstance(await outcome_of(task), BuilderUnavailable)
    assert depot.last.is_expired


async def test_depot_away_for_a_moment_is_not_noticed(build: Build, depot: DepotDouble) -> None:
    """Promise: each call of a build is repeated when Depot is unavailable; heartbeats go on until it is released."""
    for method in ("ListProjects", "CreateBuild", "GetEndpoint", "ReportHealth", "FinishBuild"):
        depot.faults[method] = [Code.UNAVAILABLE]
    depot.faults["ReleaseEndpoint"] = [Code.UNAVAILABLE] * 2
    await build("RUN :\n")
    assert (depot.last.outcome, depot.last.released) == ("success", 1)
    assert depot.last.silence_s < 1.0  # the release took 1.5 s


async def test_a_depot_that_does_not_take_the_end_costs_no_image(
    build: Build, builder: DepotBuilder, depot: DepotDouble, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Promise: the release and the outcome are tried for a bounded time; the build has succeeded without them."""
    monkeypatch.setattr(backend, "END_WAIT_S", 0.3)
    monkeypatch.setattr(backend, "END_TIMEOUT_S", 1.0)
    depot.hangs = {"ReleaseEndpoint"}
    async with asyncio.timeout(WAIT_S):
        await build("RUN :\n")
        await builder.close()
    depot.hangs = set()
    depot.faults["ReleaseEndpoint"] = [Code.INTERNAL]
    depot.faults["FinishBuild"] = [Code.INTERNAL]
    with caplog.at_level(logging.WARNING):
        await build("RUN :\n")
    assert "machine of Depot not released" in caplog.text
    assert "outcome not told to Depot" in caplog.text


async def test_nothing_that_grants_access_is_told(
    build: Build, sink: MemorySink, depot: DepotDouble, registry: DockerRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise: neither tokens nor the machine's key are in output, steps, errors, logs, or in what Depot is told."""
    with caplog.at_level(logging.DEBUG, logger="pkg"):
        with pytest.raises(BuildFailed) as failed:
            await build(f"RUN echo {depot.token}; exit 3 # {nonce()}\n", sink)
        told = f"{sink.everything()}{failed.value}{caplog.text}{depot.last.outcome}"
        task = await begun(build, sink)
        depot.faults["ReportHealth"] = [Code.NOT_FOUND]
        told += f"{await outcome_of(task)!r}{sink.everything()}{caplog.text}"
    password = registry.config().password.reveal()
    keys = [line for made in depot.builds.values() for line in made.key.decode().splitlines() if "PRIVATE" not in line]
    for secret in [depot.token, password, *(made.token for made in depot.builds.values()), *keys]:
        assert secret not in told
