"""Promise: an app or a build at fault fails its deploy with the reason; what was live stays; nothing is left over."""

import signal
from pathlib import Path

import pytest

from tests.harness import apps
from tests.harness.checks import assert_nothing_left
from tests.harness.stack import CliResult, Stack, finish
from tests.harness.wait import eventually

BUILD_FAILED, NOT_HEALTHY, STOPPED = 4, 5, 6
QUICK = "[run.health_check]\nstart_timeout_s = 4\n"


def _fails(stack: Stack, project: str, directory: Path, tmp_path: Path) -> CliResult:
    """Deploys a good version, then the bad one: the good one must keep answering."""
    good = stack.deploy(apps.app(tmp_path / "good", "good"), project)
    assert good.code == 0, good.err
    bad = stack.deploy(directory, project)
    assert stack.get(project).body == "good"
    result = bad.last_json
    assert result["status"] == "failed", bad.out
    assert_nothing_left(stack, result["deployment_id"])
    steps = dict(
        stack.rows("SELECT name, error FROM deployment_steps WHERE deployment_id = ?", result["deployment_id"])
    )
    assert steps[result["step"]], "the step at fault carries the error"
    return bad


def test_app_that_exits_at_once(stack: Stack, project: str, tmp_path: Path) -> None:
    directory = apps.app(tmp_path / "bad", command="echo no database; exit 3")
    bad = _fails(stack, project, directory, tmp_path)
    assert bad.code == NOT_HEALTHY
    assert "3" in bad.last_json["message"]
    assert "no database" in bad.last_json["message"]


def test_app_on_another_port(stack: Stack, project: str, tmp_path: Path) -> None:
    """A port that is set is the only one that counts."""
    toml = f"[run]\nport = {apps.PORT}\n{QUICK}"
    directory = apps.app(tmp_path / "bad", command="exec /bin/busybox httpd -f -p 9123 -h /www", toml=toml)
    bad = _fails(stack, project, directory, tmp_path)
    assert bad.code == NOT_HEALTHY
    assert "9123" in bad.last_json["message"]
    assert "8080" in bad.last_json["message"]


def test_app_that_never_becomes_healthy(stack: Stack, project: str, tmp_path: Path) -> None:
    toml = '[run.health_check]\nstart_timeout_s = 4\npath = "/nowhere"\n'
    bad = _fails(stack, project, apps.app(tmp_path / "bad", toml=toml), tmp_path)
    assert bad.code == NOT_HEALTHY
    assert "404" in bad.last_json["message"]


@pytest.mark.timeout(600)
def test_app_that_needs_40_s(stack: Stack, project: str, tmp_path: Path) -> None:
    """Slow is not broken: within its start timeout an app may take its time."""
    command = f"sleep 40; exec /bin/busybox httpd -f -p {apps.PORT} -h /www"
    done = stack.deploy(apps.app(tmp_path / "slow", "slow", command=command), project, timeout_s=120)
    assert done.code == 0, done.err
    assert stack.get(project).body == "slow"


def test_app_that_prints_binary(stack: Stack, project: str, tmp_path: Path) -> None:
    """Whatever an app prints, the reason of its failure is readable text without terminal escapes."""
    command = r"printf '\033[31mred\000\377\n'; exit 9"
    bad = _fails(stack, project, apps.app(tmp_path / "bad", command=command), tmp_path)
    assert bad.code == NOT_HEALTHY
    shown = stack.sealift("status", bad.last_json["deployment_id"]).out + bad.last_json["message"]
    assert "red" in bad.last_json["message"]
    assert "\x1b" not in shown
    assert "\x00" not in shown


def test_build_step_that_fails_with_7(stack: Stack, project: str, tmp_path: Path) -> None:
    bad = _fails(stack, project, apps.app(tmp_path / "bad", build="RUN echo about to fail; exit 7"), tmp_path)
    assert bad.code == BUILD_FAILED
    assert bad.last_json["code"] == "build.command_failed"
    assert "7" in bad.last_json["message"]
    assert "about to fail" in bad.out


def test_cancelled_build(stack: Stack, project: str, tmp_path: Path) -> None:
    """A cancel stops the builder's command first, then says cancelled; a second cancel is harmless."""
    directory = apps.app(tmp_path / "app", build="RUN sleep 987")
    running = stack.start_cli("deploy", str(directory), "--project", project, "--json")
    query = (
        "SELECT b.deployment_id FROM builds b JOIN projects p ON p.id = project_id"
        " WHERE slug = ? AND b.status = 'running'"
    )
    ident = eventually(lambda: stack.rows(query, project), what="the build runs")[0][0]
    assert stack.sealift("cancel", ident).code == 0
    assert stack.sealift("cancel", ident).code == 0
    done = finish(running)
    assert done.code == STOPPED, done.err
    assert done.last_json["status"] == "cancelled"
    assert_nothing_left(stack, ident)
    assert stack.rows("SELECT status FROM builds WHERE deployment_id = ?", ident) == [("cancelled",)]


def test_terminated_cli_leaves_no_file(stack: Stack, project: str, tmp_path: Path) -> None:
    """SIGTERM during packing or following removes the archive."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    directory = apps.app(tmp_path / "app", build="RUN sleep 3")
    running = stack.start_cli("deploy", str(directory), "--project", project, env={"TMPDIR": str(scratch)})
    query = "SELECT d.id FROM deployments d JOIN projects p ON p.id = project_id WHERE slug = ?"
    eventually(lambda: stack.rows(query, project), what="the deployment is recorded")
    running.send_signal(signal.SIGTERM)
    finish(running)
    assert [p for p in scratch.rglob("*") if p.is_file()] == []
