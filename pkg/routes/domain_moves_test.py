"""Promise: whatever intents do in whatever order, a domain is where the environment's own hostname is."""

from dataclasses import dataclass, field
from random import Random

import pytest
from sqlalchemy import Connection

from pkg import intents
from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.deployments.addresses import domains_of, hostnames_of
from pkg.deployments.status import WARM, RunState, Status
from pkg.domains import queries as domains
from pkg.domains.names import parse_domain
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.errors import SealiftError
from pkg.operations import queries as operations
from pkg.operations.model import OperationKind, OperationStatus
from pkg.routes import domains as domain_routes
from pkg.routes import moves, queries
from pkg.routes.rules import Intent
from pkg.testing.sample_project import SampleProject, add_sample_project, deployment_of, environment_of, record_deploy

LIVE = "hello.sealift.localhost"
NAMES = ("a.shop.test", "b.shop.test", "*.shop.test")
STEPS = 60


@dataclass
class _Environment:
    """The production environment of a sample project, and random intents on it."""

    c: Connection
    random: Random
    sample: SampleProject = field(init=False)
    deploying: list[str] = field(default_factory=list)  # have taken what they may, and are not done
    recorded: list[str] = field(default_factory=list)  # have not taken anything yet
    switching: list[tuple[str, str]] = field(default_factory=list)  # operation and deployment
    now: int = 1

    def __post_init__(self) -> None:
        self.sample = add_sample_project(self.c)

    def step(self) -> str:
        self.now += 1
        steps = [self.record, self.take, self.take, self.finish, self.finish, self.fail, self.promote, self.roll_back]
        steps += [self.end_switch, self.fail_switch, self.take_down, self.add_domain, self.add_domain, self.remove]
        chosen = self.random.choice(steps)
        chosen()
        return chosen.__name__

    def check(self) -> None:
        """Each active domain is where the environment's own hostname is, by the same intent."""
        own = queries.get(self.c, LIVE)
        wanted = None if own is None else (own.deployment_id, own.answer, own.fence)
        for name in domains.active_hostnames(self.c, self.sample.production_id):
            row = queries.get(self.c, name)
            assert (None if row is None else (row.deployment_id, row.answer, row.fence)) == wanted, name

    def record(self) -> None:
        made = record_deploy(self.c, self.sample, image="nginx:1", branch=f"b{self.now}")
        for status in (Status.DEPLOYING, Status.NETWORK):
            assert deployments.enter(self.c, made.id, status, self.now)
        deployments.set_run_state(self.c, made.id, RunState.STARTING, self.now)
        deployments.set_image(self.c, made.id, "engine:sha256:1", "local", self.now)
        self.recorded.append(made.id)

    def take(self) -> None:
        if self.recorded:
            ident = self.recorded.pop(self.random.randrange(len(self.recorded)))
            self.assign(ident, Intent.DEPLOY, deployment_of(self.c, ident).seq)
            self.deploying.append(ident)

    def finish(self) -> None:
        if self.deploying:
            ident = self.deploying.pop(self.random.randrange(len(self.deploying)))
            deployments.set_run_state(self.c, ident, RunState.RUNNING, self.now)
            assert deployments.enter(self.c, ident, Status.READY, self.now)

    def fail(self) -> None:
        if self.deploying:
            ident = self.deploying.pop(self.random.randrange(len(self.deploying)))
            self.undo(ident, deployment_of(self.c, ident).seq)
            assert deployments.enter(self.c, ident, Status.FAILED, self.now)

    def promote(self) -> None:
        ready = [d.id for d in deployments.page(self.c, self.sample.project_id, limit=50) if self.is_warm(d.id)]
        if ready:
            self.switch(OperationKind.PROMOTE, self.random.choice(ready))

    def roll_back(self) -> None:
        self.switch(OperationKind.ROLLBACK, None)

    def switch(self, kind: OperationKind, target: str | None) -> None:
        try:
            ident = intents.record_switch(
                self.c, kind=kind, environment=self.environment, deployment_id=target, traceparent="", now=self.now
            )
        except SealiftError:
            return
        operation = operations.get(self.c, ident)
        assert operation is not None
        assert operations.begin(self.c, ident)
        if not self.is_warm(operation.deployment_id):
            operations.end(self.c, ident, OperationStatus.FAILED, self.now)
            return
        intent = Intent.ROLLBACK if kind is OperationKind.ROLLBACK else Intent.PROMOTE
        if self.assign(operation.deployment_id, intent, operation.seq):
            environments.set_rolled_back(self.c, self.environment.id, kind is OperationKind.ROLLBACK, self.now)
        self.switching.append((ident, operation.deployment_id))

    def end_switch(self) -> None:
        if self.switching:
            ident, _ = self.switching.pop(0)
            operations.end(self.c, ident, OperationStatus.DONE, self.now)

    def fail_switch(self) -> None:
        if self.switching:
            ident, target = self.switching.pop(0)
            operation = operations.get(self.c, ident)
            assert operation is not None
            self.undo(target, operation.seq)
            operations.end(self.c, ident, OperationStatus.FAILED, self.now)

    def take_down(self) -> None:
        live = queries.live_deployment_id(self.c, self.environment.id)
        if live is None or not self.is_warm(live) or self.switching or self.deploying:
            return
        ident = intents.record_stop(
            self.c,
            environment=self.environment,
            target=deployment_of(self.c, live),
            takes_down=True,
            traceparent="",
            now=self.now,
        )
        operation = operations.get(self.c, ident)
        assert operation is not None
        environments.set_rolled_back(self.c, self.environment.id, False, self.now)
        moves.release(self.c, live, seq=operation.seq, now=self.now)
        deployments.set_run_state(self.c, live, RunState.STOPPING, self.now)
        operations.begin(self.c, ident)
        operations.end(self.c, ident, OperationStatus.DONE, self.now)

    def add_domain(self) -> None:
        name = self.random.choice(NAMES)
        if domains.by_hostname(self.c, self.sample.workspace_id, name) is None:
            added = domains.add(
                self.c,
                workspace_id=self.sample.workspace_id,
                project_id=self.sample.project_id,
                environment_id=self.sample.production_id,
                name=parse_domain(name),
                token="t",
                now=self.now,
            )
            assert domain_routes.activate(self.c, added, LIVE, self.now).conflict == ""

    def remove(self) -> None:
        found = domains.by_hostname(self.c, self.sample.workspace_id, self.random.choice(NAMES))
        if found is not None:
            domain_routes.remove(self.c, found, self.now)
            assert queries.get(self.c, found.hostname) is None

    @property
    def environment(self) -> Environment:
        return environment_of(self.c, self.sample.production_id)

    def is_warm(self, ident: str) -> bool:
        found = deployment_of(self.c, ident)
        return found.status is Status.READY and found.run_state in WARM

    def assign(self, ident: str, intent: Intent, seq: int) -> bool:
        deployment, environment = deployment_of(self.c, ident), self.environment
        hostnames = hostnames_of(self.c, deployment, environment, "sealift.localhost")
        return moves.assign(
            self.c,
            deployment=deployment,
            environment=environment,
            hostnames=[*hostnames, *domains_of(self.c, environment.id)],
            intent=intent,
            seq=seq,
            now=self.now,
        ).taken

    def undo(self, ident: str, seq: int) -> None:
        if moves.undo(self.c, deployment_id=ident, seq=seq, now=self.now).version:
            is_rolled_back = moves.is_live_by_rollback(self.c, self.environment.id)
            environments.set_rolled_back(self.c, self.environment.id, is_rolled_back, self.now)


@pytest.mark.parametrize("seed", range(12))
async def test_domains_are_where_the_environment_is(db: Database, seed: int) -> None:
    def run(c: Connection) -> None:
        it = _Environment(c, Random(seed))
        done = []
        for _ in range(STEPS):
            done.append(it.step())
            try:
                it.check()
            except AssertionError as error:
                raise AssertionError(f"{error} after {', '.join(done)}") from error

    await db.write(run)
