"""Intents on their way to Restate: none lost, none sent for ever, whatever is killed."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config
from restate import Workflow, WorkflowContext, WorkflowSharedContext, app
from sqlalchemy import Connection, select

from pkg.clock import now_ms
from pkg.config.sections import Restate as RestateSection
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState, Status
from pkg.environments import queries as environments
from pkg.feed.tables import desired_changes
from pkg.hostnames import Hostname, HostnameKind, Sticky
from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing
from pkg.operations import queries as operations
from pkg.operations.model import OperationStatus
from pkg.regions import queries as regions
from pkg.restate import CONTENT_TYPE, RestateClient
from pkg.restate.serde import ProtoSerde
from pkg.restate.testing import RestateServer
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.routes.rules import Intent
from pkg.storage.disk.config import DiskConfig
from pkg.testing.wait import WAIT_S
from pkg.workflows import outbox
from pkg.workflows.deploy import DEPLOY
from pkg.workflows.tables import dispatches
from sealift.ctrl.v1 import cluster_pb2, deployment_pb2, project_pb2
from sealift.workflow.v1 import workflow_pb2
from svc.api.cluster_testing import place, register
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready, walk_to
from svc.api.dispatch.dispatcher import Dispatcher
from svc.api.dispatch.reconciler import Reconciler
from svc.api.testing import RecordingRestate, RunningApi, Stubs, channel_with, config_in, eventually, running_api

ROOT = Path(__file__).resolve().parents[3]


async def test_an_intent_is_sent_once_with_its_id_only(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate
) -> None:
    """Promise: the workflow gets the row's id as key and nothing else; accepted is remembered."""
    made = await deploy()
    await eventually(lambda: restate.count("Deploy", "run", made.deployment_id) == 1, "sent")
    sent = next(s for s in restate.sent if s.handler == "run")
    expected = workflow_pb2.DeployRequest(deployment_id=made.deployment_id)
    assert workflow_pb2.DeployRequest.FromString(sent.body) == expected

    async def is_marked() -> bool:
        row = await api.db.read(outbox.get, DEPLOY, made.deployment_id)
        return row is not None and row.sent_at is not None and row.invocation_id == f"inv_{made.deployment_id}"

    await eventually(is_marked, "marked as sent")


async def test_restate_away_for_a_while(api: RunningApi, deploy: Deploy, restate: RecordingRestate) -> None:
    """Promise: recording an intent needs no Restate; it is sent when Restate is back."""
    restate.is_away = True
    made = await deploy()

    async def was_tried() -> bool:
        row = await api.db.read(outbox.get, DEPLOY, made.deployment_id)
        return row is not None and row.attempts >= 2 and "503" in (row.last_error or "")

    await eventually(was_tried, "tried and noted")
    restate.is_away = False
    await eventually(lambda: restate.count("Deploy", "run", made.deployment_id) == 1, "sent")


async def test_killed_between_commit_and_dispatch(tmp_path: Path, restate: RecordingRestate) -> None:
    """Promise: an api killed right after the commit sends the intent at its next start."""
    config = config_in(tmp_path, restate.url)
    assert isinstance(config.objects, DiskConfig)
    restate.is_away = True
    file = tmp_path / "api.toml"
    file.write_text(
        f"""
[grpc]
listen = "127.0.0.1:{os.getpid() % 10000 + 20000}"
[http]
listen = "127.0.0.1:0"
[database]
url = "{config.database.url.reveal()}"
[telemetry]
path = "{tmp_path / "telemetry.db"}"
[objects]
root = "{config.objects.root}"
signing_key_file = "{config.objects.signing_key_file}"
[restate]
ingress = "{restate.url}"
admin = "{restate.url}"
[vault]
master_key_file = "{config.vault.master_key_file}"
[[bootstrap_keys]]
name = "admin"
role = "admin"
file = "{tmp_path / "admin.key"}"
"""
    )
    address = f"127.0.0.1:{os.getpid() % 10000 + 20000}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "build.api.main", "--config", str(file), cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with channel_with(address, (tmp_path / "admin.key").read_text()) as channel:
            stubs = Stubs(channel)
            made = await stubs.project.CreateProject(
                project_pb2.CreateProjectRequest(slug="hello"), wait_for_ready=True, timeout=WAIT_S
            )
            answer = await stubs.deployment.CreateDeployment(
                deployment_pb2.CreateDeploymentRequest(
                    project_id=made.project.project_id, environment_slug="production", docker_image="nginx"
                )
            )
        process.send_signal(signal.SIGKILL)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    assert restate.sent == []
    restate.is_away = False
    deployment_id = answer.deployment.deployment_id
    async with running_api(config):
        await eventually(lambda: restate.count("Deploy", "run", deployment_id) == 1, "sent at the next start")


