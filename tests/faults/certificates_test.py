"""Promise: kill -9 in the middle of an order loses nothing: one certificate comes, once, and no answer stays behind."""

from pathlib import Path

import pytest

from pkg.testing.acme import is_installed
from tests.harness import apps
from tests.harness.acme import APEX, AcmeStack, acme_stack
from tests.harness.http import get
from tests.harness.tls import shown
from tests.harness.wait import eventually

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="Debian's packages pebble and bind9 are not installed"),
    pytest.mark.timeout(600),
]
ISSUED_WITHIN_S = 120


def _has_certificate(ours: AcmeStack, hostname: str) -> bool:
    found = shown(ours.address, hostname)
    return found is not None and "Pebble" in found.issuer.rfc4514_string()


def _deploy(ours: AcmeStack, tmp_path: Path, slug: str) -> str:
    """A project's app is live; its hostname."""
    assert ours.stack.sealift("projects", "create", slug).code == 0
    result = ours.stack.deploy(apps.app(tmp_path / slug, slug), slug)
    assert result.code == 0, result.err
    return f"{slug}.{APEX}"


def test_killed_in_the_middle_of_an_order(engine_socket: str, tmp_path: Path) -> None:
    """While the regions get the answers, and while the authority looks: worker, krane, and both with the engine."""
    with acme_stack(engine_socket, tmp_path / "pebble", looks_after_s=4) as ours:
        stack = ours.stack
        first = f"first.{APEX}"
        assert stack.sealift("projects", "create", "first").code == 0
        result = stack.deploy(apps.app(tmp_path / "first", "first"), "first")
        assert result.code == 0, result.err
        # the answers are stored, and no region has them yet
        with stack.frozen("envoy"):
            eventually(lambda: ours.answers() > 0, within_s=60, what="answers are stored")
            stack.kill("worker", "krane")
        eventually(lambda: _has_certificate(ours, first), within_s=ISSUED_WITHIN_S, what=str(ours.orders(first)))
        assert ours.orders(first)[-1] == ("done", "")

        second = _deploy(ours, tmp_path, "second")
        eventually(lambda: ("running", "") in ours.orders(second), within_s=60, what="the order runs")
        stack.kill("worker", "restate")
        eventually(lambda: _has_certificate(ours, second), within_s=ISSUED_WITHIN_S, what=str(ours.orders(second)))

        for hostname in (first, second):
            eventually(
                lambda name=hostname: len(ours.certificates(name)) == 1,  # type: ignore[misc]
                what="one certificate",
            )
            assert [status for status, _ in ours.orders(hostname)].count("done") == 1
        eventually(lambda: ours.answers() == 0, within_s=60, what="no answer stays behind")
        assert get(f"http://{first}:{stack.ingress_port}").status == 308
