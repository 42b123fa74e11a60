"""What each service asks of Bazel, checked without Bazel: every BUILD file runs on recording stubs."""

import re
from typing import Any

import pytest
import starlark as sl

from tests.packaging.bazel_stubs import RULES
from tests.packaging.repository import ROOT, SERVICES, files
from tests.packaging.starlark_harness import Starlark

SERVICE = """
load("//build/util:service_image.bzl", "service_image")
service_image(BINARY_NAME libs = [":main"], description = "A service.")
"""
PACKAGES = sorted(str(path.parent.relative_to(ROOT)) for path in files("BUILD.bazel", "*/BUILD.bazel"))


def targets_of(service: str) -> tuple[Starlark, dict[str, dict[str, Any]]]:
    starlark = Starlark(RULES)
    calls = starlark.build_file(f"build/{service}")
    return starlark, {call.given["name"]: call.given for call in calls if "name" in call.given}


def test_there_are_services() -> None:
    """Promise: the tests below are about something."""
    assert {"api", "krane", "worker"} <= set(SERVICES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_build_file_loads(package: str) -> None:
    """Promise: each rule exists, with attributes that it has, of the right type, and no name twice."""
    starlark = Starlark(RULES)
    calls = starlark.build_file(package)
    names = [call.given["name"] for call in calls if "name" in call.given]
    assert starlark.problems == []
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_public_targets(service: str) -> None:
    """Promise: who knows the targets of one service knows those of all."""
    _, targets = targets_of(service)
    assert {"image_linux_amd64", "image_linux_arm64", "image", "push", "load"} <= set(targets)
    name = service.replace("_", "-")
    assert targets["push"]["repository"] == f"ghcr.io/sealift/{name}"
    assert targets["push"]["image"] == ":image"
    assert targets["load"]["repo_tags"] == [f"sealift/{name}:dev"]
    assert targets["load"]["image"]["select"] == {
        "//build/platforms:is_amd64": ":image_linux_amd64",
        "//build/platforms:is_arm64": ":image_linux_arm64",
    }


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(("arch", "base"), [("amd64", "@base_linux_amd64"), ("arm64", "@base_linux_arm64_v8")])
def test_an_image_is_for_one_architecture(service: str, arch: str, base: str) -> None:
    """Promise: base, wheels and interpreter are of the same architecture; no shell starts it, and not as root."""
    _, targets = targets_of(service)
    image = targets[f"image_linux_{arch}"]
    assert image["base"] == base
    assert image["user"] == "65532:65532"
    assert image["tars"] == [f":image_layers_linux_{arch}"]
    assert image["entrypoint"] == ["/opt/python/bin/python3", "-s", "-P", "-m", f"build.{service}.main"]
    assert (ROOT / "build" / service / "main.py").exists()
    assert image["labels"] == image["annotations"] == targets["image"]["annotations"] == ":image_labels"
    layers = targets[f"image_layers_linux_{arch}"]
    assert layers["platform"] == f"//build/platforms:linux_{arch}"
    assert layers["stamp"] == ":image_stamp"
    assert ":main" in layers["libs"]


@pytest.mark.parametrize("service", SERVICES)
def test_only_versions_are_pushed(service: str) -> None:
    """Promise: without a stamp there is nothing to push, and the tag is the version alone."""
    _, targets = targets_of(service)
    assert targets["push"]["target_compatible_with"]["select"] == {
        "//build/platforms:is_stamped": [],
        "//conditions:default": ["@platforms//:incompatible"],
    }
    assert targets["image_tags"]["stamp_substitutions"]["{{VERSION}}"] == "{{STABLE_VERSION}}"
    assert (ROOT / "build/util/tags.txt.tpl").read_text() == "{{VERSION}}\n"


@pytest.mark.parametrize("service", SERVICES)
def test_stamps_are_facts_of_the_commit(service: str) -> None:
    """Promise: every place in a template is filled, in both kinds of build, and by keys that status.sh prints."""
    _, targets = targets_of(service)
    printed = set(re.findall(r'echo "(STABLE_\w+) ', (ROOT / "build/util/status.sh").read_text()))
    for kind in ("stamp", "labels", "tags"):
        rule = targets[f"image_{kind}"]
        template = (ROOT / "build/util" / rule["template"].rpartition(":")[2]).read_text()
        places = set(re.findall(r"\{\{\w+\}\}", template))
        assert places <= set(rule["substitutions"])
        assert places <= set(rule["stamp_substitutions"])
        keys = {value.strip("{}") for value in rule["stamp_substitutions"].values() if value.startswith("{{")}
        assert keys <= printed


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_heavy_is_built_by_accident(service: str) -> None:
    """Promise: `bazel build //...` and `bazel test //...` make no image."""
    _, targets = targets_of(service)
    for name, given in targets.items():
        if name in ("push", "load", "image") or name.startswith(("image_linux", "image_layers")):
            assert given["tags"] == ["manual"], name


def test_a_ready_made_program_has_the_same_targets() -> None:
    """Promise: Restate's image is built, named and pushed as those of services are, and holds no code of ours."""
    _, targets = targets_of("restate")
    assert {"image_linux_amd64", "image_linux_arm64", "image", "push", "load"} <= set(targets)
    assert targets["load"]["repo_tags"] == ["sealift/restate:dev"]
    assert targets["push"]["repository"] == "ghcr.io/sealift/restate"
    for arch, base in (("amd64", "@base_linux_amd64"), ("arm64", "@base_linux_arm64_v8")):
        image = targets[f"image_linux_{arch}"]
        layer = targets[f"image_layers_linux_{arch}"]
        assert (image["base"], image["user"]) == (base, "65532:65532")
        assert image["entrypoint"] == [layer["path"]]
        assert layer["program"] == f"@restate_linux_{arch}//:bin/restate-server"


@pytest.mark.parametrize(
    ("attribute", "name"), [("", "a-b"), ('binary_name = "a-b",', "a-b"), ('binary_name = "a_b",', "a_b")]
)
def test_a_name_may_have_a_hyphen(attribute: str, name: str) -> None:
    """Promise: what the folder cannot be called, the image can."""
    calls = Starlark(RULES).build_text("build/a_b", SERVICE.replace("BINARY_NAME", attribute))
    given = {call.given["name"]: call.given for call in calls if "name" in call.given}
    assert given["push"]["repository"] == f"ghcr.io/sealift/{name}"
    assert given["load"]["repo_tags"] == [f"sealift/{name}:dev"]


def test_a_name_leads_to_the_folder() -> None:
    """Promise: a release tag, which has the image's name, finds what it releases; other names are refused."""
    with pytest.raises(sl.StarlarkError, match="binary_name agent is not how build/a_b may be called"):
        Starlark(RULES).build_text("build/a_b", SERVICE.replace("BINARY_NAME", 'binary_name = "agent",'))


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ('"workdir"', '"work_dir"', "no attribute workdir"),
        ('"user": attr.string()', '"user": attr.label_list()', "user wants label_list"),
        ('"labels": attr.label()', '"labels": attr.label(), "os": attr.string(mandatory = True)', "os is missing"),
    ],
)
def test_the_check_notices(right: str, wrong: str, problem: str) -> None:
    """Promise: the checks above are not blind."""
    defs = "@rules_oci//oci:defs.bzl"
    starlark = Starlark({**RULES, defs: RULES[defs].replace(right, wrong)})
    starlark.build_file("build/krane")
    assert any(problem in found for found in starlark.problems)
