"""What stands between krane's objects and the cluster: webhooks of others, LimitRanges. On a real API server."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from pkg.errors import FailedPrecondition, SealiftError, Unavailable
from pkg.testing.certificates import Authority
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.ports import free_port
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from svc.krane.runtime.contract import ask, eventually, running
from svc.krane.runtime.kubernetes.identity import set_name
from svc.krane.runtime.port import DeploymentSpec, InstanceStatus, Observation, PendingError
from svc.krane.testing.kubernetes import KubernetesRig, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)


@pytest.fixture
async def rig(kubernetes_plane: ControlPlane) -> AsyncIterator[KubernetesRig]:
    async with opened(KubernetesRig(kubernetes_plane)) as rig:
        yield rig


def register(rig: KubernetesRig, resource: str, url: str, ca: bytes = b"") -> str:
    """A webhook that must allow what is made in the namespaces of the rig; the name of its configuration."""
    group, name = ("apps" if resource == "statefulsets" else ""), f"test-{rig.installation_id[-12:]}"
    rig.plane.apply({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": "test.sealift.dev",
            "clientConfig": {"url": url, **({"caBundle": base64.b64encode(ca).decode()} if ca else {})},
            "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}],
            "namespaceSelector": {"matchLabels": {"sealift.dev/installation": rig.installation_id}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
        }],
    })  # fmt: skip
    return f"validatingwebhookconfiguration/{name}"


@asynccontextmanager
async def denying(rig: KubernetesRig, folder: Path, words: str) -> AsyncIterator[None]:
    """A webhook that denies each new Pod with these words."""
    authority = Authority()
    certificate, key = authority.issue("127.0.0.1").write(folder, "webhook")

    async def answer(request: web.Request) -> web.Response:
        response = {"uid": (await request.json())["request"]["uid"], "allowed": False, "status": {"message": words}}
        return web.json_response({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": response,
        })  # fmt: skip

    app = web.Application()
    app.router.add_post("/", answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    name = await asyncio.to_thread(register, rig, "pods", f"https://127.0.0.1:{port}/", authority.pem)
    try:
        yield
    finally:
        await asyncio.to_thread(rig.plane.kubectl, "delete", name)
        await runner.cleanup()


async def said(rig: KubernetesRig, spec: DeploymentSpec, words: str) -> PendingError | SealiftError:
    """What `apply` raises, once that contains `words`."""

    async def found() -> PendingError | SealiftError | None:
        try:
            await rig.runtime.apply(spec, 0, None, is_live=False)
        except (PendingError, SealiftError) as error:
            return error if words in error.message else None
        return None

    return await eventually(found)


async def comes(rig: KubernetesRig, spec: DeploymentSpec) -> None:
    """It runs, although it was refused before."""

    async def does() -> bool | None:
        try:
            seen = await rig.runtime.apply(spec, 0, None, is_live=False)
        except (PendingError, SealiftError):
            return None
        return seen.status is InstanceStatus.RUNNING or None

    async with asyncio.timeout(KUBERNETES_WAIT_S):
        while await does() is None:  # noqa: ASYNC110 - a controller of the cluster tries again after up to a minute
            await asyncio.sleep(0.5)


@pytest.mark.parametrize("resource", ["pods", "statefulsets"])
async def test_a_webhook_that_does_not_answer(rig: KubernetesRig, resource: str) -> None:
    """Promise: it is told in the cluster's words and waited for, as it may pass; then the instance comes."""
    await running(rig.runtime, rig.spec())
    name = register(rig, resource, f"https://127.0.0.1:{free_port()}/")
    spec = rig.spec()
    try:
        error = await said(rig, spec, "failed calling webhook")
        assert isinstance(error, PendingError | Unavailable)
        assert "test.sealift.dev" in error.message
    finally:
        rig.plane.kubectl("delete", name)
    await comes(rig, spec)


async def test_a_webhook_that_denies(rig: KubernetesRig, tmp_path: Path) -> None:
    """Promise: a policy's words reach the user at once, as a refusal."""
    await running(rig.runtime, rig.spec())
    async with denying(rig, tmp_path, "images must come from registry.example.com"):
        error = await said(rig, rig.spec(), "images must come from registry.example.com")
    assert isinstance(error, FailedPrecondition)
    assert error.code == "instance.refused"


async def test_a_container_that_others_add(rig: KubernetesRig) -> None:
    """Promise: with a sidecar of a mesh before the app, what is said of the instance is the app's; krane neither
    replaces the Pod for it nor takes it out. (Put in by hand: a webhook that patches ends an API server of 1.20 that
    Go 1.19 compiled.)"""
    spec = replace(rig.spec(), command=("serve", "--all"))
    first = await running(rig.runtime, spec)
    name = set_name(spec.deployment_id)
    found = rig.plane.get("statefulset", name, "-n", rig.namespace)
    sidecar = {"name": "mesh-proxy", "image": "sealift-test/proxy:1", "args": ["proxy"]}
    found["spec"]["template"]["spec"]["containers"].insert(0, sidecar)
    rig.plane.kubectl("replace", "-f", "-", stdin=json.dumps(found))
    rig.plane.kubectl("delete", "pod", first.name, "-n", rig.namespace, "--grace-period=1")

    async def is_another() -> Observation | None:
        seen = await rig.runtime.observe(spec.deployment_id, 0)
        is_new = seen is not None and seen.uid != first.uid and seen.status is InstanceStatus.RUNNING
        return seen if is_new else None

    seen = await eventually(is_another)
    pod = rig.plane.get("pod", seen.name, "-n", rig.namespace)
    assert [one["name"] for one in pod["spec"]["containers"]] == ["mesh-proxy", "app"]
    assert (seen.memory_mib, seen.command) == (spec.memory_mib, spec.command)
    assert await ask(seen, spec) == 200
    again = await rig.runtime.apply(spec, 0, seen, is_live=True, keep_running=True)
    assert (again.uid, again.is_kept_running) == (seen.uid, True)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max": {"memory": "32Mi"}}, "maximum memory usage per Container is 32Mi"),
        ({"min": {"cpu": "4"}}, "minimum cpu usage per Container is 4"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, "cpu max limit to request ratio per Container is 2"),
    ],
)
async def test_a_limit_range_that_it_does_not_fit(
    rig: KubernetesRig, limits: dict[str, dict[str, str]], words: str
) -> None:
    """Promise: what the range says is told as a refusal; without the range the instance comes."""
    await running(rig.runtime, rig.spec())
    metadata = {"name": "sizes", "namespace": rig.namespace}
    ranges = {"limits": [{"type": "Container", **limits}]}
    rig.plane.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": ranges})
    spec = rig.spec()
    error = await said(rig, spec, words)
    assert isinstance(error, FailedPrecondition)
    rig.plane.kubectl("delete", "limitrange", "sizes", "-n", rig.namespace)
    await comes(rig, spec)


async def test_defaults_of_a_limit_range_are_no_change(rig: KubernetesRig) -> None:
    """Promise: what a range adds to Pods is no difference that krane would undo, or replace instances for."""
    await running(rig.runtime, rig.spec())
    disk = "ephemeral-storage"
    defaults = {"type": "Container", "default": {disk: "1Gi"}, "defaultRequest": {disk: "0", "memory": "8Mi"}}
    metadata = {"name": "sizes", "namespace": rig.namespace}
    rig.plane.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": [defaults]}})
    spec = rig.spec()
    first = await running(rig.runtime, spec)
    again = await rig.runtime.apply(spec, 0, first, is_live=True, keep_running=True)
    assert again.uid == first.uid
