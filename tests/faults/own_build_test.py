"""Promise: a build without a deployment survives kill -9 of any process, and so does the command that waits for it."""

from pathlib import Path

import pytest

from tests.harness import apps
from tests.harness.stack import READY_WITHIN_S, Stack, finish
from tests.harness.wait import eventually

SLOW = 'RUN ["/bin/sh", "-c", "echo begun; sleep 6; echo done"]'
ALL_BUT_ENVOY = ("api", "worker", "krane", "restate")

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("killed", [("worker",), ("api",), ALL_BUT_ENVOY], ids=["worker", "api", "all but envoy"])
def test_kill_9_during_a_build(stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...]) -> None:
    """It is built once, the waiting command ends with its outcome, and the image can be deployed."""
    directory = apps.app(tmp_path / "app", "one", build=SLOW)
    cli = stack.start_cli("build", str(directory), "--project", project)
    running = (
        "SELECT builds.id FROM builds JOIN projects ON projects.id = builds.project_id "
        "WHERE projects.slug = ? AND builds.status = 'running'"
    )
    [(build_id,)] = eventually(lambda: stack.rows(running, project), what="the build runs")
    stack.kill(*killed)
    done = finish(cli)
    assert (done.code, done.out.strip()) == (0, build_id), done.err
    assert "Image built" in done.err
    [(status, attempt, image_name)] = stack.rows(
        "SELECT status, attempt, image_name FROM builds WHERE id = ?", build_id
    )
    assert status == "succeeded"
    assert attempt >= (2 if "worker" in killed else 1)  # without the api, a builder can't fetch the context
    assert image_name.endswith(build_id.replace("_", "-"))
    eventually(stack.is_ready, within_s=READY_WITHIN_S, what="every part works again")
    live = stack.sealift("deploy", "--build", build_id, "--project", project)
    assert live.code == 0, live.err
    assert stack.get(project).body == "one"


def test_a_build_that_was_never_handed_over(stack: Stack, project: str, tmp_path: Path) -> None:
    """A build that was answered for while the workflow engine was away is found by the next api, and built."""
    directory = apps.app(tmp_path / "app", "one")
    with stack.frozen("restate"):
        begun = stack.sealift("build", str(directory), "--project", project, "--detach")
        assert begun.code == 0, begun.err
        stack.kill("api")
    eventually(stack.is_ready, within_s=READY_WITHIN_S, what="the next api")
    done = stack.sealift("build", "show", "--wait", begun.out.strip())
    assert done.code == 0, done.err
