"""Everything around the workflows, real where it can be; the api's part in a few lines each."""

import asyncio
import hashlib
import io
import logging
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pkg import intents
from pkg.builds import contexts
from pkg.builds import queries as builds
from pkg.builds.model import Build, SealedSecret
from pkg.certificates.config import Tls
from pkg.clock import now_ms
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.settings import HealthCheck, Settings
from pkg.deployments.status import RunState, Status
from pkg.desired.capabilities import BASELINE, CERTIFICATE, CHALLENGE
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.ids import new_id
from pkg.intents import BuildIntent, DeployIntent
from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationKind
from pkg.restate import serve
from pkg.restate.testing import RestateServer
from pkg.routes import queries as routes
from pkg.secrets import AssociatedData
from pkg.storage.testing import put
from pkg.workflows.building import BUILD
from pkg.workflows.deploy import DEPLOY, DEPLOY_STOP
from pkg.workflows.model import Workflow
from pkg.workflows.switch import SWITCH
from sealift.workflow.v1.workflow_pb2 import SlotState, StopRequest
from svc.worker.deps import WorkerDeps
from svc.worker.testing.builder import FakeBuilder
from svc.worker.testing.fixtures import add_project, config_for, deps_for, serve_handlers
from svc.worker.testing.region import FakeRegion

EVENTUALLY_S = 60.0
WITH_CERTIFICATES = {*BASELINE, CERTIFICATE.capability, CHALLENGE.capability}

T = TypeVar("T")


