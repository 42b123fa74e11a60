"""The workflow files: valid, locked down, and started by just the tags they are for."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dev.releasing.errors import ReleaseError
from dev.releasing.repository import Repository
from dev.releasing.tags import parse
from tests.packaging.repository import ROOT, files, git

CI = ".depot/workflows/ci.yaml"
SERVICE_RELEASE = ".depot/workflows/service-release.yaml"
CLI_RELEASE = ".depot/workflows/cli-release.yaml"
SIGN = ".github/workflows/sign-image.yaml"
PUBLISH = ".github/workflows/publish-cli.yaml"
WORKFLOWS = [CI, SERVICE_RELEASE, CLI_RELEASE, SIGN, PUBLISH]
IMAGES = Repository(ROOT).images()

# The pins, as found in many public repositories; a newer one is looked up with
# git ls-remote https://github.com/<action> refs/tags/<version>, the line that ends in ^{} if there are two.
PINS = {
    "actions/attest-build-provenance": ("977bb373ede98d70efdf65b84cb5f73e068dcc2a", "v3.0.0"),
    "actions/checkout": ("08c6903cd8c0fde910a37f88322edcfb5dd907a8", "v5.0.0"),
    "actions/download-artifact": ("634f93cb2916e3fdff6788551b99b062d0335ce0", "v5.0.0"),
    "actions/setup-node": ("49933ea5288caeca8642d1e84afbd3f7d6820020", "v4.4.0"),
    "actions/setup-python": ("e797f83bcb11b83ae66e0230d6156d7c80228e7c", "v6.0.0"),
    "actions/upload-artifact": ("ea165f8d65b6e75b540449e92b4886f43607fa02", "v4.6.2"),
    "bazel-contrib/setup-bazel": ("c5acdfb288317d0b5c0bbd7a396a3dc868bb0f86", "0.19.0"),
    "pypa/gh-action-pypi-publish": ("ed0c53931b1dc9bd32cbe73a98c7f6766f8a527e", "v1.13.0"),
    "sigstore/cosign-installer": ("faadad0cce49287aee09b3a48701e75088a2c6ad", "v4.0.0"),
}
# What a job may have more than reading the code, and why.
RIGHTS = {
    (SERVICE_RELEASE, "sign"): {"contents": "read", "actions": "write"},
    (SERVICE_RELEASE, "release"): {"contents": "write"},
    (CLI_RELEASE, "publish"): {"contents": "read", "actions": "write"},
    (CLI_RELEASE, "release"): {"contents": "write"},
    (SIGN, "sign"): {"contents": "read", "id-token": "write", "attestations": "write"},
    (PUBLISH, "publish"): {"id-token": "write"},
}


@cache
def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / name)
    return loaded


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in WORKFLOWS:
        for job, content in workflow(name)["jobs"].items():
            yield name, job, content


def steps() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, job, content in jobs():
        for step in content["steps"]:
            yield name, job, step


def scripts() -> list[tuple[str, str]]:
    return [(f"{name}:{job}", step["run"]) for name, job, step in steps() if "run" in step]


def glob(pattern: str) -> re.Pattern[str]:
    """A filter pattern of `on.push.tags`: * all but /, ** all, ? and + repeat what stands before, [] one of."""
    out, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            out, at = out + ".*", at + 2
            continue
        char = pattern[at]
        if char == "[":
            end = pattern.index("]", at)
            out, at = out + pattern[at : end + 1], end + 1
            continue
        out += {"*": "[^/]*", "?": "?", "+": "+"}.get(char, re.escape(char))
        at += 1
    return re.compile(out)


def started_by(tag: str) -> list[str]:
    """The workflows that a push of the tag starts."""
    found = []
    for name in WORKFLOWS:
        if "push" not in workflow(name)["on"]:
            continue
        filters = workflow(name)["on"]["push"] or {}
        # Without a filter for tags, one for branches keeps tags out.
        patterns = filters.get("tags", [] if "branches" in filters else ["**"])
        if any(glob(pattern).fullmatch(tag) for pattern in patterns):
            found.append(name)
    return found


def test_every_workflow_is_known() -> None:
    """Promise: no workflow escapes these tests."""
    found = {str(path.relative_to(ROOT)) for path in files(".depot/*", ".github/workflows/*")}
    assert found == set(WORKFLOWS)


def test_workflows_fit_the_schema() -> None:
    """Promise: a key that is misspelt or misplaced is found here, not by a tag that does nothing."""
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, *WORKFLOWS], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_scripts_are_clean() -> None:
    """Promise: shellcheck finds nothing in any script."""
    paths = [str(path) for path in files("*.sh", "dev/release", ".ci/run")]
    assert len(paths) > 15
    assert shellcheck(*paths) == ""


@pytest.mark.parametrize(("where", "script"), scripts())
def test_steps_are_clean(where: str, script: str, tmp_path: Path) -> None:
    """Promise: no step has a quoting fault, and none puts what others may write into its text: variables only."""
    assert "${{" not in script
    path = tmp_path / "step.sh"
    path.write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{script}\n")
    assert shellcheck(str(path)) == "", where


def shellcheck(*paths: str) -> str:
    command = [str(Path(sys.executable).with_name("shellcheck")), "-x", "-P", "SCRIPTDIR", *paths]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize(("where", "script"), scripts())
def test_what_steps_call_exists(where: str, script: str) -> None:
    """Promise: scripts, modules and make targets that a step names are there and can be started."""
    for path in re.findall(r"\b(?:dev|build)/[\w./-]+", script):
        assert (ROOT / path).stat().st_mode & 0o111, f"{where}: {path}"
    for module in re.findall(r"-m ([\w.]+)", script):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists(), where
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [target for target in re.findall(r"\bmake ([a-z-]+)", script) if target not in targets] == [], where
    for package in re.findall(r"//build/([\w-]+):image\b", script):
        assert (ROOT / "build" / package / "BUILD.bazel").exists(), where


def test_variables_of_steps_are_set() -> None:
    """Promise: a variable that a step reads is given to it by the workflow, the job, the step or the runner."""
    given = {"GITHUB_OUTPUT"}
    wrong = []
    for name, job, step in steps():
        known = given | set(workflow(name).get("env", {})) | set(step.get("env", {}))
        known |= set(workflow(name)["jobs"][job].get("env", {}))
        read = set(re.findall(r"\$\{?([A-Z][A-Z_]*)", step.get("run", "")))
        wrong += [f"{name}:{job} reads {each}" for each in sorted(read - known)]
    assert wrong == []


def test_outputs_lead_somewhere() -> None:
    """Promise: needs.X.outputs.Y and steps.X.outputs.Y are declared, and their job is waited for."""
    for name, job, content in jobs():
        text = json.dumps(content)
        for other, output in re.findall(r"needs\.([\w-]+)\.outputs\.([\w-]+)", text):
            wanted = content["needs"] if isinstance(content["needs"], list) else [content["needs"]]
            assert other in wanted, f"{name}:{job}"
            assert output in workflow(name)["jobs"][other]["outputs"], f"{name}:{job}"
        ids = {step["id"]: step for step in content["steps"] if "id" in step}
        for step, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
            script = ids[step]["run"]
            assert f'"{output}=' in script or "dev.releasing.ci check" in script, f"{name}:{job}"


def test_each_image_has_its_line() -> None:
    """Promise: a new image is released by its tag; add its line to service-release.yaml."""
    assert workflow(SERVICE_RELEASE)["on"] == {
        "push": {"tags": [f"{service}/v[0-9]+.[0-9]+.[0-9]+*" for service in IMAGES]}
    }
    images = {f"//build/{service.replace('-', '_')}:image" for service in IMAGES}
    built = re.findall(r"//build/\w+:image", json.dumps(workflow(CI)))
    assert set(built) == images
    smoke = next(script for _, script in scripts() if "smoke.sh" in script)
    assert smoke.split()[1:] == IMAGES


def test_what_globs_mean() -> None:
    """Promise: the stand-in for GitHub's matcher knows what the documentation of filter patterns says."""
    assert glob("v[12].[0-9]+.[0-9]+").fullmatch("v1.10.1")
    assert glob("v[12].[0-9]+.[0-9]+").fullmatch("v2.0.0")
    assert not glob("v[12].[0-9]+.[0-9]+").fullmatch("v3.0.0")
    assert not glob("v1.0").fullmatch("v1x0")
    assert glob("*.jsx?").fullmatch("page.js")
    assert not glob("*").fullmatch("a/b")
    assert glob("**").fullmatch("a/b")


