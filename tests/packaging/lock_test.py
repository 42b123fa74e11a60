"""The runtime lock holds for both architectures of the images."""

import json
import platform
import re
import subprocess
from pathlib import Path

import pytest

from tests.packaging.bazel4.wheels import MACHINES, pip
from tests.packaging.repository import ROOT

LOCK = (ROOT / "requirements_lock.txt").read_text(encoding="utf-8")
# This machine's wheels are installed: these tests run on them.
OTHERS = sorted(arch for arch, machine in MACHINES.items() if machine != platform.machine())
# Of those for Windows or a browser no image has any.
PINS = [
    line
    for line in re.findall(r"^[A-Za-z0-9._-]+==[^\\\n]+", LOCK, re.MULTILINE)
    if "== 'win32'" not in line and "== 'emscripten'" not in line
]


@pytest.mark.parametrize("arch", OTHERS)
def test_every_package_has_a_wheel_that_is_locked(arch: str, tmp_path: Path) -> None:
    """Promise: nothing is compiled for an image, on whatever machine builds it, and the lock has each wheel's hash.

    pip queries the index that this machine has set up; nothing is installed.
    """
    pins, report = tmp_path / "pins.txt", tmp_path / "report.json"
    pins.write_text("\n".join(PINS))
    options = ["--dry-run", "--ignore-installed", "--target", str(tmp_path / "none"), "--report", str(report)]
    done = subprocess.run(
        [*pip("install", arch), *options, "-r", str(pins)], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [
        each["download_info"]["archive_info"]["hashes"]["sha256"] for each in json.loads(report.read_text())["install"]
    ]
    assert len(found) == len(PINS)
    assert [digest for digest in found if f"sha256:{digest}" not in LOCK] == []
