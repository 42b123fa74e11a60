"""What goes wrong on a cluster, on a real control plane: nothing is lost, doubled or taken from others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from pkg.config import Secret
from pkg.errors import FailedPrecondition, Unavailable
from pkg.images.config import RegistryLogin
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.runtime.contract import GRACE_S, ask, eventually, running, until_status
from svc.krane.runtime.kubernetes import objects, workspaces
from svc.krane.runtime.kubernetes.identity import set_name
from svc.krane.runtime.kubernetes.runtime import KubernetesRuntime
from svc.krane.runtime.port import CAPACITY, DeploymentSpec, InstanceStatus, PendingError, instance_name
from svc.krane.testing.kubernetes import ALLOWED, TRAFFIC, KubernetesRig, login, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY


@pytest.fixture
async def rig(kubernetes_plane: ControlPlane) -> AsyncIterator[KubernetesRig]:
    async with opened(KubernetesRig(kubernetes_plane)) as rig:
        yield rig


def stateful_set(rig: KubernetesRig, spec: DeploymentSpec) -> Any:
    return rig.plane.get("statefulset", set_name(spec.deployment_id), "-n", rig.namespace)


async def pending(rig: KubernetesRig, spec: DeploymentSpec, words: str) -> PendingError:
    """What `apply` says it waits for, once that contains `words`."""

    async def said() -> PendingError | None:
        try:
            await rig.runtime.apply(spec, 0, None, is_live=False)
        except PendingError as error:
            return error if words in error.message else None
        return None

    return await eventually(said)


async def test_a_name_that_is_somebody_elses(rig: KubernetesRig) -> None:
    """Promise: an object of somebody else with the name is refused with a code, and stays as it is."""
    await running(rig.runtime, rig.spec())
    spec = rig.spec()
    name = set_name(spec.deployment_id)
    rig.plane.kubectl("create", "service", "clusterip", name, "--tcp=80", "-n", rig.namespace)
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as refused:
            await rig.runtime.apply(spec, 0, None, is_live=False)
        assert refused.value.code == "instance.name_taken"
        assert f"kubectl delete service {name}" in refused.value.message
    assert "sealift.dev/installation" not in rig.plane.get("service", name, "-n", rig.namespace)["metadata"]["labels"]
    await rig.runtime.delete(spec.deployment_id, instance_name(spec.deployment_id, 0), grace_s=GRACE_S)
    assert rig.plane.get("service", name, "-n", rig.namespace)["metadata"]["name"] == name


async def test_a_namespace_that_is_somebody_elses(rig: KubernetesRig) -> None:
    """Promise: nothing is made in a namespace that has the name and not our labels."""
    rig.plane.kubectl("create", "namespace", rig.namespace)
    with pytest.raises(FailedPrecondition) as refused:
        await rig.runtime.apply(rig.spec(), 0, None, is_live=False)
    assert refused.value.code == "instance.name_taken"
    assert rig.plane.get("statefulsets,secrets,networkpolicies", "-n", rig.namespace, "-l", rig.identity.selector)[
        "items"
    ] == []  # fmt: skip
    rig.plane.kubectl("delete", "namespace", rig.namespace, "--wait=false")


async def test_a_namespace_that_is_being_deleted(rig: KubernetesRig) -> None:
    """Promise: while its namespace ends an instance waits and says so; it is made once that is over."""
    spec = rig.spec()
    await running(rig.runtime, rig.spec())
    metadata = {"name": "holder", "namespace": rig.namespace, "finalizers": ["example.com/hold"]}
    rig.plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    rig.plane.kubectl("delete", "namespace", rig.namespace, "--wait=false")
    await pending(rig, spec, "is being deleted")
    patch = '{"metadata":{"finalizers":null}}'
    rig.plane.kubectl("patch", "configmap", "holder", "-n", rig.namespace, "--type=merge", "-p", patch)

    async def made() -> bool | None:
        try:
            await rig.runtime.apply(spec, 0, None, is_live=False)
        except (PendingError, Unavailable):
            return None
        return True

    await eventually(made)


async def test_a_quota_that_is_used_up(rig: KubernetesRig) -> None:
    """Promise: a quota is told in the cluster's words as a shortage, and the instance comes once there is room."""
    await running(rig.runtime, rig.spec())
    rig.plane.kubectl("create", "quota", "few", "--hard=pods=1", "-n", rig.namespace)
    spec = rig.spec()

    async def counted() -> bool | None:
        status = rig.plane.get("quota", "few", "-n", rig.namespace)["status"]
        return status.get("used", {}).get("pods") == "1" or None

    await eventually(counted)
    error = await pending(rig, spec, "exceeded quota")
    assert error.resource == CAPACITY
    refs = await rig.runtime.list_instances(spec.deployment_id)
    assert [ref.replica for ref in refs] == [0]  # so that it is removed, should it not be wanted any more
    await rig.runtime.delete(spec.deployment_id, refs[0].name, grace_s=GRACE_S)
    assert await rig.runtime.list_instances(spec.deployment_id) == []