@pytest.mark.parametrize("service", IMAGES)
@pytest.mark.parametrize("version", ["v0.1.0", "v1.4.0", "v10.20.30", "v1.4.0-rc.1"])
def test_a_service_tag_starts_the_service_release_only(service: str, version: str) -> None:
    """Promise: a service's release never publishes the command line, nor runs the tests again."""
    assert started_by(f"{service}/{version}") == [SERVICE_RELEASE]


@pytest.mark.parametrize("version", ["v0.1.0", "v1.4.0", "v10.20.30"])
def test_a_cli_tag_starts_the_cli_release_only(version: str) -> None:
    """Promise: a release of the command line never publishes an image."""
    assert started_by(f"cli/{version}") == [CLI_RELEASE]


@pytest.mark.parametrize(
    "tag",
    ["v1.4.0", "krane/1.4.0", "krane/v1.4", "krane-v1.4.0", "x/krane/v1.4.0", "krane/v1.4.0/x", "cli/v1.4",
     "cli/latest", "cli/v1.4.0-rc.1", "standalone/v1.0.0", "kranes/v1.4.0", "main", "krane/v1x4.0"],
)  # fmt: skip
def test_other_tags_start_nothing(tag: str) -> None:
    """Promise: a tag that is no release releases nothing."""
    assert started_by(tag) == []


