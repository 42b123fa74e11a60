"""A stand-in for metrics-server: every Pod uses the CPU that the test says."""

import asyncio
import datetime
import ssl
import tempfile
import urllib.parse
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from pkg.testing.certificates import Authority
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_WAIT_S

GROUP = "metrics.k8s.io"
VERSION = "v1beta1"
_PATH = f"/apis/{GROUP}/{VERSION}"
_NAME = "fake-metrics"


class FakeMetrics:
    """`async with` it: the control plane has resource metrics meanwhile, of all its Pods.

    Attributes:
        cpu_millicores: what each Pod uses.
    """

    def __init__(self, plane: ControlPlane, cpu_millicores: int = 0) -> None:
        self._plane = plane
        self.cpu_millicores = cpu_millicores
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "FakeMetrics":
        application = web.Application()
        application.router.add_get(_PATH, self._discovery)
        application.router.add_get(f"{_PATH}/pods", self._pods)
        application.router.add_get(f"{_PATH}/namespaces/{{namespace}}/pods", self._pods)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Authority().issue("localhost").write(Path(folder), "metrics")
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trust.load_cert_chain(certificate, key)
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=trust).start()
        port = int(self._runner.addresses[0][1])
        await asyncio.to_thread(self._plane.apply, *_registration(port))
        async with asyncio.timeout(KUBERNETES_WAIT_S):
            while not await asyncio.to_thread(self._is_available):  # noqa: ASYNC110 - kubectl tells nobody
                await asyncio.sleep(0.2)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for what, name in (("apiservice", f"{VERSION}.{GROUP}"), ("service", _NAME)):
            await asyncio.to_thread(
                self._plane.kubectl, "delete", what, name, "-n", "kube-system", "--ignore-not-found"
            )
        if self._runner is not None:
            await self._runner.cleanup()

    def _is_available(self) -> bool:
        found = self._plane.get("apiservice", f"{VERSION}.{GROUP}")
        conditions = found.get("status", {}).get("conditions", [])
        return any(one["type"] == "Available" and one["status"] == "True" for one in conditions)

    async def _discovery(self, _: web.Request) -> web.Response:
        pods = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}
        return web.json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}", "resources": [pods]}
        )

    async def _pods(self, request: web.Request) -> web.Response:
        selector = urllib.parse.quote(request.query.get("labelSelector", ""))
        namespace = request.match_info.get("namespace", "")
        path = f"/api/v1{f'/namespaces/{namespace}' if namespace else ''}/pods?labelSelector={selector}"
        found = await asyncio.to_thread(self._plane.read, path)
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        usage = {"cpu": f"{self.cpu_millicores}m", "memory": "1Mi"}
        items = [
            {
                "metadata": {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]},
                "timestamp": now,
                "window": "1s",
                "containers": [{"name": one["name"], "usage": usage} for one in pod["spec"]["containers"]],
            }
            for pod in found["items"]
        ]
        return web.json_response(
            {"kind": "PodMetricsList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}
        )


def _registration(port: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The API server forwards the group to this machine: a Service can be a name, which needs no network of Pods."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": "kube-system"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    registered = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": _NAME, "namespace": "kube-system", "port": port},
        },
    }
    return service, registered
