"""Promise: without any setting, apps and the api answer by HTTPS with certificates of the installation itself."""

from pathlib import Path

from tests.harness import apps
from tests.harness.http import get
from tests.harness.stack import Stack
from tests.harness.tls import ask, names, shown
from tests.harness.wait import eventually


def test_apps_and_the_api_answer_by_https(stack: Stack, project: str, tmp_path: Path) -> None:
    """The same answer as by plain HTTP, which is not redirected; unknown names are refused."""
    address = stack.endpoints["ingress_tls"]
    eventually(lambda: "*.sealift.localhost" in names(shown(address, "any.sealift.localhost")), what="HTTPS")
    result = stack.deploy(apps.app(tmp_path / "app"), project)
    assert result.code == 0
    assert ask(address, f"{project}.sealift.localhost") == (200, get(stack.url(project)).body)
    status, body = ask(address, "sealift.localhost", "/metrics")
    assert (status, "sealift_" in body) == (404, False)
    status, body = ask(address, "sealift.localhost", "/sealift.ctrl.v1.CtrlService/Liveness")
    assert status == 405, f"an RPC takes POST only: {body}"
    assert shown(address, "example.com") is None
