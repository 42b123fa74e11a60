"""The Secrets of variables: each revision has its own, for as long as a Pod may need it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from svc.krane.runtime.contract import eventually, running
from svc.krane.runtime.kubernetes.objects import variables_name
from svc.krane.runtime.port import DeploymentSpec
from svc.krane.testing.kubernetes import KubernetesRig, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)


@pytest.fixture
async def rig(kubernetes_plane: ControlPlane) -> AsyncIterator[KubernetesRig]:
    async with opened(KubernetesRig(kubernetes_plane)) as rig:
        yield rig


def secrets(rig: KubernetesRig, spec: DeploymentSpec) -> set[str]:
    """The names of those that belong to the deployment."""
    of_it = f"sealift.dev/deployment={spec.deployment_id}"
    return {one["metadata"]["name"] for one in rig.plane.get("secrets", "-n", rig.namespace, "-l", of_it)["items"]}


def name(spec: DeploymentSpec) -> str:
    return variables_name(spec.deployment_id, spec.revision)


async def test_variables_of_old_revisions_go_with_their_last_pod(rig: KubernetesRig) -> None:
    """Promise: a Pod that a node starts again finds its variables; once no Pod is of the revision, they are deleted."""
    first = replace(rig.spec(), replicas=2, variables={"A": "1"})
    second, third = replace(first, variables={"A": "2"}), replace(first, variables={"A": "3"})
    for replica in (0, 1):
        await running(rig.runtime, first, replica)
    await running(rig.runtime, second, 0)
    await rig.runtime.collect_garbage()
    assert secrets(rig, first) == {name(first), name(second)}
    for spec in (third, first, third):  # back, and forth again
        for replica in (0, 1):
            await running(rig.runtime, spec, replica)
        await eventually(partial(has_only, rig, spec))


async def has_only(rig: KubernetesRig, spec: DeploymentSpec) -> bool | None:
    """Whether the variables of this revision alone are there, after they were looked at; None: not yet."""
    await rig.runtime.collect_garbage()
    return secrets(rig, spec) == {name(spec)} or None


async def test_a_secret_of_somebody_else_stays(rig: KubernetesRig) -> None:
    """Promise: what has the name and belongs to another StatefulSet, or to nobody, is not deleted."""
    first = replace(rig.spec(), variables={"A": "1"})
    second = replace(first, variables={"A": "2"})
    await running(rig.runtime, first)
    rig.plane.kubectl("delete", "secret", name(first), "-n", rig.namespace)
    rig.plane.kubectl("create", "secret", "generic", name(first), "-n", rig.namespace, "--from-literal=B=theirs")
    await running(rig.runtime, second)

    async def is_done() -> bool | None:
        await rig.runtime.collect_garbage()
        found = rig.plane.get("statefulset", second.deployment_id.replace("_", "-"), "-n", rig.namespace)
        return "sealift.dev/old-revisions" not in found["metadata"]["annotations"] or None

    await eventually(is_done)
    assert rig.plane.get("secret", name(first), "-n", rig.namespace)["data"].keys() == {"B"}
