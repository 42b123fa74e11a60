"""The proxy before the API server."""

import json
import time
import urllib.error
import urllib.request

import pytest

from pkg.testing.kubernetes.api_front import ApiFront, no_fault, too_many_requests
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)


def ask(front: ApiFront, path: str) -> bytes:
    server = json.loads(front.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    with urllib.request.urlopen(server + path, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def test_requests_reach_the_api_server(kubernetes_plane: ControlPlane) -> None:
    """Promise: writes, reads and watches work through the front."""
    with ApiFront(kubernetes_plane) as front:
        claim = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "front", "namespace": "default"},
        }
        kubernetes_plane.kubectl("apply", "-f", "-", stdin=json.dumps(claim), kubeconfig=front.kubeconfig)
        assert "front" in kubernetes_plane.kubectl("get", "leases", kubeconfig=front.kubeconfig)
        watched = ask(front, "/apis/coordination.k8s.io/v1/namespaces/default/leases?watch=true&timeoutSeconds=1")
        assert json.loads(watched.splitlines()[0])["type"] == "ADDED"
        assert front.requests[-1][0] == "GET"


def test_it_delays_and_refuses_as_told(kubernetes_plane: ControlPlane) -> None:
    """Promise: a delay and a refusal can be switched on and off while clients are connected."""
    with ApiFront(kubernetes_plane) as front:
        front.delay_s = 0.5
        began = time.monotonic()
        ask(front, "/readyz")
        assert time.monotonic() - began >= 0.5
        front.delay_s = 0
        front.fault = lambda method, path: too_many_requests(3) if path.startswith("/api/") else None
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(front, "/api/v1/namespaces")
        with refused.value as answer:
            assert (answer.code, answer.headers["Retry-After"]) == (429, "3")
        assert ask(front, "/readyz") == b"ok"
        front.fault = no_fault
        assert json.loads(ask(front, "/api/v1/namespaces"))["items"]
