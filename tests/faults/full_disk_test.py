"""Promise: serving needs no disk: on a full one, what is killed comes back, and what can't be recorded says why."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from svc.standalone.process import Identity
from tests.harness import apps
from tests.harness.load import Load
from tests.harness.stack import Stack
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(600)

MIB = 1 << 20


@pytest.fixture
def full_stack(engine_socket: str) -> Iterator[Stack]:
    """A stack whose state directory is a disk of its own."""
    one = Stack(engine_socket)
    where = str(one.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m,mode=0700", "tmpfs", where], check=True)
    try:
        with one:
            yield one
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def resize(stack: Stack, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(stack.state)], check=True)


def used_bytes(stack: Stack) -> int:
    done = subprocess.run(["df", "-B1", "--output=used", str(stack.state)], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[1])


def fill(stack: Stack) -> Path:
    """Not one free byte, now and while the processes continue."""
    filler = stack.state / "filler"
    resize(stack, str(used_bytes(stack) + MIB))
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True)
    return filler


def _is_new(stack: Stack, name: str, before: Identity) -> bool:
    return stack.process(name) != before


def test_serving_needs_no_disk(full_stack: Stack, tmp_path: Path) -> None:
    """Envoy, krane, worker and api are killed on a full disk and come back; a deploy is refused, then works again."""
    stack, directory = full_stack, tmp_path / "app"
    apps.app(directory, "one")
    assert stack.sealift("projects", "create", "shop").code == 0
    done = stack.deploy(directory, "shop")
    assert done.code == 0, done.err
    url = stack.url("shop")
    filler = fill(stack)
    with Load(url, rate_per_s=20) as asking:
        for name in ("krane", "worker", "api"):
            before = stack.process(name)
            stack.kill(name)
            eventually(partial(_is_new, stack, name, before), what=f"{name} runs")
    assert asking.failures == []
    before = stack.process("envoy")
    stack.kill("envoy")
    eventually(lambda: stack.process("envoy") != before, what="Envoy runs")
    eventually(lambda: stack.get("shop").body.strip() == "one", what="the app answers")
    eventually(lambda: stack.sealift("status", "--project", "shop").code == 0, what="the api answers")
    apps.edit(directory, "two")
    refused = stack.deploy(directory, "shop")
    assert refused.code != 0
    assert "disk" in refused.out + refused.err
    assert "full" in refused.out + refused.err
    assert "Traceback" not in refused.out + refused.err
    resize(stack, "600m")
    filler.unlink()
    eventually(stack.is_ready, within_s=90, what="every process works again")
    done = stack.deploy(directory, "shop")
    assert done.code == 0, done.err
    eventually(lambda: stack.get("shop").body.strip() == "two", what="the new version answers")
