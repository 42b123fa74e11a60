"""Shims are found by their engine's namespace, and end with all below them; those of other engines are left alone."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from svc.standalone import leftovers
from svc.standalone.process import identify, is_alive

# As containerd starts them; a shell below stands in for `runc init`.
_SHIM = "import subprocess, sys; subprocess.run(['sleep', '60'])"


def shim(directory: Path, namespace: str, container: str) -> "subprocess.Popen[bytes]":
    name = str(directory / "containerd-shim-runc-v2")
    words = ["-c", _SHIM, "-namespace", namespace, "-id", container, "-address", "/run/x.sock"]
    return subprocess.Popen([name, *words], executable=sys.executable)


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    made: list[subprocess.Popen[bytes]] = []
    yield made
    for one in made:
        leftovers.kill(leftovers.below({one.pid}))
        one.kill()
        one.wait()


def test_only_one_engines_shims_end(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    """A second engine on the machine, and one whose namespace begins alike, keep theirs."""
    ours, theirs, alike = (shim(tmp_path, name, f"c-{name}") for name in ("sealiftaa", "moby", "sealiftaabb"))
    started += [ours, theirs, alike]
    while not all(leftovers.below({one.pid}) for one in started):
        assert all(one.poll() is None for one in started)
    held = leftovers.below({ours.pid})
    found = leftovers.shims("sealiftaa")
    assert [(one.process.pid, one.container) for one in found] == [(ours.pid, "c-sealiftaa")]
    assert leftovers.kill_shims(found) == 1
    assert ours.wait(10) == -9
    assert not any(is_alive(one) for one in held)
    assert leftovers.shims("sealiftaa") == []
    assert all(identify(one.pid) for one in (theirs, alike))
