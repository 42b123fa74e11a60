"""The BUILD files are what the imports say, formatted, and every Python file is in exactly one of their targets."""

import platform
import re
import subprocess
from collections import Counter
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import PurePosixPath

import pytest

from dev.bazel.generate import changes, file_graph, graph
from dev.bazel.graph import Target
from dev.bazel.settings import DATA, NOT_OURS
from dev.bazel.third_party import DISTRIBUTIONS, normalized
from tests.packaging.repository import ROOT, SERVICES, files

# Each reads every source file, which takes seconds.
graph_of_targets, graph_of_files = cache(graph), cache(file_graph)


def starlark_files() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in files("*.bazel", "*.bzl")]


def buildifier(*arguments: str) -> subprocess.CompletedProcess[str]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    program = ROOT / f"node_modules/@bazel/buildifier/buildifier-{platform.system().lower()}_{machine}"
    return subprocess.run(
        [program, *arguments, *starlark_files()], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_build_files_are_what_the_imports_say() -> None:
    """Promise: generated files are unedited and current. Run: make bazel"""
    assert sorted(str(path) for path in changes()) == []


def test_every_python_file_is_in_exactly_one_target() -> None:
    """Promise: nothing is left out of Bazel, nothing is in two places."""
    tracked = {path.relative_to(ROOT) for path in files("*.py")}
    ours = {PurePosixPath(path) for path in tracked if path.parts[0] not in NOT_OURS}
    count = Counter(PurePosixPath(target.package) / src for target in graph_of_targets() for src in target.srcs)
    assert set(count) == ours
    assert [str(path) for path, times in count.items() if times > 1] == []


def reached(start: tuple[str, str], targets: list[Target]) -> list[Target]:
    by_name = {(target.package, target.name): target for target in targets}
    seen, todo = {start}, [start]
    while todo:
        fresh = set(by_name[todo.pop()].deps) - seen
        seen |= fresh
        todo += fresh
    return [by_name[name] for name in seen]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_no_wheel_that_its_service_does_not_import(service: str) -> None:
    """Promise: joining files to targets brings neither unneeded dependencies nor test helpers into an image."""
    start = (f"build/{service}", "main")
    needed = {wheel for target in reached(start, graph_of_files()) for wheel in target.wheels}
    held = reached(start, graph_of_targets())
    assert {wheel for target in held for wheel in target.wheels} == needed
    assert [target for target in held if target.testonly] == []


@pytest.mark.parametrize("banned", ["pkg/db", "pkg/storage", "pkg/restate", "pkg/secrets"])
def test_the_image_of_krane_holds_nothing_of_the_control_plane(banned: str) -> None:
    """Promise: krane's image has no way to the database, the object store, the workflow engine or the master key."""
    assert banned not in {target.package for target in reached(("build/krane", "main"), graph_of_targets())}


def test_build_files_are_formatted_and_linted() -> None:
    """Promise: as buildifier writes them, without a warning of any of its checks."""
    done = buildifier("-mode=check", "-lint=warn", "-warnings=all")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_files_that_are_read_exist() -> None:
    """Promise: dev/bazel/settings.py names no file of the past."""
    for module, data in DATA.items():
        assert (ROOT / module).exists()
        assert [name for name in data if not (ROOT / module).with_name(name.split("/")[0]).exists()] == []


def test_the_table_of_distributions_is_true() -> None:
    """Promise: an import brings the wheel that really holds it, as far as it is installed here."""
    holders = packages_distributions()
    for module, distribution in DISTRIBUTIONS.items():
        installed = {normalized(name) for name in holders.get(module.split(".")[0], [])}
        assert not installed or normalized(distribution) in installed, f"{module}: {installed}"


def test_data_that_code_loads_is_declared() -> None:
    """Promise: files next to a module that it reads are in the image: every use of with_name or of a folder."""
    reads = re.compile(r"Path\(__file__\)(?:\.resolve\(\))?\.(?:with_name\(|parent\b(?!s))")
    found = {
        str(path.relative_to(ROOT))
        for path in files("*.py")
        if path.relative_to(ROOT).parts[0] in ("pkg", "svc", "sealift", "build") and not path.name.endswith("_test.py")
        and reads.search(path.read_text(encoding="utf-8"))
    }  # fmt: skip
    stamp = {"pkg/buildinfo/buildinfo.py"}  # only the image has it
    assert found - stamp <= set(DATA)
