"""Promise: whatever is killed while versions are switched, at the end exactly one version of a worker runs."""

from pathlib import Path

import pytest

from tests.faults.scenes import Scene, assert_no_orphans, scene
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

TOML = '[processes]\nworker = "while :; do sleep 1; done"\n'
SERVICES = ("api", "worker", "krane")

pytestmark = pytest.mark.timeout(600)


def workers(stack: Stack, deployment_id: str) -> list[str]:
    """The worker's containers that run."""
    return [one["Id"] for one in stack.containers(f"{deployment_id}.worker") if one["State"] == "running"]


def one_worker(here: Scene, live: str, other: str) -> None:
    """Waits until only what is live has its worker."""
    stack = here.stack
    eventually(lambda: len(workers(stack, live)) == 1, what="what is live has its worker")
    eventually(lambda: not stack.containers(f"{other}.worker"), what="the other version has none")
    assert_no_orphans(stack)


@pytest.mark.parametrize("phase", ["rollout", "routing"])
@pytest.mark.parametrize("killed", [*((name,) for name in SERVICES), SERVICES], ids="-".join)
def test_killed_while_a_deploy_switches(
    stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...], phase: str
) -> None:
    """The deploy becomes ready with its worker, and the one before has none; a rollback turns that around."""
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "sealift.toml").write_text(TOML)
    here = scene(stack, project, directory)
    before = workers(stack, here.live_id)
    assert len(before) == 1
    with here.deploying(phase) as ident:
        stack.kill(*killed)
        if phase == "rollout":
            assert workers(stack, here.live_id) == before
            here.becomes(ident, "ready")
    here.becomes(ident, "ready")
    here.answers("two")
    one_worker(here, ident, here.live_id)

    rollback = stack.start_cli("rollback", "--project", project)
    eventually(lambda: bool(workers(stack, here.live_id)), what="the worker of the older version starts")
    stack.kill(*killed)
    finish(rollback)
    here.answers("one")
    one_worker(here, here.live_id, ident)
