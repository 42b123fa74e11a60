"""Promise: who deploys through the ingress is not lost when a process dies; the api's hostname outlives every app."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.harness import apps
from tests.harness.login import RemoteUser
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(600)


def _begun(deploying: "subprocess.Popen[str]") -> str:
    """The id of the deployment, once the command has printed it."""
    assert deploying.stdout
    for line in deploying.stdout:
        if ident := json.loads(line).get("deployment_id"):
            return str(ident)
    raise AssertionError("the deploy ended before it was recorded")


@pytest.mark.parametrize("killed", ["envoy", "krane", "api"])
def test_a_followed_deploy_survives(stack: Stack, project: str, user: RemoteUser, tmp_path: Path, killed: str) -> None:
    """The command that follows a deploy finds its way back, and tells the outcome."""
    directory = apps.app(tmp_path / "app", "one", build="RUN sleep 4")
    deploying = user.start("deploy", str(directory), "--project", project, "--json")
    ident = _begun(deploying)
    eventually(lambda: stack.status_of(ident) == "building", what="the build runs")
    stack.kill(killed)
    done = finish(deploying, timeout_s=120)
    assert done.code == 0, done.err
    assert done.last_json["status"] == "ready"
    assert stack.get(project).body == "one"


def test_a_followed_log_survives(stack: Stack, project: str, user: RemoteUser, tmp_path: Path) -> None:
    """Each line of a build's log is printed once, though the ingress dies while it is followed."""
    lines = "RUN for n in 1 2 3 4 5 6 7 8; do echo line-$n-; sleep 1; done"
    made = user.sealift("build", str(apps.app(tmp_path / "app", build=lines)), "--project", project, "--detach")
    assert made.code == 0, made.err
    following = user.start("logs", "--build", made.out.strip(), "--follow")
    assert following.stdout
    seen = ""
    for line in following.stdout:
        seen += line
        if "line-2-" in line and "RUN" not in line:
            break
    stack.kill("envoy")
    done = finish(following, timeout_s=60)
    assert done.code == 0, done.err
    text = seen + done.out
    assert [text.count(f"line-{number}-") for number in range(1, 9)] == [1] * 8


def test_apps_that_are_down(stack: Stack, project: str, user: RemoteUser, tmp_path: Path) -> None:
    """An app that answers nothing, one that is stopped and one that never starts leave the api reachable."""
    directory = apps.app(tmp_path / "app", "one")
    live = stack.deploy(directory, project)
    assert live.code == 0, live.err
    apps.app(directory, command="exit 3")
    failed = user.sealift("deploy", str(directory), "--project", project, "--json")
    assert failed.code != 0
    assert user.sealift("whoami").code == 0
    stopped = user.sealift("stop", "--live", "--yes", "--project", project)
    assert stopped.code == 0, stopped.err
    assert user.sealift("whoami").code == 0


def test_the_api_that_is_down(stack: Stack, project: str, user: RemoteUser, tmp_path: Path) -> None:
    """Apps answer while the api does not; who calls it is told so in words, and waits for one that comes back."""
    assert stack.deploy(apps.app(tmp_path / "app", "one"), project).code == 0
    with stack.frozen("api"):
        assert stack.get(project).body == "one"
    stack.signal("api", signal.SIGKILL)
    assert stack.get(project).body == "one"
    # the supervisor starts it again within the time that a first contact waits, or the command says why not
    asked = user.sealift("whoami")
    assert asked.code in (0, 7)
    assert asked.code == 0 or user.url in asked.err
    eventually(lambda: user.sealift("whoami").code == 0, within_s=60, what="the api is reached again")
