"""Builds without a deployment, and deployments of builds, as a user makes them."""

import json
import re
from pathlib import Path

from tests.harness import apps
from tests.harness.stack import Stack
from tests.harness.wait import eventually

STEP = 'RUN ["/bin/sh", "-c", "echo compiling"]'


def test_a_build_is_deployed_wherever_it_is_wanted(stack: Stack, project: str, tmp_path: Path) -> None:
    """Promise: a build is listed, shown and deployed by its id, again and elsewhere; a rollback goes to it."""
    directory = apps.app(tmp_path / "app", "one", build=STEP)
    built = stack.sealift("build", str(directory), "--project", project)
    assert built.code == 0, built.err
    build_id = built.out.strip()
    assert "compiling" in built.err

    listed = stack.sealift("builds", "--project", project, "--json")
    [row] = [json.loads(line) for line in listed.out.splitlines()]
    assert (row["build_id"], row["status"], row["deployment_id"]) == (build_id, "succeeded", "")
    shown = stack.sealift("build", "show", build_id, "--json").last_json
    assert shown["image_name"].endswith(build_id.replace("_", "-"))
    assert shown["image_ref"].startswith("engine:sha256:")
    assert (shown["platform"], shown["attestations"]) == ("linux/amd64", [])
    assert any("compiling" in step["name"] for step in shown["steps"])

    for environment in ("production", "preview"):
        done = stack.sealift("deploy", "--build", build_id, "--project", project, "--env", environment, "--json")
        assert (done.code, done.last_json["status"]) == (0, "ready"), done.err
    assert stack.get(project).body == "one"
    status = stack.sealift("status", "--project", project, "--env", "production", "--json").last_json["live"]
    assert (status["source"], status["build_id"], status["image_ref"]) == ("build", build_id, shown["image_ref"])
    assert [step["name"] for step in status["steps"]] == ["queued", "deploying", "network", "finalizing"]

    apps.edit(directory, "two")
    assert stack.deploy(directory, project).code == 0
    assert stack.get(project).body == "two"
    back = stack.sealift("rollback", "--project", project)
    assert back.code == 0, back.err
    assert stack.get(project).body == "one"
    builds = stack.sealift("builds", "--project", project, "--json").out.splitlines()
    assert len(builds) == 2


def test_cached_steps_and_no_cache(stack: Stack, project: str, tmp_path: Path) -> None:
    """Promise: a repeated build re-uses every step and says so; with --no-cache every step runs, for a deploy, too."""
    directory = apps.app(tmp_path / "app", "one", build=STEP)

    def states(command: str, *options: str) -> list[str]:
        done = stack.sealift(command, str(directory), "--project", project, *options)
        assert done.code == 0, done.err
        latest = stack.sealift("build", "show", "--project", project, "--json").last_json
        assert latest["no_cache"] is bool(options)
        found = [step["state"] for step in latest["steps"] if re.match(r"\[\d", step["name"])]
        assert ("    compiling\n" in done.err) is ("completed" in found)
        return found

    assert "completed" in states("build")
    assert set(states("build")) == {"cached"}
    assert "cached" not in states("build", "--no-cache")
    assert "cached" not in states("deploy", "--no-cache")


def test_a_build_that_fails_and_one_that_is_cancelled(stack: Stack, project: str, tmp_path: Path) -> None:
    """Promise: the exit code is the outcome, and neither can be deployed: each refusal says why."""
    directory = apps.app(tmp_path / "app", "one", build='RUN ["/bin/sh", "-c", "echo oops; exit 3"]')
    failed = stack.sealift("build", str(directory), "--project", project, "--json")
    assert (failed.code, failed.last_json["code"]) == (4, "build.command_failed")
    assert failed.last_json["log_tail"] == ["oops"]
    refused = stack.sealift("deploy", "--build", failed.last_json["build_id"], "--project", project)
    assert (refused.code, "[build.not_succeeded" in refused.err) == (1, True)

    apps.app(directory, "one", build='RUN ["/bin/sh", "-c", "echo slow; sleep 300"]')
    begun = stack.sealift("build", str(directory), "--project", project, "--detach")
    assert begun.code == 0, begun.err
    build_id = begun.out.strip()

    def status() -> str:
        return str(stack.sealift("build", "show", build_id, "--json").last_json["status"])

    eventually(lambda: status() == "running", what="the build runs")
    refused = stack.sealift("deploy", "--build", build_id, "--project", project)
    assert (refused.code, "[build.not_finished" in refused.err) == (1, True)
    assert stack.sealift("cancel", build_id).code == 0
    waited = stack.sealift("build", "show", "--wait", build_id)
    assert waited.code == 6, waited.err
    assert status() == "cancelled"


def test_what_is_refused(stack: Stack, project: str, tmp_path: Path) -> None:
    """Promise: builds of other projects, unknown ids and other platforms are refused with the next step."""
    directory = apps.app(tmp_path / "app", "one")
    built = stack.sealift("build", str(directory), "--project", project)
    assert built.code == 0, built.err
    other = f"{project}-b"
    assert stack.sealift("projects", "create", other).code == 0
    foreign = stack.sealift("deploy", "--build", built.out.strip(), "--project", other)
    assert foreign.code == 2
    assert "is a build of another project" in foreign.err
    assert f"sealift builds --project {other}" in foreign.err
    unknown = stack.sealift("build", "show", "bld_00000000000000000000000000")
    assert (unknown.code, "[build.not_found" in unknown.err) == (1, True)
    platform = stack.sealift("build", str(directory), "--project", project, "--platform", "linux/386")
    assert platform.code == 2
    assert "linux/amd64 or linux/arm64" in platform.err