async def test_the_real_restate_takes_it(tmp_path: Path) -> None:
    """Promise: against the real server an intent waits for its worker, is taken once, and is found by its key."""
    started: list[str] = []
    called: list[str] = []
    workflow = Workflow("Deploy")

    @workflow.main(accept=CONTENT_TYPE, input_serde=ProtoSerde(workflow_pb2.DeployRequest))
    async def run(ctx: WorkflowContext, request: workflow_pb2.DeployRequest) -> str:
        assert ctx.key() == request.deployment_id
        started.append(request.deployment_id)
        return str(await ctx.promise("go", type_hint=str).value())

    @workflow.handler(accept=CONTENT_TYPE, input_serde=ProtoSerde(workflow_pb2.Empty))
    async def applied(ctx: WorkflowSharedContext, request: workflow_pb2.Empty) -> None:
        del request
        called.append(ctx.key())
        await ctx.promise("go", type_hint=str).resolve("done")

    stop = asyncio.Event()
    with RestateServer() as server:
        config = msgspec.structs.replace(
            config_in(tmp_path, ""), restate=RestateSection(ingress=server.ingress, admin=server.admin)
        )
        async with running_api(config) as api:
            made = (
                await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="hello"))
            ).project.project_id
            request = deployment_pb2.CreateDeploymentRequest(
                project_id=made, environment_slug="production", docker_image="nginx"
            )
            deployment_id = (await api.admin.deployment.CreateDeployment(request)).deployment.deployment_id

            async def was_refused() -> bool:
                row = await api.db.read(outbox.get, DEPLOY, deployment_id)
                return row is not None and row.attempts > 0

            await eventually(was_refused, "no worker yet")
            hypercorn = Config()
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            hypercorn.bind = [f"fd://{listener.detach()}"]
            hypercorn.loglevel = "ERROR"
            serving = asyncio.create_task(serve(app([workflow]), hypercorn, shutdown_trigger=stop.wait, mode="asgi"))
            client = RestateClient(server.ingress, server.admin)
            await client.register(f"http://127.0.0.1:{port}")
            await eventually(lambda: started == [deployment_id], "started", 20)
            assert await client.workflow_status(DEPLOY.run, deployment_id) == "running"
            # again, as after a crash between Restate's answer and our commit
            await api.db.write(outbox.add, DEPLOY, deployment_id, now_ms())
            await api.db.write(walk_to, deployment_id, Status.DEPLOYING, Status.NETWORK)
            epoch = await register(api)
            await api.krane.cluster.ReportApplied(
                cluster_pb2.ReportAppliedRequest(region="local", epoch=epoch, version=0)
            )
            await eventually(lambda: called == [deployment_id], "its shared handler was called", 20)

            async def is_done() -> bool:
                return await client.workflow_status(DEPLOY.run, deployment_id) == "completed"

            await eventually(is_done, "done", 20)
            assert len(set(started)) == 1
            await client.close()
    # Restate went first and closed its connection
    stop.set()
    await serving


@pytest.fixture
async def reconciler(api: RunningApi) -> AsyncIterator[Reconciler]:
    """A second reconciler, which the test calls."""
    client = RestateClient(api.config.restate.ingress, api.config.restate.admin)
    yield Reconciler(api.db, client, Dispatcher(api.db, client, now_ms, Tracing()), Metrics("api", "t"), now_ms)
    await client.close()


async def test_unknown_to_restate_is_dispatched_again(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate, reconciler: Reconciler
) -> None:
    """Promise: what Restate has forgotten goes back into the outbox; what runs is left alone."""
    lost, fine = await deploy(), await deploy(branch="b")
    await eventually(lambda: len([s for s in restate.sent if s.handler == "run"]) == 2, "sent")

    async def all_marked() -> bool:
        return not await api.db.read(outbox.due)

    await eventually(all_marked, "marked")
    restate.status[("Deploy", lost.deployment_id)] = 404
    await reconciler.reconcile()
    await eventually(lambda: restate.count("Deploy", "run", lost.deployment_id) == 2, "sent again")
    assert restate.count("Deploy", "run", fine.deployment_id) == 1
    assert (await api.db.read(deployments.get, lost.deployment_id)).status is Status.PENDING  # type: ignore[union-attr]