@dataclass(frozen=True)
class WorkerHarness:
    """One environment of one project, one region, one worker.

    Everything that would wait minutes in production waits fractions of a second.
    """

    deps: WorkerDeps
    builder: FakeBuilder
    region: FakeRegion
    environment_id: str
    project_id: str
    workspace_id: str
    region_task: asyncio.Task[None]
    folder: Path

    # -- what a user does -------------------------------------------------------------------------------------------

    async def deploy(
        self,
        *,
        image: str = "",
        built: Build | None = None,
        branch: str = "main",
        settings: Settings | None = None,
        secrets: dict[str, bytes] | None = None,
        archive: bytes | None = None,
        dispatch: bool = True,
    ) -> str:
        """Records a deploy, of an upload unless an `image` or an earlier build is given, and dispatches it; its id."""
        exists = bool(image) or built is not None
        deployment_id, build_id = new_id("dep"), "" if exists else new_id("bld")
        build = None if exists else await self._build_intent(build_id, archive or tarball(branch), secrets or {})
        environment = await self.environment()
        intent = DeployIntent(
            deployment_id=deployment_id,
            environment=environment,
            branch=branch,
            keyspace_id=None,
            git={},
            settings=(settings or quick()).to_json(),
            variables_sealed=None,
            plain_variables=(),
            traceparent="",
            build_id=build_id,
            build=build,
            built=built,
            docker_image=image,
        )
        await self.deps.db.write(intents.record_deploy, intent, now_ms())
        if dispatch:
            await self.dispatch(DEPLOY, deployment_id)
        return deployment_id

    async def build(self, *, archive: bytes | None = None, keep: bool = True) -> str:
        """Dispatches a build without a deployment; returns its id. `keep` False: deletes its archive first."""
        build_id = new_id("bld")
        intent = await self._build_intent(build_id, archive or tarball(), {})
        await self.deps.db.write(
            lambda connection: intents.record_build(
                connection, build_id=build_id, workspace_id=self.workspace_id, project_id=self.project_id,
                deployment_id=None, intent=intent, traceparent="", now=now_ms(),
            )
        )  # fmt: skip
        if not keep:
            await self.deps.store.delete(intent.build_context_path)
        await self.dispatch(BUILD, build_id)
        return build_id

    async def cancel(self, deployment_id: str, *, notify: bool = True) -> None:
        """What CancelDeployment does; `notify` False: the api died before it could notify the workflow."""
        deployment = await self.deployment(deployment_id)
        await self.deps.db.write(intents.record_cancel, deployment, now_ms())
        if notify:
            await self.deps.restate.send(DEPLOY_STOP, deployment_id, StopRequest(reason="cancelled"))

    async def switch(self, kind: OperationKind, deployment_id: str | None = None, *, dispatch: bool = True) -> str:
        """Records a promote or rollback and dispatches it; its id."""
        environment = await self.environment()
        operation_id = await self.deps.db.write(
            lambda connection: intents.record_switch(
                connection, kind=kind, environment=environment, deployment_id=deployment_id, traceparent="",
                now=now_ms(),
            )
        )  # fmt: skip
        if dispatch:
            await self.dispatch(SWITCH, operation_id)
        return operation_id

    async def stop(self, deployment_id: str, *, takes_down: bool = False, dispatch: bool = True) -> str:
        """Records the stop of a deployment and dispatches it; the operation's id."""
        environment, target = await self.environment(), await self.deployment(deployment_id)
        operation_id = await self.deps.db.write(
            lambda connection: intents.record_stop(
                connection, environment=environment, target=target, takes_down=takes_down, traceparent="", now=now_ms()
            )
        )
        if dispatch:
            await self.dispatch(SWITCH, operation_id)
        return operation_id

    async def scale(self, replicas: int, process: str = "", *, dispatch: bool = True) -> str:
        """Records another number of instances and dispatches it; the operation's id."""
        environment = await self.environment()
        operation_id = await self.deps.db.write(
            lambda connection: intents.record_scale(
                connection, environment=environment, replicas=replicas, process=process, traceparent="", now=now_ms()
            )
        )
        if dispatch:
            await self.dispatch(SWITCH, operation_id)
        return operation_id

    async def restart(self, deployment_id: str, *, dispatch: bool = True) -> str:
        """Records the restart of a deployment and dispatches it; the operation's id."""
        environment, target = await self.environment(), await self.deployment(deployment_id)
        operation_id = await self.deps.db.write(
            lambda connection: intents.record_restart(
                connection, environment=environment, target=target, traceparent="", now=now_ms()
            )
        )
        if dispatch:
            await self.dispatch(SWITCH, operation_id)
        return operation_id

    async def dispatch_switch(self, operation_id: str) -> None:
        """Late, for an operation that was recorded without."""
        await self.dispatch(SWITCH, operation_id)

    async def dispatch(self, workflow: Workflow, key: str) -> None:
        """What the api's dispatcher does."""
        await self.deps.restate.send(workflow.run, key, workflow.request(key))

    async def dispatch_again(self, deployment_id: str) -> None:
        """The dispatcher sends what it has sent already, or what has ended in between."""
        await self.dispatch(DEPLOY, deployment_id)

    # -- what a test sees -------------------------------------------------------------------------------------------

    async def deployment(self, deployment_id: str) -> Deployment:
        """The row."""
        found = await self.deps.db.read(deployments.get, deployment_id)
        assert found is not None
        return found

    async def environment(self) -> Environment:
        """The row."""
        found = await self.deps.db.read(environments.get, self.environment_id)
        assert found is not None
        return found

    async def operation(self, operation_id: str) -> Operation:
        """The row."""
        found = await self.deps.db.read(operations.get, operation_id)
        assert found is not None
        return found

    async def built(self, build_id: str | None) -> Build:
        """The row."""
        found = await self.deps.db.read(builds.get, build_id or "")
        assert found is not None
        return found

    async def live(self) -> str | None:
        """The id of the live deployment."""
        return await self.deps.db.read(routes.live_deployment_id, self.environment_id)

    async def hostnames(self, deployment_id: str) -> list[str]:
        """The hostnames that point at it."""
        found = await self.deps.db.read(routes.of_deployment, deployment_id)
        return [route.hostname for route in found]

    async def until(self, look: Callable[[], Awaitable[T]], what: str, within_s: float = EVENTUALLY_S) -> T:
        """The first truthy result of `look`, which is called again after every commit."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    position = self.deps.db.commits.position
                    seen = await look()
                    if seen:
                        return seen
                    await self.deps.db.commits.wait(position, 0.5)
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s: {what}") from None

    async def ended(
        self, deployment_id: str, status: Status | None = None, within_s: float = EVENTUALLY_S
    ) -> Deployment:
        """The deployment once its deploy has ended (with that status)."""

        async def look() -> Deployment | None:
            found = await self.deployment(deployment_id)
            return found if found.status.is_terminal else None

        found = await self.until(look, f"{deployment_id} ends", within_s)
        assert found is not None
        assert status in (None, found.status), f"{found.status}: {found.error_code}: {found.error_message}"
        return found

    async def reaches(self, deployment_id: str, *statuses: Status) -> Deployment:
        """The deployment once it has one of the statuses."""

        async def look() -> Deployment | None:
            found = await self.deployment(deployment_id)
            assert found.status in statuses or not found.status.is_terminal, found
            return found if found.status in statuses else None

        found = await self.until(look, f"{deployment_id} is {statuses}")
        assert found is not None
        return found

    async def in_run_state(self, deployment_id: str, state: RunState) -> Deployment:
        """The deployment once it is in that run state."""

        async def look() -> Deployment | None:
            found = await self.deployment(deployment_id)
            return found if found.run_state is state else None

        found = await self.until(look, f"{deployment_id} is {state}")
        assert found is not None
        return found

    async def done(self, operation_id: str) -> Operation:
        """The operation once it has ended."""

        async def look() -> Operation | None:
            found = await self.operation(operation_id)
            return found if found.status.is_terminal else None

        found = await self.until(look, f"{operation_id} ends")
        assert found is not None
        return found

    async def build_ended(self, build_id: str | None) -> Build:
        """The build once it has ended."""

        async def look() -> Build | None:
            found = await self.built(build_id)
            return found if found.status.is_terminal else None

        found = await self.until(look, f"{build_id} ends")
        assert found is not None
        return found

    async def workflow_over(self, workflow: Workflow, key: str) -> None:
        """Returns once the workflow has ended in Restate, too: everything after the terminal row is done."""
        await self.deps.restate.attach_workflow(workflow.run, key, timeout_s=EVENTUALLY_S)

    async def queue_is_empty(self, service: str, key: str) -> None:
        """Returns once Restate has no invocation of the object under way or waiting, but for delayed ones."""

        async def look() -> bool:
            rows = await self.deps.restate.sql(
                f"select id from sys_invocation where target_service_name = '{service}' "  # noqa: S608
                f"and target_service_key = '{key}' and status not in ('completed', 'scheduled')"
            )
            return not rows

        await self.until(look, f"{service} {key} has nothing to do")

    async def in_queue(self, count: int) -> bool:
        """Whether so many builds hold or wait for a slot."""
        found = await self.deps.restate.sql(
            "select value from state where service_name = 'BuildSlot' "  # noqa: S608
            f"and service_key = '{self.workspace_id}'"
        )
        state = SlotState.FromString(bytes.fromhex(found[0]["value"])) if found else SlotState()
        return len(state.holders) + len(state.waiters) == count

    async def journal_of(self, key: str) -> bytes:
        """Everything that Restate has journaled of the workflow with this key, whole rows, as one piece."""
        found = await self.deps.restate.sql(
            "select j.* from sys_journal j join sys_invocation i on j.id = i.id "  # noqa: S608
            f"where i.target_service_key = '{key}'"
        )
        return repr(found).encode() + b"".join(bytes.fromhex(row.get("raw") or "") for row in found)

    async def running(self, count: int) -> bool:
        """Whether the builder runs so many attempts now."""
        return self.builder.running == count

    def later(self, ms: int) -> "WorkerHarness":
        """This harness with its clock set forward."""
        return replace(self, deps=replace(self.deps, clock=lambda: now_ms() + ms))

    async def freeze_region(self) -> None:
        """The region sees and does nothing any more."""
        self.region_task.cancel()
        await asyncio.gather(self.region_task, return_exceptions=True)

    async def _build_intent(self, build_id: str, archive: bytes, secrets: dict[str, bytes]) -> BuildIntent:
        sha256 = hashlib.sha256(archive).hexdigest()
        path = contexts.path_of(self.project_id, sha256)
        await put(self.deps.store, path, archive)
        key = self.deps.vault.new_data_key()
        sealed = tuple(
            SealedSecret(
                build_id, name, key, self.deps.vault.seal(key, value, AssociatedData.build_secret(build_id, name))
            )
            for name, value in secrets.items()
        )
        await self.deps.db.write(
            lambda connection: contexts.announce(
                connection, project_id=self.project_id, sha256=sha256, size_bytes=len(archive), now=now_ms(),
                expires_at=now_ms() + 3_600_000,
            )
        )  # fmt: skip
        return BuildIntent(build_context_path=path, dockerfile_path="Dockerfile", secrets=sealed)


def quick(start_timeout_s: int = 60, replicas: int = 1) -> Settings:
    """Settings of an app."""
    return Settings(replicas=replicas, health_check=HealthCheck(start_timeout_s=start_timeout_s))


def tarball(content: str = "x", *, dockerfile: bool = True) -> bytes:
    """A build context."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, text in {"app.txt": content, **({"Dockerfile": "FROM scratch\n"} if dockerfile else {})}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


