"""What a harness consists of: configuration, rows, the dependencies of a worker, and its server."""

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from pkg.acme import AcmeServer
from pkg.builders.docker.config import DockerConfig
from pkg.clock import now_ms
from pkg.config import Secret
from pkg.config.sections import Database as DatabaseSection
from pkg.config.sections import Vault as VaultSection
from pkg.contexts import ContextChecker
from pkg.db import Database
from pkg.db.testing import fresh_file
from pkg.dns_providers.factory import open_provider
from pkg.environments import queries as environments
from pkg.environments.model import EnvironmentKind
from pkg.ids import new_id
from pkg.installation import queries as installation
from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing
from pkg.projects import queries as projects
from pkg.projects.model import Project
from pkg.restate import RestateClient, serve
from pkg.restate.testing import RestateServer
from pkg.secrets import Vault
from pkg.storage.disk.config import DiskConfig
from pkg.storage.disk.testing import served
from pkg.telemetry.sqlite.config import SqliteConfig
from pkg.workspaces import queries as workspaces
from svc.worker.app import create_app
from svc.worker.config import Deploy, Http, Restate, WorkerConfig
from svc.worker.deps import WorkerDeps
from svc.worker.testing.builder import FakeBuilder

MASTER_KEY = b"0123456789abcdef" * 2


def config_for(folder: Path, server: RestateServer, port: int, **deploy: Any) -> WorkerConfig:
    """A worker's configuration for a test."""
    limits = {"wait_poll_s": 0.3, "route_timeout_s": 20, **deploy}
    return WorkerConfig(
        instance_id="worker-test",
        http=Http(listen=f"127.0.0.1:{port}", uri=f"http://127.0.0.1:{port}"),
        database=DatabaseSection(url=Secret(f"sqlite:///{folder / 'control.db'}")),
        telemetry=SqliteConfig(path=folder / "telemetry.db"),
        objects=DiskConfig(
            root=folder / "objects", signing_key_file=folder / "urls.key", external_url="http://127.0.0.1"
        ),
        restate=Restate(ingress=server.ingress, admin=server.admin, identity_public_key=server.public_key),
        vault=VaultSection(master_key_file=folder / "master.key"),
        build=DockerConfig(timeout_s=60),
        deploy=Deploy(**limits),
    )


async def add_project(db: Database, vault: Vault, build_slots: int = 2) -> tuple[str, str, str]:
    """A workspace, a project and its production environment; their ids."""
    project_id, environment_id = new_id("proj"), new_id("env")

    def write(connection: Connection) -> str:
        now = now_ms()
        installation.ensure(connection, now)
        workspace_id = workspaces.ensure_default(connection, now, build_slots=build_slots)
        projects.add(connection, Project(project_id, workspace_id, f"web-{project_id[-6:]}", "Web", now, now))
        environments.add(
            connection, environment_id=environment_id, workspace_id=workspace_id, project_id=project_id,
            slug="production", kind=EnvironmentKind.PRODUCTION, data_key=vault.new_data_key(), now=now,
        )  # fmt: skip
        return workspace_id

    return await db.write(write), project_id, environment_id


async def deps_for(
    stack: AsyncExitStack, config: WorkerConfig, server: RestateServer, folder: Path, *, builds: bool = False
) -> tuple[WorkerDeps, FakeBuilder]:
    """The dependencies of a worker, closed with the stack: real, but for the builder unless it really `builds`."""
    if not (folder / "control.db").exists():
        fresh_file(folder)
    db, fake = Database.open(config.database.url.reveal()), FakeBuilder()
    stack.push_async_callback(db.close)
    telemetry = config.telemetry.open()
    stack.push_async_callback(telemetry.close)
    restate = RestateClient(server.ingress, server.admin)
    stack.push_async_callback(restate.close)
    store = await stack.enter_async_context(served(folder / "objects"))
    checker = ContextChecker(store)
    stack.push_async_callback(checker.close)
    builder = config.build.open_beside(config.builder_sections, db) if builds else fake
    stack.push_async_callback(builder.close)
    acme = AcmeServer(config.tls) if config.tls.uses_acme else None
    if acme is not None:
        stack.push_async_callback(acme.close)
    deps = WorkerDeps(
        config=config, db=db, clock=now_ms, store=store, checker=checker, vault=Vault(MASTER_KEY), builder=builder,
        telemetry=telemetry, restate=restate,
        metrics=Metrics("worker", "worker-test"), tracing=Tracing(), stopping=asyncio.Event(),
        acme=acme, dns=None if config.tls.dns is None else open_provider(config.tls.dns),
    )  # fmt: skip
    return deps, fake


async def serve_handlers(
    stack: AsyncExitStack, deps: WorkerDeps, server: RestateServer, listener: socket.socket
) -> None:
    """Serves and registers the handlers until the stack is closed."""
    over, port = asyncio.Event(), listener.getsockname()[1]
    app = create_app(deps, [server.public_key])
    serving = asyncio.create_task(serve.serve(app, listener, over.wait, grace_s=0.2))

    async def end() -> None:
        over.set()
        await asyncio.gather(serving, return_exceptions=True)

    stack.push_async_callback(end)
    await serve.answers(port)
    await deps.restate.register(deps.config.http.uri)
