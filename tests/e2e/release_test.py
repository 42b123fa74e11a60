"""Promise: a release command runs before the new version, once, and fails the deploy; and `sealift run`."""

import json
import signal
from pathlib import Path
from typing import Any

from tests.harness import apps, engine
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually


def jobs_on(stack: Stack) -> list[dict[str, Any]]:
    """Containers of jobs, running or not."""
    return engine.containers(stack.engine_socket, "sealift.job", f"sealift.installation={stack.installation_id}")


def toml(command: str, timeout_s: int = 60) -> str:
    return f"[release]\ncommand = {json.dumps(command)}\ntimeout_s = {timeout_s}\n"


def test_it_runs_before_the_new_version(stack: Stack, project: str, tmp_path: Path) -> None:
    """With the new image and the variables, once per deploy; a rollback runs none, and nothing of it is left."""
    directory = apps.app(tmp_path / "app", "one", toml=toml('echo "migrates to $(cat /www/index.html) for $WHOM"'))
    set_one = stack.sealift("env", "set", "--plain", "WHOM=you", "--project", project)
    assert set_one.code == 0, set_one.err
    first = stack.deploy(directory, project)
    assert first.code == 0, first.err
    apps.edit(directory, "two")
    second = stack.deploy(directory, project)
    assert second.code == 0, second.err
    for done, word in ((first, "one"), (second, "two")):
        ident = done.last_json["deployment_id"]
        printed = stack.sealift("logs", ident, "--grep", "migrates", "--json")
        texts = [json.loads(line)["text"] for line in printed.out.splitlines()]
        assert texts == [f"migrates to {word} for you"]
        steps = [step["name"] for step in json.loads(stack.sealift("status", ident, "--json").out)["steps"]]
        assert steps == ["queued", "building", "releasing", "deploying", "network", "finalizing"]
    back = stack.sealift("rollback", "--project", project)
    assert back.code == 0, back.err
    assert stack.get(project).body == "one"
    query = "SELECT status FROM jobs j JOIN projects p ON p.id = j.project_id WHERE slug = ?"
    assert stack.rows(query, project) == [("succeeded",)] * 2
    eventually(lambda: jobs_on(stack) == [], what="no container of a job is left")


def test_what_fails_and_what_hangs(stack: Stack, project: str, tmp_path: Path) -> None:
    """The deploy fails with code and output, nothing of it starts, and what is live goes on."""
    directory = apps.app(tmp_path / "app", "one")
    assert stack.deploy(directory, project).code == 0
    apps.app(directory, "two", toml=toml("echo looks; echo breaks >&2; exit 3"))
    failed = stack.deploy(directory, project)
    assert failed.code == 1, failed.err
    assert failed.last_json["code"] == "release.command_failed"
    message = failed.last_json["message"]
    assert "It exited with code 3" in message
    assert "looks\nbreaks" in message or "breaks\nlooks" in message
    apps.app(directory, "three", toml=toml("echo begun; sleep 600", 2))
    hung = stack.deploy(directory, project)
    assert hung.code == 1, hung.err
    assert hung.last_json["code"] == "release.timed_out"
    assert "more than 2 s" in hung.last_json["message"]
    assert "begun" in hung.last_json["message"]
    for done in (failed, hung):
        assert stack.containers(done.last_json["deployment_id"]) == []
    assert stack.get(project).body == "one"
    eventually(lambda: jobs_on(stack) == [], what="no container of a job is left")


def test_a_cancel_ends_it(stack: Stack, project: str, tmp_path: Path) -> None:
    """The deploy ends as cancelled once the command was ended."""
    directory = apps.app(tmp_path / "app", "one", toml=toml("trap 'exit 0' TERM; echo begun; sleep 600 & wait"))
    cli = stack.start_cli("deploy", str(directory), "--project", project, "--json")
    eventually(lambda: any(one["State"] == "running" for one in jobs_on(stack)), what="the release command runs")
    query = "SELECT d.id FROM deployments d JOIN projects p ON p.id = project_id WHERE slug = ?"
    ((ident,),) = stack.rows(query, project)
    cancelled = stack.sealift("cancel", ident)
    assert cancelled.code == 0, cancelled.err
    done = finish(cli)
    assert (done.code, stack.status_of(ident)) == (6, "cancelled")
    assert stack.rows("SELECT status FROM jobs WHERE deployment_id = ?", ident) == [("stopped",)]
    eventually(lambda: jobs_on(stack) == [], what="no container of a job is left")


def test_commands_of_a_user(stack: Stack, project: str, tmp_path: Path) -> None:
    """Output as it comes, its exit code, its bound, its end by Ctrl-C; detached, listed, attached to and stopped."""
    nothing = stack.sealift("run", "--project", project, "--", "true")
    assert nothing.code == 1
    assert "Nothing is live" in nothing.err
    directory = apps.app(tmp_path / "app", "one")
    deployed = stack.deploy(directory, project)
    assert deployed.code == 0, deployed.err

    done = stack.sealift("run", "--project", project, "--", "sh", "-c", "cat /www/index.html; echo oops >&2; exit 3")
    assert (done.code, done.out) == (3, "one\n"), done.err
    assert "oops" in done.err
    assert "It exited with code 3." in done.err
    late = stack.sealift("run", "--timeout", "1s", "--project", project, "--", "sleep", "600")
    assert late.code == 124, late.err
    missing = stack.sealift("run", "--project", project, "--", "no-such-program")
    assert missing.code not in (0, 124)
    assert "no-such-program" in missing.err

    words = ("run", "--project", project, "--", "sh", "-c", "echo begun; sleep 600")
    cli = stack.start_cli(*words)
    assert cli.stdout is not None
    assert cli.stdout.readline() == "begun\n"  # while it runs
    cli.send_signal(signal.SIGINT)
    assert finish(cli).code == 130
    eventually(lambda: jobs_on(stack) == [], what="Ctrl-C has ended it")

    detached = stack.sealift("run", "--detach", "--project", project, "--", "sh", "-c", "echo begun; sleep 600")
    assert detached.code == 0, detached.err
    ident = detached.out.strip()
    listed = stack.sealift("run", "--list", "--project", project)
    assert listed.out.splitlines()[1].startswith(ident)
    eventually(lambda: any(one["State"] == "running" for one in jobs_on(stack)), what="it runs")
    attached = stack.start_cli("run", "--attach", ident)
    assert attached.stdout is not None
    assert attached.stdout.readline() == "begun\n"
    assert stack.sealift("run", "--stop", ident).code == 0
    assert finish(attached).code == 6
    eventually(lambda: jobs_on(stack) == [], what="no container of a job is left")
    audit = "SELECT method FROM audit_log WHERE method LIKE '%JobService/%'"
    methods = [row[0].rpartition("/")[2] for row in stack.rows(audit)]
    assert methods.count("RunCommand") >= 5
    assert methods.count("StopJob") >= 2


def test_an_environment_has_one_of_its_own(stack: Stack, project: str) -> None:
    """An environment's own setting counts, and can be taken back."""
    set_one = stack.sealift(
        "environments", "set", "production", "--release-command", "./migrate --all", "--release-timeout-s", "30",
        "--project", project,
    )  # fmt: skip
    assert set_one.code == 0, set_one.err
    assert "release: ./migrate --all (at most 30 s)" in set_one.out
    taken_back = stack.sealift("environments", "set", "production", "--release-command", "", "--project", project)
    assert "release:" not in taken_back.out