@pytest.mark.parametrize("tag", ["krane/v1.4.0garbage", "krane/v1.4.0.1", "krane/v01.4.0"])
def test_what_the_glob_lets_through_is_refused_later(tag: str) -> None:
    """Promise: the star at the end is for pre-releases; the check refuses the rest before anything is built."""
    assert started_by(tag) == [SERVICE_RELEASE]
    with pytest.raises(ReleaseError):
        parse(tag)


def test_the_check_comes_first() -> None:
    """Promise: no job that builds, publishes or signs runs before the tag was found fit."""
    for name, kind in [(SERVICE_RELEASE, "service"), (CLI_RELEASE, "cli")]:
        first, *others = workflow(name)["jobs"].items()
        assert first[0] == "verify"
        assert "needs" not in first[1]
        assert f'dev.releasing.ci check {kind} "$TAG"' in first[1]["steps"][-1]["run"]
        assert first[1]["steps"][0]["with"]["fetch-depth"] == 0
        assert all(_reaches(workflow(name)["jobs"], job, "verify") for job, _ in others)
    for name, kind in [(SIGN, "service"), (PUBLISH, "cli")]:
        first, *others = workflow(name)["jobs"].items()
        runs = [step["run"] for step in first[1]["steps"] if "run" in step]
        assert f'dev.releasing.ci check {kind} "$TAG"' in runs[0]
        assert first[1]["steps"][0]["with"]["fetch-depth"] == 0
        assert all(_reaches(workflow(name)["jobs"], job, first[0]) for job, _ in others)


def _reaches(all_jobs: dict[str, Any], job: str, goal: str) -> bool:
    needs = all_jobs[job].get("needs", [])
    needs = [needs] if isinstance(needs, str) else needs
    return goal in needs or any(_reaches(all_jobs, each, goal) for each in needs)


def test_no_release_runs_tests() -> None:
    """Promise: they passed on main, and the check holds that the commit is there."""
    for name in WORKFLOWS:
        if name != CI:
            assert not re.search(r"pytest|make test|bazel\.sh test", (ROOT / name).read_text(encoding="utf-8"))


def test_signing_and_publishing_are_started_at_a_tag() -> None:
    """Promise: the workflows with an identity start by hand or by a release only, and only at a tag."""
    for name in (SIGN, PUBLISH):
        assert set(workflow(name)["on"]) == {"workflow_dispatch"}
        assert "request" in workflow(name)["on"]["workflow_dispatch"]["inputs"]
        assert workflow(name)["run-name"] == "${{ github.ref_name }} for ${{ inputs.request }}"
        assert next(iter(workflow(name)["jobs"].values()))["if"] == "github.ref_type == 'tag'"
    for release, started in [(SERVICE_RELEASE, SIGN), (CLI_RELEASE, PUBLISH)]:
        script = next(script for where, script in scripts() if where.startswith(release) and "run-workflow" in script)
        assert Path(started).name in script
        inputs = set(re.findall(r"--input \"(\w+)=", script)) | {"request"}
        assert inputs == set(workflow(started)["on"]["workflow_dispatch"]["inputs"])