@asynccontextmanager
async def worker_harness(
    server: RestateServer,
    folder: Path,
    *,
    build_slots: int = 2,
    with_region: bool = True,
    with_worker: bool = True,
    build_sections: Mapping[str, Any] | None = None,
    tls: Tls | None = None,
    **deploy: Any,
) -> AsyncIterator[WorkerHarness]:
    """A harness; `deploy` are settings of WorkerConfig.deploy. `with_worker` False: the test starts a worker.

    `build_sections` are sections of WorkerConfig by name, with which a real builder is opened. `tls`: who issues
    certificates; the region then understands what that takes.
    """
    logging.getLogger("hypercorn.error").setLevel(logging.WARNING)
    listener = serve.bind("127.0.0.1:0")
    config = config_for(folder, server, listener.getsockname()[1], **deploy)
    async with AsyncExitStack() as stack:
        config = msgspec.structs.replace(config, tls=tls or config.tls, **build_sections or {})
        deps, builder = await deps_for(stack, config, server, folder, builds=build_sections is not None)
        workspace_id, project_id, environment_id = await add_project(deps.db, deps.vault, build_slots)
        if with_worker:
            await serve_handlers(stack, deps, server, listener)
        else:
            listener.close()
        region = FakeRegion(deps.db, deps.restate)
        region_task = asyncio.create_task(region.run())
        stack.push_async_callback(_end, region_task)
        if with_region:
            await region.register(capabilities=[] if tls is None else WITH_CERTIFICATES)
        yield WorkerHarness(deps, builder, region, environment_id, project_id, workspace_id, region_task, folder)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
