"""MODULE.bazel, .bazelrc and the locks agree with each other and with the rest of the repository."""

import json
import re
from typing import Any

import pytest
import tomli

from dev.bazel.generate import graph
from dev.bazel.third_party import locked
from tests.packaging.bazel_stubs import VERSIONS
from tests.packaging.repository import ROOT
from tests.packaging.starlark_harness import Starlark

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@pytest.fixture(scope="module")
def tags() -> dict[str, list[dict[str, Any]]]:
    starlark = Starlark({})
    calls = starlark.module_file()
    assert starlark.problems == []
    found: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        if call.kind.startswith("native."):
            found.setdefault(call.kind.removeprefix("native."), []).append(call.given)
    return found


def test_rule_sets_are_those_that_were_read(tags: dict[str, list[dict[str, Any]]]) -> None:
    """Promise: the attributes in tests/packaging/bazel_stubs.py are those of the versions in use."""
    assert {dep["name"]: dep["version"] for dep in tags["bazel_dep"]} == VERSIONS


def test_one_python_everywhere(tags: dict[str, list[dict[str, Any]]]) -> None:
    """Promise: tests, locks and images have the same Python."""
    version = (ROOT / ".python-version").read_text().strip()
    pinned = [
        tag["python_version"] for kind in ("python.defaults", "python.toolchain", "pip.parse") for tag in tags[kind]
    ]
    assert set(pinned) == {version}
    bytecode = f'_BYTECODE = "cpython-{version.replace(".", "")}"'
    assert bytecode in (ROOT / "build/util/py_layers.bzl").read_text()
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={version}"


def test_the_base_is_pinned(tags: dict[str, list[dict[str, Any]]]) -> None:
    """Promise: an image stands on exactly one base, for both architectures, and never on a moving tag."""
    (base,) = tags["oci.pull"]
    assert DIGEST.fullmatch(base["digest"])
    assert len(set(base["digest"])) > 10  # not a placeholder
    assert ":" not in base["image"]
    assert base["platforms"] == ["linux/amd64", "linux/arm64/v8"]
    repositories = {f"{base['name']}_{platform.replace('/', '_')}" for platform in base["platforms"]}
    macro = (ROOT / "build/util/images.bzl").read_text()
    assert set(re.findall(r'"@(base_\w+)"', macro)) == repositories
    assert repositories <= {name for use in tags["use_repo"] for name in use["names"]}


def test_hubs_are_the_locks(tags: dict[str, list[dict[str, Any]]]) -> None:
    """Promise: Bazel and pip install the same wheels, for every platform that is built for."""
    hubs = {tag["hub_name"]: tag["requirements_lock"] for tag in tags["pip.parse"]}
    assert hubs == {"pip": "//:requirements_lock.txt", "pip_dev": "//:requirements_dev_lock.txt"}
    for tag in tags["pip.parse"]:
        assert {"linux_x86_64", "linux_aarch64"} <= set(tag["target_platforms"])
    exported = (ROOT / "BUILD.bazel").read_text()
    assert all(f'"{lock.removeprefix("//:")}"' in exported for lock in hubs.values())


def test_no_image_can_hold_a_development_wheel() -> None:
    """Promise: what is not in the runtime lock is reached by tests and tools only."""
    runtime = locked(ROOT / "requirements_lock.txt")
    for target in graph():
        hubs = {label.partition("//")[0] for label in target.wheels}
        assert target.testonly or hubs <= {"@pip"}
        assert {label.removeprefix("@pip//") for label in target.wheels if label.startswith("@pip//")} <= runtime


def test_settings_name_what_exists() -> None:
    """Promise: a release is stamped by our script; Bazel's version is a version."""
    settings = (ROOT / ".bazelrc").read_text()
    assert "build:release --stamp" in settings
    (script,) = re.findall(r"--workspace_status_command=(\S+)", settings)
    assert (ROOT / script).stat().st_mode & 0o111
    assert "remote_header=" not in settings.replace("--remote_header=...", "")
    assert re.fullmatch(r"8\.\d+\.\d+\n", (ROOT / ".bazelversion").read_text())


def test_buildifier_is_pinned() -> None:
    """Promise: everyone formats with the same version."""
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]["@bazel/buildifier"]
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/@bazel/buildifier"]["version"] == wanted


def test_programs_are_those_of_the_lock(tags: dict[str, list[dict[str, Any]]]) -> None:
    """Promise: the image of Restate holds the packages that `make setup` installs, one for each architecture."""
    wanted = json.loads((ROOT / "package.json").read_text())["optionalDependencies"]
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert {call["package"] for call in tags["npm_package"]} == set(wanted)
    for call in tags["npm_package"]:
        assert call["lock"] == "//:package-lock.json"
        locked = lock[f"node_modules/{call['package']}"]
        assert locked["version"] == wanted[call["package"]]
        assert locked["integrity"].startswith("sha512-")
        assert {"x64": "amd64", "arm64": "arm64"}[locked["cpu"][0]] == call["name"].rpartition("_")[2]
    assert '"package-lock.json"' in (ROOT / "BUILD.bazel").read_text()
