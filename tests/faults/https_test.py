"""Promise: HTTPS outlives every process: certificates and keys are where Envoy and krane find them again."""

from pathlib import Path

import pytest

from tests.faults.scenes import scene
from tests.harness.stack import Stack
from tests.harness.tls import ask, shown
from tests.harness.wait import eventually, takes_at_most

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    ("killed", "within_s"), [(("envoy",), 3), (("krane",), 1), (("envoy", "krane"), 10)], ids=["envoy", "krane", "both"]
)
def test_https_is_back(stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...], within_s: float) -> None:
    """After kill -9, with the control plane down: the same certificate, and the app behind it."""
    scene(stack, project, tmp_path / "app")
    address, host = stack.endpoints["ingress_tls"], f"{project}.sealift.localhost"
    eventually(lambda: ask(address, host) == (200, "one"), what="HTTPS")
    before = shown(address, host)

    def is_back() -> None:
        stack.kill(*killed)
        eventually(lambda: ask(address, host) == (200, "one"), what="HTTPS is back")

    with stack.frozen("api", "worker", "restate"):
        takes_at_most(within_s, is_back, what="HTTPS is back")
        assert shown(address, host) == before
        other = f"never-seen-{project}.sealift.localhost"
        eventually(lambda: shown(address, other) is not None, what="a name that Envoy has not met")
