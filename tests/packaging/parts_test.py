"""Heavy parts: `dev/test.sh` prepares those of the tests that it is asked for."""

import re
from pathlib import Path

import pytest

from tests.packaging.repository import ROOT, files

SCRIPTS = sorted((ROOT / "dev" / "parts").glob("*.sh"))
KUBERNETES = re.compile(r"\b(kubernetes_plane|kubernetes_cluster|ControlPlane\(\)|Cluster\(\))")


def folders_of(script: Path) -> tuple[str, ...]:
    """Of its line `# Tests:`."""
    (line,) = re.findall(r"^# Tests: (.+)$", script.read_text(), re.MULTILINE)
    return tuple(line.split())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_each_part_names_tests_that_exist(script: Path) -> None:
    """Promise: a moved test does not lose its part."""
    assert [folder for folder in folders_of(script) if not (ROOT / folder).exists()] == []


def test_every_test_on_kubernetes_gets_it() -> None:
    """Promise: who asks for a cluster by a path of its own has it prepared."""
    folders = folders_of(ROOT / "dev" / "parts" / "kubernetes.sh")
    users = [path.relative_to(ROOT) for path in files("*_test.py") if KUBERNETES.search(path.read_text())]
    assert [path for path in users if not str(path).startswith(folders) and path.name != Path(__file__).name] == []