def test_rights_are_the_least() -> None:
    """Promise: jobs read the code; what more one may is in the table above."""
    for name in WORKFLOWS:
        assert workflow(name)["permissions"] in ({}, {"contents": "read"})
    for name, job, content in jobs():
        default = {"contents": "read"} if name in (SIGN, PUBLISH) else None
        assert content.get("permissions") == RIGHTS.get((name, job), default), f"{name}:{job}"
    building = [content for _, _, content in jobs() if "image.sh" in json.dumps(content)]
    assert len(building) == 2
    assert all("id-token" not in content.get("permissions", {}) for content in building)


def test_secrets_reach_one_step_each() -> None:
    """Promise: a secret is in the environment of the step that needs it, and CI, which forks start, has none."""
    for name in WORKFLOWS:
        top = {key: value for key, value in workflow(name).items() if key != "jobs"}
        assert "secrets." not in json.dumps(top)
    for name, job, content in jobs():
        rest = {key: value for key, value in content.items() if key != "steps"}
        assert "secrets." not in json.dumps(rest), f"{name}:{job}"
    found = [(name, re.findall(r"secrets\.(\w+)", json.dumps(step))) for name, _, step in steps()]
    assert {secret for _, secrets in found for secret in secrets} == {"GHCR_TOKEN"}
    assert [name for name, secrets in found if secrets and name == CI] == []


def test_only_main_writes_the_cache() -> None:
    """Promise: neither forks nor branches can put something into the cache that a release would ship."""
    assert workflow(CI)["env"]["CACHE"] == (
        "${{ github.event_name == 'push' && github.ref == 'refs/heads/main' && 'write' || 'read' }}"
    )
    assert workflow(SERVICE_RELEASE)["env"]["CACHE"] == workflow(SIGN)["env"]["CACHE"] == "read"


def test_runs_have_bounds() -> None:
    """Promise: every job ends, runs on Depot, and one ref has one release at a time, never cut off halfway."""
    for name, job, content in jobs():
        assert 0 < content["timeout-minutes"] <= 60, f"{name}:{job}"
        assert re.fullmatch(r"depot-ubuntu-24\.04(-[48])?", content["runs-on"]), f"{name}:{job}"
    for name in WORKFLOWS:
        assert workflow(name)["concurrency"]["group"].endswith("${{ github.ref }}")
        assert name == CI or workflow(name)["concurrency"]["cancel-in-progress"] is False
    assert workflow(CI)["concurrency"]["cancel-in-progress"] == "${{ github.ref != 'refs/heads/main' }}"


def test_actions_are_pinned() -> None:
    """Promise: what runs is the commit that was looked at, with its version beside it; never a tag that can move."""
    used = set()
    for name in WORKFLOWS:
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if match := re.search(r"\buses: (\S+)(.*)", line):
                action, _, commit = match[1].partition("@")
                used.add(action)
                assert (commit, match[2].strip()) == (PINS[action][0], f"# {PINS[action][1]}"), f"{name}: {line}"
    assert used == set(PINS)


def test_checkouts_keep_no_credentials() -> None:
    """Promise: no later step finds the job's token in the clone."""
    checkouts = [step for _, _, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def owners() -> dict[str, list[str]]:
    lines = (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    split = [line.split() for line in lines if line and not line.startswith("#")]
    return {line[0]: line[1:] for line in split}


def test_owners_are_of_files_that_exist() -> None:
    """Promise: no line of CODEOWNERS guards nothing."""
    for pattern, names in owners().items():
        assert names
        assert pattern == "*" or (ROOT / pattern.strip("/")).exists(), pattern


def test_owners_separate_the_kinds_of_release() -> None:
    """Promise: who may change how services are released can't change how the command line is, and the reverse."""
    service, command = ["@sealift/service-releases"], ["@sealift/cli-releases"]
    assert [owners()[f"/{name}"] for name in (SERVICE_RELEASE, SIGN)] == [service, service]
    assert [owners()[f"/{name}"] for name in (CLI_RELEASE, PUBLISH)] == [command, command]
    for shared in (f"/{CI}", "/.github/CODEOWNERS", "/dev/releasing/", "/dev/release"):
        assert owners()[shared] == service + command


def test_scripts_can_be_started_from_a_clone() -> None:
    """Promise: git keeps the scripts executable."""
    modes = {line.split("\t")[1]: line[:6] for line in git("ls-files", "--stage", "dev/ci", "dev/release").splitlines()}
    assert [name for name, mode in modes.items() if mode != "100755" and not name.endswith(".bazel")] == []