async def test_a_finished_workflow_without_an_end_is_failed_and_undone(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate, reconciler: Reconciler
) -> None:
    """Promise: a lost workflow ends as failed, the routes go back before its instances stop."""
    await register(api)
    first = await deploy()
    await api.db.write(make_ready, first.deployment_id, hostname="hello.sealift.localhost")
    second = await deploy()

    def half_done(connection: Connection) -> None:
        walk_to(connection, second.deployment_id, Status.DEPLOYING)
        place(connection, second.deployment_id)
        deployments.set_run_state(connection, second.deployment_id, RunState.STARTING, now_ms())
        walk_to(connection, second.deployment_id, Status.NETWORK)
        row = deployments.get(connection, second.deployment_id)
        environment = environments.get(connection, second.environment_id)
        assert row is not None
        assert environment is not None
        moved = moves.assign(
            connection,
            deployment=row,
            environment=environment,
            hostnames=[
                Hostname("hello.sealift.localhost", HostnameKind.LIVE, Sticky.LIVE),
                Hostname("hello-dep-x.sealift.localhost", HostnameKind.DEPLOYMENT, Sticky.NONE),
            ],
            intent=Intent.DEPLOY,
            seq=row.seq,
            now=now_ms(),
        )
        assert moved.taken

    await api.db.write(half_done)
    await eventually(lambda: restate.count("Deploy", "run", second.deployment_id) == 1, "sent")

    async def all_marked() -> bool:
        return not await api.db.read(outbox.due)

    await eventually(all_marked, "marked")
    restate.status[("Deploy", second.deployment_id)] = 200
    for _ in range(2):
        await reconciler.reconcile()
    row = await api.db.read(deployments.get, second.deployment_id)
    assert row is not None
    assert (row.status, row.error_code, row.error_step) == (Status.FAILED, "internal.workflow_lost", "network")
    assert row.run_state is RunState.STOPPING
    back = await api.db.read(routes.get, "hello.sealift.localhost")
    assert back is not None
    assert back.deployment_id == first.deployment_id
    assert await api.db.read(routes.get, "hello-dep-x.sealift.localhost") is None
    topology = (await api.db.read(regions.topologies_of, second.deployment_id))[0]
    assert topology.stopped

    changes = await api.db.read(
        lambda c: [(r.kind, r.key) for r in c.execute(select(desired_changes).order_by(desired_changes.c.version))]
    )
    assert changes.index(("topology", second.deployment_id)) == 1  # placed
    assert changes[-1] == ("topology", second.deployment_id)  # stopped last of all


async def test_a_lost_operation_gives_back_its_routes(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate, reconciler: Reconciler
) -> None:
    """Promise: a promote whose workflow is lost ends as failed."""
    live, other = await deploy(), await deploy(branch="b")
    await api.db.write(make_ready, live.deployment_id, hostname="hello.sealift.localhost")
    await api.db.write(make_ready, other.deployment_id)
    answer = await api.admin.deployment.Promote(deployment_pb2.PromoteRequest(deployment_id=other.deployment_id))
    operation_id = answer.operation.operation_id

    async def is_marked() -> bool:
        return not await api.db.read(outbox.due)

    await eventually(is_marked, "marked")
    restate.status[("Switch", operation_id)] = 200
    await reconciler.reconcile()
    operation = await api.db.read(operations.get, operation_id)
    assert operation is not None
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "internal.workflow_lost")


async def test_the_outbox_is_left_to_the_dispatcher(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate, reconciler: Reconciler
) -> None:
    """Promise: an intent that was never sent is not taken for a lost one."""
    restate.is_away = True
    made = await deploy()
    restate.status[("Deploy", made.deployment_id)] = 200
    restate.is_away = True
    await reconciler.reconcile()
    row = await api.db.read(deployments.get, made.deployment_id)
    assert row is not None
    assert row.status is Status.PENDING
    rows = await api.db.read(lambda c: c.execute(select(dispatches)).all())
    assert len(rows) == 1
