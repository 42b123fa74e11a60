"""What is tracked is what is tested, and holds nothing of the machine it was written on."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.repository import ROOT, files, git

LIST_TEST_FILES = """
import pathlib, sys
import pytest

class Empty(pytest.Module):
    def collect(self):
        return []

class Lister:
    def pytest_pycollect_makemodule(self, module_path, parent):
        print("FILE", module_path)
        return Empty.from_parent(parent, path=module_path)

pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider"], plugins=[Lister()])
"""

# Written in two halves, so that this file does not find itself.
REGISTRIES = [
    host + end
    for host, end in [
        ("pypi", ".org"),
        ("files.pythonhosted", ".org"),
        ("registry.npmjs", ".org"),
        ("registry.yarnpkg", ".com"),
        ("proxy.golang", ".org"),
        ("index.crates", ".io"),
    ]
]
MACHINE_PATHS = ["/work" + "/main", "/work" + "/shared", "/tmp" + "/brief"]
LOCKS = ["requirements_lock.txt", "requirements_dev_lock.txt"]


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def test_every_test_file_is_collected() -> None:
    """Promise: no test is skipped because of the folder it stands in (pytest passes over `build` by default)."""
    listed = subprocess.run(
        [sys.executable, "-c", LIST_TEST_FILES], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    collected = {Path(line.removeprefix("FILE ")) for line in listed.stdout.splitlines() if line.startswith("FILE ")}
    # examples are apps, not tests of ours
    expected = {path for path in files("*_test.py") if path.relative_to(ROOT).parts[0] != "examples"}
    assert collected == expected, listed.stdout[-2000:] + listed.stderr[-2000:]
    assert ROOT / "build" / "util" / "run_test.py" in collected


def test_no_ignore_rule_matches_a_tracked_path() -> None:
    """Promise: what is tracked stays visible to git (ignore templates often name `build`)."""
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard").splitlines() == []


@pytest.mark.parametrize("banned", [*REGISTRIES, *MACHINE_PATHS])
def test_no_registry_address_and_no_machine_path(banned: str) -> None:
    """Promise: the repository works with any mirror and in any folder."""
    assert [str(path.relative_to(ROOT)) for path in files() if banned in text_of(path)] == []


def test_no_path_of_this_clone() -> None:
    """Promise: nothing tracked names the folder it is checked out in."""
    if len(ROOT.parts) > 2:
        assert [str(path.relative_to(ROOT)) for path in files() if f"{ROOT}/" in text_of(path)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_locks_are_hashed_and_free_of_addresses(name: str) -> None:
    """Promise: every package is pinned by hash; where it comes from is the machine's business."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--(index-url|extra-index-url|find-links|trusted-host))\b", text, re.MULTILINE)
    requirements = [line for line in text.replace("\\\n", " ").splitlines() if line and line[0] not in "# "]
    assert requirements
    assert [line for line in requirements if not re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,_-]+\])?==", line)] == []
    assert [line for line in requirements if "--hash=sha256:" not in line] == []


def test_the_runtime_lock_is_part_of_the_dev_lock() -> None:
    """Promise: tests run with the versions that services run with."""
    pins = [set(re.findall(r"^([A-Za-z0-9._-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCKS]
    assert pins[0] - pins[1] == set()


def test_package_lock_has_no_addresses() -> None:
    """Promise: npm packages are pinned by integrity, not by where they were found."""
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert [name for name, entry in packages.items() if "resolved" in entry or "integrity" not in entry] == []
