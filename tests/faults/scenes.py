"""Deploys that stay in a phase until the test has done its harm, and what must hold afterwards."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.harness import apps
from tests.harness.http import Answer
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

PHASES = ("build", "rollout", "routing")
ENDS_WITHIN_S = 120
EXIT_CODES = {"ready": 0, "cancelled": 6}

_SERVE = "exec /bin/busybox httpd -f -p $PORT -h /www"


@dataclass(frozen=True)
class Scene:
    """A project whose version "one" is live, and its directory."""

    stack: Stack
    project: str
    directory: Path
    live_id: str

    @property
    def url(self) -> str:
        """Where the live version answers."""
        return self.stack.url(self.project)

    @contextlib.contextmanager
    def deploying(self, phase: str, *, slow_s: int = 3, detach: bool = False) -> Iterator[str]:
        """Deploys version "two" and yields its id once the deploy is in `phase`.

        It stays there for a while, in `routing` until the block is left: Envoy is frozen, takes no configuration and
        acknowledges none. Unless `detach`, the CLI follows, and must end with a true verdict.
        """
        slow_build = f"RUN sleep {slow_s}" if phase == "build" else ""
        # the shell is process 1, which ends at a signal only if it asks for it
        slow_start = f"trap exit TERM; sleep {slow_s} & wait; " if phase == "rollout" else ""
        apps.app(self.directory, "two", build=slow_build, command=slow_start + _SERVE)
        with contextlib.ExitStack() as stack:
            if phase == "routing":
                stack.enter_context(self.stack.frozen("envoy"))
            cli = self.start_deploy(*(["--detach"] if detach else []))
            try:
                ident = eventually(self.newest, what="recorded")
                eventually(lambda: self.in_phase(ident, phase), what=f"the deploy is in {phase}")
                yield ident
            except BaseException as error:
                cli.kill()
                error.add_note("the CLI printed: " + "\n".join(cli.communicate()))
                raise
            stack.close()
            done = finish(cli)
            verdict = "ready" if detach else self.stack.status_of(ident)
            assert done.code == EXIT_CODES[verdict], f"{verdict}: {done.out}\n{done.err}"

    def start_deploy(self, *more: str) -> "subprocess.Popen[str]":
        """`sealift deploy` in the background."""
        return self.stack.start_cli("deploy", str(self.directory), "--project", self.project, "--json", *more)

    def newest(self) -> str:
        """The deployment that came after the live one; "" when there is none yet."""
        query = "SELECT d.id FROM deployments d JOIN projects p ON p.id = project_id WHERE slug = ? AND d.id != ?"
        found = self.stack.rows(query, self.project, self.live_id)
        assert len(found) <= 1, f"deployed {len(found)} times"
        return str(found[0][0]) if found else ""

    def in_phase(self, ident: str, phase: str) -> bool:
        """Whether the deployment is in it now."""
        if phase == "build":
            return bool(self.stack.rows("SELECT 1 FROM builds WHERE deployment_id = ? AND status = 'running'", ident))
        if phase == "rollout":
            return self.stack.status_of(ident) == "deploying" and bool(self.stack.containers(ident))
        return self.stack.status_of(ident) == "network"

    def becomes(self, ident: str, status: str) -> None:
        """Waits for the deployment's terminal status."""
        eventually(
            lambda: self.stack.status_of(ident) in {"ready", "failed", "cancelled", "superseded"},
            within_s=ENDS_WITHIN_S,
            what=f"{ident} ends",
        )
        found = self.stack.rows("SELECT status, error_code, error_message FROM deployments WHERE id = ?", ident)
        assert found[0][0] == status, found

    def answers(self, body: str) -> None:
        """Waits until the live hostname answers it."""
        found: list[Answer] = []

        def look() -> bool:
            found[:] = [self.stack.get(self.project)]
            return found[0].body == body

        try:
            eventually(look, what=f"{body!r} answers")
        except AssertionError as late:
            raise AssertionError(f"{late}: {found}") from None

    def assert_clean(self, ident: str) -> None:
        """The deployment was deployed once, and no orphan of any deployment is left."""
        stack = self.stack
        assert self.newest() == ident
        eventually(lambda: len(stack.containers(ident)) == 1, what="exactly one container")
        assert stack.rows("SELECT name FROM deployment_steps WHERE deployment_id = ? AND ended_at IS NULL", ident) == []
        assert_no_orphans(stack)


def scene(stack: Stack, project: str, directory: Path) -> Scene:
    """Deploys version "one"."""
    done = stack.deploy(apps.app(directory, "one"), project)
    assert done.code == 0, done.err
    return Scene(stack, project, directory, done.last_json["deployment_id"])


def assert_no_orphans(stack: Stack) -> None:
    """Every container belongs to a topology, every route to a running deployment, and Envoy has just these routes."""
    query = "SELECT deployment_id FROM topologies WHERE stopped = 0"
    eventually(
        lambda: _deployments_with_containers(stack) <= {row[0] for row in stack.rows(query)},
        what="every container belongs to a deployment that should run",
    )
    joined = "SELECT r.hostname FROM routes r JOIN deployments d ON d.id = deployment_id"
    assert stack.rows(f"{joined} WHERE run_state NOT IN ('running', 'standby')") == []
    eventually(
        lambda: stack.served_hosts() == {row[0] for row in stack.rows("SELECT hostname FROM routes")},
        what="Envoy serves the routes and no others",
    )


def _deployments_with_containers(stack: Stack) -> set[str]:
    labels = (container["Labels"]["sealift.deployment"] for container in stack.containers())
    return {label.partition(".")[0] for label in labels}  # of a process, its workload