async def test_no_node_has_room(rig: KubernetesRig) -> None:
    """Promise: what the scheduler says is told as a shortage."""
    error = await pending(rig, replace(rig.spec(), cpu_millicores=400_000), "Insufficient cpu")
    assert error.resource == CAPACITY
    assert "no node of the cluster has room" in error.message


async def test_a_pull_that_is_denied(rig: KubernetesRig) -> None:
    """Promise: a pull that is denied fails the start at once, with the registry's words and the code of an engine."""
    spec = replace(rig.spec(), image_ref="sealift-test/pull-denied:1")

    async def refused() -> FailedPrecondition | None:
        try:
            await rig.runtime.apply(spec, 0, None, is_live=False)
        except FailedPrecondition as error:
            return error
        return None

    error = await eventually(refused)
    assert error.code == "instance.image_not_found"
    assert "pull access denied" in error.message


async def test_what_a_namespace_has_comes_back(
    rig: KubernetesRig, kubernetes_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a NetworkPolicy that somebody deleted is made again, without a restart or a new deployment."""
    await running(rig.runtime, rig.spec())
    kubernetes_plane.kubectl("delete", "networkpolicy", objects.POLICY, "-n", rig.namespace)
    await rig.runtime.collect_garbage()
    listed = ("networkpolicies", "-n", rig.namespace, "-l", rig.identity.selector)
    assert kubernetes_plane.get(*listed)["items"] == []  # the server is not asked each time
    monkeypatch.setattr(workspaces, "CHECKED_AGAIN_S", 0.0)
    await rig.runtime.collect_garbage()
    assert [one["metadata"]["name"] for one in kubernetes_plane.get(*listed)["items"]] == [objects.POLICY]


async def test_logins_that_somebody_deleted(rig: KubernetesRig) -> None:
    """Promise: a pull that is refused because the Secret with the logins is gone is no verdict: it is made again."""
    runtime = KubernetesRuntime(
        login(rig.plane.kubeconfig),
        rig.identity,
        traffic=TRAFFIC,
        logins=[RegistryLogin(host="registry.example.com", username="puller", password=Secret("x"))],
        allowed=ALLOWED,
    )
    rig.made.append(runtime)
    await runtime.open()
    await running(runtime, rig.spec())
    rig.plane.kubectl("delete", "secret", objects.LOGINS, "-n", rig.namespace)
    spec, said = replace(rig.spec(), image_ref="sealift-test/pull-denied:1"), set[str]()

    async def refused() -> FailedPrecondition | None:
        try:
            await runtime.apply(spec, 0, None, is_live=False)
        except PendingError as error:
            said.add(error.message)
        except Unavailable:
            return None
        except FailedPrecondition as error:
            return error
        return None

    error = await eventually(refused)  # this image is refused with a login, too
    assert error.code == "instance.image_not_found"
    assert "the Secret with the logins of its registry was gone and is made again" in said
    assert rig.plane.get("secret", objects.LOGINS, "-n", rig.namespace)["type"] == "kubernetes.io/dockerconfigjson"


async def test_fields_of_others_stay(rig: KubernetesRig) -> None:
    """Promise: what another controller sets on our StatefulSet is left alone, whatever krane writes later."""
    spec = rig.spec()
    first = await running(rig.runtime, spec)
    name = set_name(spec.deployment_id)
    rig.plane.kubectl("annotate", "statefulset", name, "-n", rig.namespace, "other.example.com/set=yes")
    rig.plane.kubectl("label", "statefulset", name, "-n", rig.namespace, "team=blue")
    moved = replace(spec, public_url="https://elsewhere.example.com")
    assert (await rig.runtime.apply(moved, 0, first, is_live=True)).uid == first.uid
    now = stateful_set(rig, spec)
    environment = now["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "SEALIFT_PUBLIC_URL", "value": "https://elsewhere.example.com"} in environment
    assert now["metadata"]["annotations"]["other.example.com/set"] == "yes"
    assert now["metadata"]["labels"]["team"] == "blue"


async def test_a_replica_in_the_middle_is_replaced_alone(rig: KubernetesRig) -> None:
    """Promise: to replace one instance ends no other one."""
    spec = replace(rig.spec(), replicas=3)
    before = [await running(rig.runtime, spec, replica) for replica in range(3)]
    await rig.runtime.delete(spec.deployment_id, before[0].name, grace_s=GRACE_S, is_replaced=True)
    again = await running(rig.runtime, spec, 0)
    assert again.uid != before[0].uid
    kept = [await rig.runtime.observe(spec.deployment_id, replica) for replica in (1, 2)]
    assert [one.uid for one in kept if one is not None] == [one.uid for one in before[1:]]
    budget = rig.plane.get("poddisruptionbudget", set_name(spec.deployment_id), "-n", rig.namespace)
    assert budget["spec"]["maxUnavailable"] == 1


async def test_who_does_not_lead_writes_nothing(rig: KubernetesRig) -> None:
    """Promise: who does not lead changes nothing, and two that lead for a moment double nothing."""
    spec = rig.spec()
    leaders: list[KubernetesRuntime] = []
    other = rig.make(is_leader=lambda: bool(leaders))
    await other.open()
    with pytest.raises(PendingError):
        await other.apply(spec, 0, None, is_live=True)
    first = await running(rig.runtime, spec)
    seen = await until_status(other, spec, InstanceStatus.RUNNING)
    assert (await other.apply(spec, 0, seen, is_live=True, keep_running=True)).is_kept_running is False
    await other.delete(spec.deployment_id, seen.name, grace_s=0)
    assert (await until_status(rig.runtime, spec, InstanceStatus.RUNNING)).uid == first.uid
    leaders.append(other)
    both = replace(rig.spec(), replicas=2)
    made = await asyncio.gather(
        *(one.apply(both, replica, None, is_live=True) for one in (rig.runtime, other) for replica in (0, 1)),
        return_exceptions=True,
    )
    assert not [
        one for one in made if isinstance(one, BaseException) and not isinstance(one, PendingError | Unavailable)
    ]
    for replica in (0, 1):
        await running(rig.runtime, both, replica)
    assert len(await rig.runtime.list_instances(both.deployment_id)) == 2


async def test_killed_between_any_two_writes(rig: KubernetesRig) -> None:
    """Promise: wherever krane is killed, the next one completes the deployment, and removes all of it in the end."""
    for allowed in range(8):
        spec = replace(rig.spec(), replicas=2)
        killed = rig.make()
        await killed.open()
        real, writes = killed._api._call, 0

        async def call(method: str, *words: Any, **more: Any) -> Any:
            nonlocal writes
            if method != "GET":
                if writes >= allowed:  # noqa: B023 - awaited in this round
                    raise Unavailable("kubernetes.unavailable", "killed")
                writes += 1
            return await real(method, *words, **more)  # noqa: B023 - awaited in this round

        killed._api._call = call  # type: ignore[method-assign]
        with contextlib.suppress(Unavailable, PendingError):
            await killed.apply(spec, 0, None, is_live=True)
        await killed.close()
        for replica in (0, 1):
            seen = await running(rig.runtime, spec, replica)
            assert await ask(seen, spec) == 200
        for replica in (1, 0):
            await rig.runtime.delete(spec.deployment_id, instance_name(spec.deployment_id, replica), grace_s=GRACE_S)

    async def nothing() -> bool | None:
        kinds = "pods,statefulsets,services,poddisruptionbudgets"
        return rig.plane.get(kinds, "-n", rig.namespace, "-l", rig.identity.selector)["items"] == [] or None

    await eventually(nothing)


async def test_a_login_without_rights_is_told_as_away(rig: KubernetesRig, kubernetes_plane: ControlPlane) -> None:
    """Promise: a role that shows krane nothing is said with every heartbeat, although the server answers."""
    weak = rig.make(kubeconfig=kubernetes_plane.kubeconfig_of("nobody"))
    assert "not opened it yet" in await weak.check()
    with pytest.raises(Unavailable):
        await weak.open()
    assert "is krane's role complete?" in await weak.check()
    assert await rig.runtime.check() == ""
