"""What leaves others stuck on a cluster until a person comes: krane goes on by itself. On a real control plane."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pkg.errors import FailedPrecondition, Unavailable
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from svc.krane.runtime.contract import GRACE_S, eventually, running
from svc.krane.runtime.port import DeploymentSpec, InstanceStatus, Observation, PendingError, instance_name
from svc.krane.testing.kubernetes import KubernetesRig, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)


@pytest.fixture
async def rig(kubernetes_plane: ControlPlane) -> AsyncIterator[KubernetesRig]:
    async with opened(KubernetesRig(kubernetes_plane)) as rig:
        yield rig


async def until_bad(rig: KubernetesRig, spec: DeploymentSpec, replica: int) -> None:
    """Has the instance made, and waits until it can't start, or has ended."""

    async def is_bad() -> bool | None:
        try:
            seen = await rig.runtime.apply(spec, replica, None, is_live=True)
        except FailedPrecondition:
            return True
        except (PendingError, Unavailable):
            return None
        return seen.status is InstanceStatus.EXITED or None

    await eventually(is_bad)


async def test_a_revision_that_never_starts_is_replaced_by_the_next(rig: KubernetesRig) -> None:
    """Promise: Pods of a revision that can't start don't hold up a good one: neither back to the old, nor a new one."""
    good = replace(rig.spec(), replicas=2)
    for replica in (0, 1):
        await running(rig.runtime, good, replica)
    for image in ("x/pull-denied:1", "x/crashes:1"):
        bad = replace(good, image_ref=image)
        for replica in (0, 1):
            await until_bad(rig, bad, replica)
        for replica in (0, 1):
            await running(rig.runtime, good, replica)
    newer = replace(good, variables={"A": "1"})
    for replica in (0, 1):
        await running(rig.runtime, newer, replica)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_ended_as_a_whole(rig: KubernetesRig, phase: str) -> None:
    """Promise: a Pod that a node calls ended, as one does that was started again meanwhile, is replaced."""
    spec = rig.spec()
    seen = await running(rig.runtime, spec)
    seen = await rig.runtime.apply(spec, 0, seen, is_live=True, keep_running=True)
    # as a node does: kubectl of that version can't write a status
    path, patch = f"/api/v1/namespaces/{rig.namespace}/pods/{seen.name}/status", {"status": {"phase": phase}}
    await rig.runtime._api._call("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def is_another() -> Observation | None:
        try:
            now = await rig.runtime.observe(spec.deployment_id, 0)
            now = await rig.runtime.apply(spec, 0, now, is_live=True, keep_running=now is not None)
        except (PendingError, Unavailable):
            return None
        return now if now.uid != seen.uid and now.status is InstanceStatus.RUNNING else None

    await eventually(is_another)


async def test_a_pod_that_its_node_gave_up(rig: KubernetesRig) -> None:
    """Promise: a node that runs out of disk, or is shut down, fails no start and takes no app for the culprit: another
    instance is made."""
    low = (
        "The node was low on resource: ephemeral-storage. Container app was using 8Ki, which exceeds its request of 0. "
    )
    for reason, message in (("Evicted", low), ("NodeShutdown", "Node is shutting down")):
        spec = rig.spec()
        seen = await running(rig.runtime, spec)
        path = f"/api/v1/namespaces/{rig.namespace}/pods/{seen.name}/status"
        change = {"status": {"phase": "Failed", "reason": reason, "message": message}}
        await rig.runtime._api._call("PATCH", path, body=change, content_type="application/merge-patch+json")

        async def is_another(spec: DeploymentSpec = spec, uid: str = seen.uid) -> bool | None:
            try:
                now = await rig.runtime.apply(spec, 0, await rig.runtime.observe(spec.deployment_id, 0), is_live=False)
            except (PendingError, Unavailable):
                return None
            if now.uid == uid:  # not seen yet
                assert now.status is InstanceStatus.RUNNING
                return None
            return now.status is InstanceStatus.RUNNING or None

        await eventually(is_another)


async def test_a_workspace_that_is_stuck_holds_up_no_other(rig: KubernetesRig) -> None:
    """Promise: while a namespace can't end, apps of others are made, and what is in it can be ended."""
    stuck = rig.spec()
    await running(rig.runtime, stuck)
    metadata = {"name": "holder", "namespace": rig.namespace, "finalizers": ["example.com/hold"]}
    rig.plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    rig.plane.kubectl("delete", "namespace", rig.namespace, "--wait=false")
    try:
        other = replace(rig.spec(), workspace_id="ws_2")
        await running(rig.runtime, other)
        await rig.runtime.delete(stuck.deployment_id, instance_name(stuck.deployment_id, 0), grace_s=GRACE_S)
        await rig.runtime.collect_garbage()
        assert await rig.runtime.list_instances(stuck.deployment_id) == []
        with pytest.raises(PendingError, match="is being deleted"):
            await rig.runtime.apply(rig.spec(), 0, None, is_live=False)
    finally:
        release = '{"metadata":{"finalizers":null}}'
        rig.plane.kubectl("patch", "configmap", "holder", "-n", rig.namespace, "--type=merge", "-p", release)
